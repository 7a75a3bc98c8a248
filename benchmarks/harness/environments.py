"""The Python environments that are compared."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1]
ROOT = BENCHMARKS.parent
# What each of the other environments is made of.
OTHERS = {
    "peer": ("eventax==0.1.0",),
    "jaxsnn": ("jaxsnn==0.3.0", "nir==1.0.8"),
    "torch": ("torch==2.13.0", "snntorch==1.0.0", "norse==1.1.0", "nir==1.0.8"),
}
# The others are measured on the same foundations as this package.
FOUNDATIONS = ("jax", "jaxlib", "numpy", "scipy")
SHARED = {
    "peer": (*FOUNDATIONS, "equinox", "diffrax", "optimistix", "lineax"),
    "jaxsnn": (*FOUNDATIONS, "optax"),
    "torch": (),
}


@dataclass(frozen=True)
class Environment:
    """An interpreter and what its processes get on top of this process's variables."""

    name: str
    python: Path
    variables: dict[str, str] = field(default_factory=dict)

    def process_variables(self) -> dict[str, str]:
        """Variables of a worker: no other package path, no compile cache on disk."""
        inherited = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        inherited.setdefault("JAX_PLATFORMS", "cpu")
        return inherited | {"JAX_ENABLE_COMPILATION_CACHE": "false"} | self.variables


def this_environment(python: Path | None = None) -> Environment:
    """This interpreter with the package of this repository, or another interpreter."""
    if python is not None:
        return Environment("this", python)
    # Importable also where it is not installed.
    return Environment("this", Path(sys.executable), {"PYTHONPATH": str(ROOT)})


def other_environment(name: str, python: Path | None = None) -> Environment:
    """The environment of one of `OTHERS`, made on first use."""
    requirements = OTHERS[name]
    folder = BENCHMARKS / f".venv-{'-'.join(requirements).replace('==', '-')}"
    python = python or folder / "bin" / "python"
    if not python.exists():
        _make(folder, requirements, SHARED[name])
    return Environment(name, python)


def _make(folder: Path, requirements: tuple[str, ...], shared: tuple[str, ...]) -> None:
    print(f"Making {folder.name} (once, a minute or a few) ...", flush=True)
    # Removed again if the installation fails half-way: it then has no `bin/python`.
    building = folder.with_name(folder.name + "-building")
    subprocess.run([sys.executable, "-m", "venv", "--clear", building], check=True)
    pins = [f"{package}=={have}" for package in shared if (have := _version(package))]
    pip = [building / "bin" / "python", "-m", "pip", "--quiet", "--no-input"]
    wanted = [*requirements, *pins]
    subprocess.run(
        [*pip, "--disable-pip-version-check", "install", *wanted], check=True
    )
    building.rename(folder)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
