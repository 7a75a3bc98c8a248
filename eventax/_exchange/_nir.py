"""The package `nir`, imported where it is needed."""

from __future__ import annotations

from types import ModuleType


def import_nir() -> ModuleType:
    """The package `nir`, an extra of this one."""
    try:
        import nir
    except ImportError as error:
        raise ImportError(
            "Graphs in NIR need the package nir, 1.0.8 or newer: "
            "pip install 'eventax[nir]'."
        ) from error
    return nir
