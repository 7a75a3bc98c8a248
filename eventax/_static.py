"""Settings that are part of a network's identity, hashed and compared by value."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np


class Constant:
    """A fixed value (number, array, or pytree of them) that JAX treats as static.

    Two constants are equal when their contents are equal, so that two networks built
    with equal settings share one compilation. The content is `.value`; arrays in it
    are read-only NumPy arrays.
    """

    __slots__ = ("_key", "value")

    def __init__(self, value: Any):
        leaves, treedef = jax.tree.flatten(value)
        leaves = [_frozen(leaf) for leaf in leaves]
        self.value = jax.tree.unflatten(treedef, leaves)
        self._key = (treedef, tuple(_identity(leaf) for leaf in leaves))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Constant({self.value!r})"

    # A copy is the same, as nothing in it changes. In another process all but the value
    # is made anew: what JAX compares is not all that can be written down.

    def __copy__(self) -> Constant:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Constant:
        return self

    def __reduce__(self) -> tuple[Any, tuple[Any]]:
        return Constant, (self.value,)


def _frozen(leaf: Any) -> Any:
    if not isinstance(leaf, (jax.Array, np.ndarray, np.generic)):
        return leaf
    array = np.array(leaf)
    array.flags.writeable = False
    return array


def _identity(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        return (leaf.shape, leaf.dtype.str, leaf.tobytes())
    # NaN does not equal itself.
    return (type(leaf), leaf.hex() if isinstance(leaf, float) else leaf)
