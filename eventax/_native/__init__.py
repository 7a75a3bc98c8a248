"""The native core: networks whose motion is known, simulated in C++."""

from ._library import Library, load, why_missing

__all__ = ["Library", "load", "why_missing"]
