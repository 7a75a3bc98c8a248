"""The native core's shared library: found, checked, loaded, registered with JAX."""

import ctypes
import functools
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import jax

OWN = Path(__file__).parent
VARIABLE = "EVENTAX_NATIVE"


@dataclass(frozen=True)
class Library:
    """A loaded library, whose `targets` `jax.ffi.ffi_call` knows by name.

    Arguments:
        path: the file.
        instructions: the instruction set that it is compiled for.
        how: compiler and flags.
        targets: names of its handlers.
    """

    path: Path
    instructions: str
    how: str
    targets: tuple[str, ...]


class _Unusable(Exception):
    """Why there is no library; `warn` where somebody meant to have one."""

    def __init__(self, reason: str, *, warn: bool = True):
        super().__init__(f"{reason}; eventax runs on JAX.")
        self.warn = warn


class _Handler(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("call", ctypes.c_void_p)]  # noqa: RUF012


def load() -> Library | None:
    """The library for this processor, registered with JAX; None if there is none."""
    return _loaded()[0]


def why_missing() -> str:
    """Why `load` finds no library: one sentence; empty where it finds one."""
    return _loaded()[1]


@functools.cache
def _loaded() -> tuple[Library | None, str]:
    try:
        return _open(_choose(_candidates())), ""
    except _Unusable as reason:
        if reason.warn:
            warnings.warn(str(reason), RuntimeWarning, stacklevel=3)
        return None, str(reason)


def _candidates() -> list[Path]:
    """The libraries that there are, the one for the oldest processors first."""
    setting = os.environ.get(VARIABLE, "")
    if setting == "0":
        raise _Unusable(f"The native core is switched off ({VARIABLE}=0)", warn=False)
    place = Path(setting or OWN)
    if place.is_file():
        return [place]
    found = [
        p for p in place.glob("eventax-*") if p.suffix in (".so", ".dylib", ".dll")
    ]
    if found:
        return sorted(found, key=_level)
    if setting:
        raise _Unusable(f"{VARIABLE}={setting} names no native library")
    raise _Unusable(
        "eventax was installed without its native core, because no C++ compiler could "
        "be had; install one, and then eventax again",
        warn=False,
    )


def _choose(candidates: list[Path]) -> Path:
    """The best library that this processor can run: the first one always can tell."""
    if len(candidates) == 1:
        return candidates[0]
    processor = _symbols(candidates[0]).eventax_native_processor()
    return [path for path in candidates if _level(path) <= processor][-1]


def _level(path: Path) -> int:
    found = re.search(r"-v(\d+)$", path.stem)
    return int(found[1]) if found else 1


def _symbols(path: Path) -> ctypes.CDLL:
    """The file's functions, with their types."""
    try:
        symbols = ctypes.CDLL(str(path))
    except OSError as error:
        raise _Unusable(
            f"The native library {path} cannot be loaded: {error}"
        ) from None
    try:
        for name in ("version", "instructions", "build"):
            getattr(symbols, f"eventax_native_{name}").restype = ctypes.c_char_p
        symbols.eventax_native_handlers.restype = ctypes.POINTER(_Handler)
        symbols.eventax_native_needs.restype = ctypes.c_int
        symbols.eventax_native_processor.restype = ctypes.c_int
    except AttributeError as error:
        raise _Unusable(f"{path} is not eventax's native library: {error}") from None
    return symbols


def _open(path: Path) -> Library:
    symbols = _symbols(path)
    built_for = symbols.eventax_native_version().decode()
    instructions = symbols.eventax_native_instructions().decode()
    if built_for != version("eventax"):
        raise _Unusable(
            f"The native library {path} is of eventax {built_for}, and this is "
            f"{version('eventax')}: install eventax again"
        )
    if symbols.eventax_native_needs() > symbols.eventax_native_processor():
        raise _Unusable(
            f"The native library {path} is compiled for {instructions}, which this "
            "processor does not have"
        )
    targets = tuple(_register(symbols))
    return Library(path, instructions, symbols.eventax_native_build().decode(), targets)


def _register(symbols: ctypes.CDLL) -> Iterator[str]:
    for handler in symbols.eventax_native_handlers():
        if handler.name is None:
            return
        name = handler.name.decode()
        jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(handler.call), "cpu")
        yield name
