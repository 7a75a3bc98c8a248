"""Write the sdist and a wheel for each platform, and check what is in the wheels.

    python -m native.wheels dist       # what `make wheels` runs

ziglang compiles for platforms that are not this one. What cannot be run here is looked
into: which functions a library offers, what it links, how old a system may be.
"""

import os
import sys
import tempfile
import zipfile
from pathlib import Path

import hatchling.build
import lief

from .build import ROOT
from .targets import LEVELS, TARGETS, here

# The C interface between `eventax.cpp` and `_library.py`.
OFFERED = {
    f"eventax_native_{name}"
    for name in ("version", "instructions", "build", "needs", "processor", "handlers")
}
# The system's own: no C++ library, and nothing of Python or JAX.
LINKED = {
    "Linux": {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1"},
    "Darwin": {"/usr/lib/libSystem.B.dylib"},
    "Windows": {"kernel32.dll", "ntdll.dll"},
}
LINKED["Linux"] |= {"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


class WheelError(Exception):
    """A wheel is not what its name says."""


def write(folder):
    """The sdist, and a wheel for each target; the wheels' paths."""
    os.chdir(ROOT)
    hatchling.build.build_sdist(str(folder))
    wheels = []
    for target in TARGETS:
        os.environ["EVENTAX_WHEEL"] = target.tag
        wheels.append(folder / hatchling.build.build_wheel(str(folder)))
    return wheels


def check(wheel, target):
    """A line for each library; raises where one is missing, or does not fit."""
    if not wheel.stem.endswith(f"-py3-none-{target.tag}"):
        raise WheelError(f"{wheel.name} has no library for {target.tag}")
    names = [target.name(instructions) for instructions in LEVELS[target.machine]]
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        files = {
            Path(name).name: archive.extract(name, folder)
            for name in archive.namelist()
            if Path(name).match("eventax/_native/eventax-*")
        }
        if set(files) != set(names):
            raise WheelError(f"{wheel.name} has {sorted(files)}, not {names}")
        return [_check_library(Path(files[name]), target) for name in names]
