"""Reading and writing one entry of a stack, fast in a batch too.

`jax.vmap` turns a dynamic slice into a gather, and its update into a scatter, even if
every sample of the batch is at the same entry. These two stay what they are then.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.lax as lax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Int, PyTree


def room(tree: PyTree, *length: int) -> PyTree:
    """A stack of `length` entries like `tree`, or a table of them, all zero."""
    return jax.tree.map(lambda x: jnp.zeros((*length, *x.shape), x.dtype), tree)


def put(stack: PyTree, k: Int[Array, ""], item: PyTree) -> PyTree:
    """The stack with `item` as its entry k."""
    return jax.tree.map(lambda stack, item: _put(stack, item, k), stack, item)


def at(stack: PyTree, k: Int[Array, ""]) -> PyTree:
    """Entry k of the stack."""
    return jax.tree.map(lambda stack: _at(stack, k), stack)


class Stack(NamedTuple):
    """One of several stacks of equal length that lie in one tree of arrays."""

    entries: PyTree  # arrays (stacks, length, ...)
    number: Int[Array, ""]

    @property
    def length(self) -> int:
        return jax.tree.leaves(self.entries)[0].shape[1]

    def put(self, k: Int[Array, ""], item: PyTree) -> Stack:
        """With `item` as its entry k."""
        place = jnp.stack([self.number, k])
        entries = jax.tree.map(lambda x, item: _put(x, item, place), self.entries, item)
        return self._replace(entries=entries)

    def at(self, k: Int[Array, ""]) -> PyTree:
        """Entry k."""
        place = jnp.stack([self.number, k])
        return jax.tree.map(lambda x: _at(x, place), self.entries)


def _starts(stack: Array, k: Any, before: int) -> list[Any]:
    """Where entry k begins: of an array, or of a table if k is a row and a column."""
    places = jnp.atleast_1d(k)
    zero = jnp.zeros((), places.dtype)
    rest = stack.ndim - before - len(places)
    return [zero] * before + list(places) + [zero] * rest


@custom_vmap
def _put(stack: Array, item: Array, k: Any) -> Array:
    item = lax.expand_dims(item, range(jnp.size(k)))
    return lax.dynamic_update_slice(stack, item, _starts(stack, k, 0))


@_put.def_vmap
def _put_in_batch(size: int, batched: Any, stack: Array, item: Array, k: Any) -> Any:
    if batched == [True, True, False]:
        item = lax.expand_dims(item, range(1, 1 + jnp.size(k)))
        return lax.dynamic_update_slice(stack, item, _starts(stack, k, 1)), True
    axes = [0 if is_batched else None for is_batched in batched]
    return jax.vmap(_put.fun, axes, axis_size=size)(stack, item, k), True


@custom_vmap
def _at(stack: Array, k: Any) -> Array:
    n = jnp.size(k)
    item = lax.dynamic_slice(stack, _starts(stack, k, 0), (*[1] * n, *stack.shape[n:]))
    return lax.squeeze(item, range(n))


@_at.def_vmap
def _at_in_batch(size: int, batched: Any, stack: Array, k: Any) -> Any:
    if batched == [True, False]:
        n = jnp.size(k)
        shape = (size, *[1] * n, *stack.shape[1 + n :])
        item = lax.dynamic_slice(stack, _starts(stack, k, 1), shape)
        return lax.squeeze(item, range(1, 1 + n)), True
    axes = [0 if is_batched else None for is_batched in batched]
    return jax.vmap(_at.fun, axes, axis_size=size)(stack, k), True
