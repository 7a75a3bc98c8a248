"""Compile the native core: a shared library for each instruction set.

    python -m native.build                   # beside the Python sources
    python -m native.build --requirements    # print what it needs, without a compiler
    python -m native.build --compiler        # print what to install as one, if anything
    python -m native.build --wheels          # print what `make wheels` needs
    python -m native.build --flags           # print what checkers of the source need

`hatch_build.py` calls it for a wheel or an editable installation, `make native` when a
source has changed.
"""

import argparse
import importlib.util
import os
import platform
import re
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .compilers import system_compiler, zig
from .targets import LEVELS, crossed, here

ROOT = Path(__file__).resolve().parent.parent
NATIVE = ROOT / "native"
BESIDE = ROOT / "eventax" / "_native"

FLAGS = [
    "-std=c++17",
    "-O3",
    # Not -ffast-math: infinity is a time, and NaN has to be seen. Of its parts only
    # those that change no result: nobody reads errno, and nobody traps floating-point
    # errors (to keep these in order takes twice the time).
    "-fno-math-errno",
    "-fno-trapping-math",
    # Spike trains can be chaotic, so what is rounded together is not left to the
    # compiler: `mul_add` in native/exponentials.h says it where it counts.
    "-ffp-contract=off",
    # Takes `#pragma omp simd` at its word; there is no OpenMP.
    "-fopenmp-simd",
    "-fvisibility=hidden",
    "-fvisibility-inlines-hidden",
    "-fPIC",
    "-DNDEBUG",
    "-Wall",
    "-Wextra",
]


class BuildError(Exception):
    """There is no library; the message goes after a colon."""


class DoWithoutError(BuildError):
    """Nothing is wrong with the source: this machine cannot have it."""


def switched_off():
    """Whether the user wants no native core; read when it is loaded, too."""
    return os.environ.get("EVENTAX_NATIVE") == "0"


def compiler_requirements():
    """What to install as a compiler: ziglang, only where there is none."""
    if switched_off() or not (crossed() or here()):
        return []
    return [] if find_compiler() else [r for r in extra("wheels") if "ziglang" in r]


def find_compiler():
    """The system's compiler for this machine, ziglang for others and where it is."""
    if target := crossed():
        return zig(target)
    return system_compiler() or (zig(here()) if here() else None)


def build(out):
    """Compile every instruction set of the target into a folder; the files."""
    target = crossed() or here()
    if target is None:
        raise DoWithoutError(f"it is not written for {platform.machine()}")
    compiler = find_compiler()
    if compiler is None:
        raise DoWithoutError("there is no compiler of C++17")
    levels = LEVELS[target.machine]
    with _folder_in(out) as aside:
        files = [Path(aside, target.name(name)) for name in levels.values()]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda *a: _compile(compiler, *a), files, levels.items()))
        return [file.replace(out / file.name) for file in files]


def _folder_in(out):
    """Compiled aside and moved: nobody loads half a library, or one that changes."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=out)
    except OSError as error:
        reason = f"nothing can be written to {out} ({error.strerror})"
        raise DoWithoutError(reason) from None


def _compile(compiler, file, level_and_name):
    level, name = level_and_name
    flags = [*FLAGS, *compiler.instructions(level, name)]
    how = f"{compiler.name}: {' '.join(flags)}"
    core, processor = (f"{file.with_suffix('')}.{i}.o" for i in range(2))
    facts = [*macros(level, name, how), *includes()]
    _run(compiler, *flags, *facts, "-c", str(NATIVE / "eventax.cpp"), "-o", core)
    # What any processor has to run, and zig's libc++, which it then compiles only once,
    # are without the instruction set.
    _run(compiler, *FLAGS, "-c", str(NATIVE / "processor.cpp"), "-o", processor)
    _run(compiler, *link_flags(compiler, file), core, processor, "-o", str(file))


def link_flags(compiler, file):
    """A shared library that shows nothing of the standard library inside."""
    named = {
        ".so": [f"-Wl,--version-script={NATIVE / 'exports.map'}"],
        # macOS writes into the file where it is: not where it was compiled.
        ".dylib": [f"-Wl,-install_name,@rpath/{file.name}"],
    }
    strip = ["-s"] if compiler.zig else []
    return ["-shared", "-pthread", *strip, *named.get(file.suffix, [])]


def macros(level, name, how):
    """What a library is to know of itself."""
    return [
        f'-DEVENTAX_VERSION="{pyproject()["project"]["version"]}"',
        f'-DEVENTAX_INSTRUCTIONS="{name}"',
        f"-DEVENTAX_LEVEL={level}",
        f'-DEVENTAX_BUILD="{how}"',
    ]


def _run(compiler, *arguments):
    # zig keeps what it has compiled; where nobody says, not in the user's home.
    caches = {"ZIG_GLOBAL_CACHE_DIR": str(ROOT / "build" / "zig"), **os.environ}
    command = [*compiler.command, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=caches)
    sys.stderr.write(done.stderr)
    if done.returncode:
        raise BuildError(f"{compiler.name} could not compile it")


def includes():
    """Where XLA's FFI headers are, which jaxlib ships: not ours to be warned about."""
    found = importlib.util.find_spec("jaxlib")
    if found is None or not found.submodule_search_locations:
        raise BuildError("jaxlib, which has the headers, is not installed")
    return [f"-isystem{Path(found.submodule_search_locations[0], 'include')}"]


def pyproject():
    """The one place that states version and requirements."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def requirements():
    """What an environment that stays needs: with the jax that it will run, no other."""
    project = pyproject()
    builders = project["build-system"]["requires"]
    return [
        *(r for r in builders if not r.startswith("jaxlib")),
        "editables",
        *(r for r in project["project"]["dependencies"] if re.match(r"jax\b", r)),
    ]


def wheel_requirements():
    """What an environment for `native.wheels` needs: the oldest headers."""
    return [*pyproject()["build-system"]["requires"], *extra("wheels")]


def extra(name):
    """The requirements of an optional feature."""
    return pyproject()["project"]["optional-dependencies"][name]


def main():
    """Build beside the Python sources, where an editable installation looks."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    questions = {
        "requirements": requirements,
        "compiler": compiler_requirements,
        "wheels": wheel_requirements,
        "flags": lambda: ["-std=c++17", *includes(), *macros(1, "none", "none")],
    }
    asked = parser.add_mutually_exclusive_group()
    for name, answer in questions.items():
        asked.add_argument(f"--{name}", action="store_const", const=answer, dest="ask")
    ask = parser.parse_args().ask
    if ask:
        print(*ask())
    elif not switched_off():
        _build_beside()


def _build_beside():
    try:
        build(BESIDE)
    except DoWithoutError as reason:
        print(f"No native core: {reason}. eventax runs on JAX, slower on CPUs.")
    except (BuildError, OSError) as error:
        sys.exit(f"The native core was not compiled: {error}.")


if __name__ == "__main__":
    main()
