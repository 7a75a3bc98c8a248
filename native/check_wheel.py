"""Look into a wheel for another platform: what is known of it without running it."""

import re
import tempfile
import zipfile
from pathlib import Path

import lief

from .targets import LEVELS

# It remarks on parts of a file that are left out on purpose.
lief.logging.disable()

# The C interface between `native/*.cpp` and `eventax/_native/_library.py`.
OFFERED = {
    f"eventax_native_{name}"
    for name in ("version", "instructions", "build", "needs", "processor", "handlers")
}
# The system's own libraries: none of C++, and nothing of Python or JAX.
LINKED = {
    "Linux": {
        "libc.so.6",
        "libm.so.6",
        "libpthread.so.0",
        "libdl.so.2",
        "ld-linux-x86-64.so.2",
        "ld-linux-aarch64.so.1",
    },
    "Darwin": {"/usr/lib/libSystem.B.dylib"},
    # And the universal C runtime, of which each part is a library: in Windows since 10.
    "Windows": {"kernel32.dll", "ntdll.dll", "api-ms-win-crt-"},
}


class WheelError(Exception):
    """A wheel is not what its name says; the message goes after a colon."""


def check(wheel, target):
    """A line for each library; raises if one is missing or asks for too much."""
    if not wheel.name.endswith(f"-py3-none-{target.tag}.whl"):
        raise WheelError(f"it should be tagged {target.tag}")
    names = [
        target.name(instructions) for instructions in LEVELS[target.machine].values()
    ]
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        inside = [
            n for n in archive.namelist() if n.startswith("eventax/_native/eventax-")
        ]
        if sorted(inside) != sorted(f"eventax/_native/{name}" for name in names):
            raise WheelError(f"it has {inside}, not {names}")
        return [check_library(Path(archive.extract(n, folder)), target) for n in inside]


def _is_of_system(library, system):
    name = library.lower() if system == "Windows" else library
    own = LINKED[system]
    return name in own or any(o.endswith("-") and name.startswith(o) for o in own)


def check_library(file, target):
    """A line about a library: size, oldest system, what it links."""
    library = lief.parse(file)
    lacks = OFFERED - {
        function.name.lstrip("_") for function in library.exported_functions
    }
    if lacks:
        raise WheelError(f"{file.name} does not offer {sorted(lacks)}")
    linked = {getattr(entry, "name", entry) for entry in library.libraries}
    linked.discard(f"@rpath/{file.name}")  # macOS lists a library's own name too
    foreign = {name for name in linked if not _is_of_system(name, target.system)}
    if foreign:
        raise WheelError(f"{file.name} links {sorted(foreign)}")
    oldest = oldest_system(library)
    if oldest > promised(target):
        raise WheelError(f"{file.name} needs {target.system} {oldest}")
    size = file.stat().st_size >> 10
    return f"{file.name}, {size} KiB, needs {oldest}, links {', '.join(sorted(linked))}"


def promised(target):
    """The version in a tag, of glibc or macOS: (2, 17) in `manylinux_2_17_x86_64`."""
    return _version(re.match(r"[a-z]+_(\d+_\d+)_|", target.tag)[1] or "")


def oldest_system(library):
    """The oldest version of glibc or macOS that has all that a library asks for."""
    if isinstance(library, lief.ELF.Binary):
        asked = [
            aux.name.removeprefix("GLIBC_")
            for requirement in library.symbols_version_requirement
            for aux in requirement.get_auxiliary_symbols()
        ]
        return max(map(_version, asked))
    if isinstance(library, lief.MachO.Binary):
        return tuple(library.build_version.minos[:2])
    return ()


def _version(text):
    return tuple(int(part) for part in re.findall(r"\d+", text))
