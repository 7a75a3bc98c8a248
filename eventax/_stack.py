"""Reading and writing one entry of a stack, fast in a batch too.

`jax.vmap` turns a dynamic slice into a gather, and its update into a scatter, even if
every sample of the batch is at the same entry. These two stay what they are then.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.lax as lax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Int, PyTree


def room(tree: PyTree, length: int) -> PyTree:
    """A stack of `length` entries like `tree`, all zero."""
    return jax.tree.map(lambda x: jnp.zeros((length, *x.shape), x.dtype), tree)


def put(stack: PyTree, k: Int[Array, ""], item: PyTree) -> PyTree:
    """The stack with `item` as its entry k."""
    return jax.tree.map(lambda stack, item: _put(stack, item, k), stack, item)


def at(stack: PyTree, k: Int[Array, ""]) -> PyTree:
    """Entry k of the stack."""
    return jax.tree.map(lambda stack: _at(stack, k), stack)


@custom_vmap
def _put(stack: Array, item: Array, k: Any) -> Array:
    return lax.dynamic_update_index_in_dim(stack, item, k, 0)


@_put.def_vmap
def _put_in_batch(size: int, batched: Any, stack: Array, item: Array, k: Any) -> Any:
    if batched == [True, True, False]:
        return lax.dynamic_update_index_in_dim(stack, item, k, 1), True
    axes = [0 if is_batched else None for is_batched in batched]
    return jax.vmap(_put.fun, axes, axis_size=size)(stack, item, k), True


@custom_vmap
def _at(stack: Array, k: Any) -> Array:
    return lax.dynamic_index_in_dim(stack, k, 0, keepdims=False)


@_at.def_vmap
def _at_in_batch(size: int, batched: Any, stack: Array, k: Any) -> Any:
    if batched == [True, False]:
        return lax.dynamic_index_in_dim(stack, k, 1, keepdims=False), True
    axes = [0 if is_batched else None for is_batched in batched]
    return jax.vmap(_at.fun, axes, axis_size=size)(stack, k), True
