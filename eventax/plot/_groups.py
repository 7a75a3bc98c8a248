"""Which parts of a network a picture shows."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._networks._groups import Group


def choose(groups: list[Group], layer: Any) -> list[int]:
    """Numbers of the groups to show: one of them, or all if None."""
    known = range(len(groups))
    if layer is None:
        return list(known)
    whole = isinstance(layer, int | np.integer) and not isinstance(layer, bool)
    if not whole or not -len(groups) <= layer < len(groups):
        listed = ", ".join(f"{k} ({groups[k].name})" for k in known)
        raise ValueError(
            f"`layer` must be the number of one of the network's layers, {listed}, or "
            f"None for all; got {layer!r}."
        )
    return [known[layer]]
