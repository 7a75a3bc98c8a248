"""Compile the native core: one shared library for each instruction set.

    python native/build.py                  # beside the Python sources
    python native/build.py --requirements   # what to install first, printed

`hatch_build.py` calls this when the package is installed, `make native` when a source has
changed. Needs the headers of an installed jaxlib, and nothing else.
"""

import argparse
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

NATIVE = Path(__file__).resolve().parent
ROOT = NATIVE.parent
BESIDE = ROOT / "eventax" / "_native"

# By machine: a level, which `processor.h` computes, and the compiler's name for it. The
# lowest is what every processor has that jaxlib runs on.
LEVELS = {
    "x86_64": {2: "x86-64-v2", 3: "x86-64-v3", 4: "x86-64-v4"},
    "aarch64": {1: "armv8-a"},
}
FLAGS = [
    "-std=c++17",
    "-O3",
    # No -ffast-math: inf is a time, and NaN an input that is refused. What is left of it
    # is what nobody sees: errno, and traps that nobody sets.
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=off",
    "-fvisibility=hidden",
    "-fvisibility-inlines-hidden",
    "-Wall",
    "-Wextra",
    "-fPIC",
    "-shared",
    "-pthread",
]
SUFFIX = {"Darwin": ".dylib", "Windows": ".dll"}


class BuildError(Exception):
    """No library could be compiled; the message is one sentence."""


@dataclass(frozen=True)
class Compiler:
    """A command that compiles C++17, and what it calls itself."""

    command: tuple[str, ...]
    name: str


def machine():
    """This machine's name as in `LEVELS`."""
    name = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


def find_compiler():
    """The first compiler that works: `$CXX`, else the system's, else ziglang."""
    wish = os.environ.get("CXX")
    for name in [wish] if wish else ["c++", "g++", "clang++"]:
        command = tuple(name.split())
        if shutil.which(command[0]) and _works(command):
            return Compiler(command, _first_line([*command, "--version"]))
    if importlib.util.find_spec("ziglang"):
        zig = [sys.executable, "-m", "ziglang"]
        name = f"zig {_first_line([*zig, 'version'])}"
        return Compiler((*zig, "c++"), name)
    return None


def requirements():
    """What has to be installed to compile here, besides jaxlib."""
    wanted = not switched_off() and machine() in LEVELS and find_compiler() is None
    return ["ziglang>=0.14"] if wanted else []


def tag():
    """Python, ABI and platform of a wheel for this machine: any Python 3 can load it."""
    return "py3-none-" + re.sub(r"[-.]", "_", sysconfig.get_platform())


def switched_off():
    """Whether the user wants no native core: the variable is read at run time too."""
    return os.environ.get("EVENTAX_NATIVE") == "0"


def build(out):
    """Compile every instruction set of this machine into a folder; the paths."""
    compiler = find_compiler()
    if machine() not in LEVELS:
        raise BuildError(f"the native core is not written for {platform.machine()}")
    if compiler is None:
        raise BuildError("there is no C++17 compiler")
    out.mkdir(parents=True, exist_ok=True)
    levels = LEVELS[machine()].items()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda level: _compile(out, compiler, *level), levels))


def _compile(out, compiler, level, instructions):
    target = out / f"eventax-{instructions}{SUFFIX.get(platform.system(), '.so')}"
    flags = [*FLAGS, f"-march={instructions}"]
    command = [
        *compiler.command,
        *flags,
        f'-DEVENTAX_VERSION="{pyproject()["project"]["version"]}"',
        f'-DEVENTAX_INSTRUCTIONS="{instructions}"',
        f"-DEVENTAX_LEVEL={level}",
        f'-DEVENTAX_BUILD="{compiler.name}: {" ".join(flags)}"',
        f"-isystem{headers()}",
        str(NATIVE / "eventax.cpp"),
    ]
    # Compiled aside and moved: nobody loads half a library, nor one that changes.
    aside = target.with_suffix(".part")
    done = subprocess.run([*command, "-o", aside], capture_output=True, text=True)
    sys.stderr.write(done.stderr)
    if done.returncode:
        raise BuildError(f"{compiler.name} could not compile the native core")
    aside.replace(target)
    return target


def headers():
    """The folder with XLA's FFI headers, which jaxlib ships."""
    found = importlib.util.find_spec("jaxlib")
    if found is None or not found.submodule_search_locations:
        raise BuildError("jaxlib, which has the headers, is not installed")
    return Path(found.submodule_search_locations[0]) / "include"


def pyproject():
    """The project's one statement of version and requirements."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def _works(command):
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "a.cpp"), Path(folder, "a.so")
        source.write_text("#include <vector>\nstd::vector<int> a() { return {1}; }\n")
        flags = ["-std=c++17", "-shared", "-fPIC", str(source), "-o", str(target)]
        return not subprocess.run([*command, *flags], capture_output=True).returncode


def _first_line(command):
    return subprocess.run(command, capture_output=True, text=True).stdout.split("\n")[0]


def main():
    """Build beside the Python sources, where an editable installation looks."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=BESIDE)
    parser.add_argument("--requirements", action="store_true")
    arguments = parser.parse_args()
    if arguments.requirements:
        print(*pyproject()["build-system"]["requires"], *requirements(), "editables")
    elif not switched_off():
        try:
            build(arguments.out)
        except (BuildError, OSError) as error:
            sys.exit(f"The native core was not compiled: {error}.")


if __name__ == "__main__":
    main()
