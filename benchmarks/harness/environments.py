"""The two Python environments that are compared."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1]
ROOT = BENCHMARKS.parent
PEER_VERSION = "0.1.0"
PEER_FOLDER = BENCHMARKS / f".venv-eventax-{PEER_VERSION}"
# The peer is measured on the same foundations as this package.
SHARED = ("jax", "jaxlib", "equinox", "diffrax", "optimistix", "lineax", "numpy")


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


def peer_environment(python: Path | None = None) -> Environment:
    """The environment of the older package, made on first use."""
    python = python or PEER_FOLDER / "bin" / "python"
    if not python.exists():
        _make_peer()
    return Environment("peer", python)


def _make_peer() -> None:
    print(f"Making {PEER_FOLDER.name} (once, about a minute) ...", flush=True)
    # Removed again if the installation fails half-way: it then has no `bin/python`.
    building = PEER_FOLDER.with_name(PEER_FOLDER.name + "-building")
    subprocess.run([sys.executable, "-m", "venv", "--clear", building], check=True)
    pins = [f"{name}=={have}" for name in SHARED if (have := _version(name))]
    pip = [building / "bin" / "python", "-m", "pip", "--quiet", "--no-input"]
    wanted = [f"eventax=={PEER_VERSION}", *pins]
    subprocess.run(
        [*pip, "--disable-pip-version-check", "install", *wanted], check=True
    )
    building.rename(PEER_FOLDER)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
