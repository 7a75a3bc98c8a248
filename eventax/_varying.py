"""Values that differ from device to device, as `jax.shard_map` tells them apart."""

from __future__ import annotations

from typing import Any

import jax
import jax.lax as lax
from jax.core import ShapedArray
from jax.sharding import PartitionSpec
from jaxtyping import PyTree


def varying(tree: PyTree, *by: PyTree) -> PyTree:
    """The tree as one whose arrays vary over devices wherever any of `by` does.

    A loop or a branch must give back what it was given, and a start of zeros does not
    vary, but what comes of it does.
    """
    axes = _axes(by)
    if not axes:
        return tree

    def vary(x: Any) -> Any:
        missing = tuple(sorted(axes - _axes(x)))
        if not missing or not isinstance(x, jax.Array):
            return x
        if hasattr(lax, "pcast"):
            return lax.pcast(x, missing, to="varying")
        pvary: Any = vars(lax)["pvary"]  # an older JAX
        return pvary(x, missing)

    return jax.tree.map(vary, tree)


def _axes(tree: PyTree) -> frozenset[Any]:
    leaves = [x for x in jax.tree.leaves(tree) if isinstance(x, jax.Array)]
    return frozenset().union(*(_axes_of(jax.typeof(x)) for x in leaves))


def _axes_of(form: Any) -> frozenset[Any]:
    kind = getattr(form, "manual_axis_type", None)
    if kind is None:  # an older JAX
        return getattr(form, "vma", frozenset())
    return kind.varying


def shaped(shape: tuple[int, ...], dtype: Any, like: Any) -> ShapedArray:
    """The type of an array that varies over devices as one of the type `like` does."""
    if not _axes_of(like):
        return ShapedArray(shape, dtype)
    everywhere = like.sharding.update(spec=PartitionSpec(*[None] * len(shape)))
    return like.update(shape=shape, dtype=dtype, weak_type=False, sharding=everywhere)
