"""Whether an argument is a network."""

from __future__ import annotations

from typing import Any

from ._evnn import EvNN


def check_network(name: str, value: Any) -> None:
    """TypeError, unless the value is one."""
    if not isinstance(value, EvNN):
        raise TypeError(f"`{name}` must be an EvNN or FFEvNN; got {value!r}.")
