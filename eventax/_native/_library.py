"""The native core's shared library: found, checked, loaded, registered with JAX.

An installation has one library for each instruction set, and the best that the
processor has is loaded. The environment variable `EVENTAX_NATIVE`, read once, is `0` to
run on JAX alone, or the path of another library, or of a folder of them.
"""

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
from jax import ffi

OWN = Path(__file__).parent
VARIABLE = "EVENTAX_NATIVE"
SUFFIXES = (".so", ".dylib", ".dll")


@dataclass(frozen=True)
class Library:
    """A loaded library, whose targets `jax.ffi.ffi_call` knows by name.

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


class _UnusableError(Exception):
    """Why there is no library: half a sentence."""


class _SwitchedOffError(_UnusableError):
    """The user wants none, and so needs no warning."""


class _Handler(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("call", ctypes.c_void_p)]


def load() -> Library | None:
    """The library for this processor, registered with JAX; None if there is none.

    Why there is none is a `RuntimeWarning` once, unless the user has switched it off.
    """
    return _loaded()[0]


def why_missing() -> str:
    """Why `load` has no library: half a sentence, empty if it has one."""
    return _loaded()[1]


@functools.cache
def _loaded() -> tuple[Library | None, str]:
    try:
        return _open(_choose(_candidates())), ""
    except (_UnusableError, OSError) as reason:
        if not isinstance(reason, _SwitchedOffError):
            sentence = f"No native core, eventax runs on JAX: {reason}."
            warnings.warn(sentence, RuntimeWarning, stacklevel=3)
        return None, str(reason)


def _candidates() -> list[Path]:
    """The libraries that there are, that for the oldest processors first."""
    setting = os.environ.get(VARIABLE, "")
    if setting == "0":
        raise _SwitchedOffError(f"{VARIABLE}=0 switches it off")
    place = Path(setting or OWN)
    if place.is_file():
        return [place]
    found = [path for path in place.glob("eventax-*") if path.suffix in SUFFIXES]
    if found:
        return sorted(found, key=_level)
    if setting:
        raise _UnusableError(f"{VARIABLE}={setting} names no library of eventax")
    raise _UnusableError(
        "none was compiled when eventax was installed, for want of a compiler or of "
        f"leave to write; install eventax again, or set {VARIABLE}=0"
    )


def _choose(candidates: list[Path]) -> Path:
    """The best that this processor can run: the first can tell on any."""
    first, *others = candidates
    processor = _symbols(first).eventax_native_processor() if others else 0
    fit = [path for path in others if _level(path) <= processor]
    return fit[-1] if fit else first


def _level(path: Path) -> int:
    found = re.search(r"-v(\d+)$", path.stem)
    return int(found[1]) if found else 1


def _symbols(path: Path) -> ctypes.CDLL:
    """The functions that `native/eventax.cpp` exports, with their types."""
    try:
        symbols = ctypes.CDLL(str(path))
    except OSError as error:
        raise _UnusableError(f"{path} cannot be loaded ({error})") from None
    try:
        for text in ("version", "instructions", "build"):
            getattr(symbols, f"eventax_native_{text}").restype = ctypes.c_char_p
        for level in ("needs", "processor"):
            getattr(symbols, f"eventax_native_{level}").restype = ctypes.c_int
        symbols.eventax_native_handlers.restype = ctypes.POINTER(_Handler)
    except AttributeError as error:
        raise _UnusableError(f"{path} is no library of eventax ({error})") from None
    return symbols


def _open(path: Path) -> Library:
    symbols = _symbols(path)
    built_for = symbols.eventax_native_version().decode()
    instructions = symbols.eventax_native_instructions().decode()
    if built_for != version("eventax"):
        raise _UnusableError(
            f"{path} is built for eventax {built_for}, and this is eventax "
            f"{version('eventax')}; install eventax again"
        )
    if symbols.eventax_native_needs() > symbols.eventax_native_processor():
        raise _UnusableError(
            f"{path} is compiled for {instructions}, which this processor does not "
            f"have; unset {VARIABLE}, or install eventax again"
        )
    how = symbols.eventax_native_build().decode()
    return Library(path, instructions, how, tuple(_register(path, symbols)))


def _register(path: Path, symbols: ctypes.CDLL) -> Iterator[str]:
    try:
        # Before the backend is there, JAX only takes a note of a target; one that XLA
        # then refuses ends the backend, and not just the registration.
        jax.devices("cpu")
        for handler in symbols.eventax_native_handlers():
            if handler.name is None:
                return
            name = handler.name.decode()
            ffi.register_ffi_target(name, ffi.pycapsule(handler.call), platform="cpu")
            yield name
    except RuntimeError as error:
        raise _UnusableError(f"JAX does not take {path} ({error})") from None
