"""The largest number of a batch, which all its samples share, and whose it is."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jax.custom_derivatives import zero_from_primal
from jaxtyping import Array, Int, PyTree


@custom_vmap
def largest(number: Int[Array, ""]) -> Int[Array, ""]:
    """Of all samples, however many `vmap`; 0 if there are none, or none is positive."""
    return jnp.maximum(number, 0)


@largest.def_vmap
def _of_a_batch(size: int, batched: Any, numbers: Array) -> Any:
    (is_batched,) = batched
    if is_batched:
        numbers = jnp.max(numbers, axis=0, initial=0)
    return largest(numbers), False


@jax.custom_jvp
def of_largest(number: Int[Array, ""], rest: PyTree) -> tuple[Int[Array, ""], PyTree]:
    """The largest number of all samples, and the arrays of the first that has it.

    Without derivatives: JAX 0.7 asks for those of whole numbers in a branch, and the
    rule for a batch, which ends with this function, would never end.
    """
    return _of_largest(number, rest)


@of_largest.defjvp
def _without_derivatives(primals: Any, _: Any) -> Any:
    found = of_largest(*primals)
    return found, jax.tree.map(zero_from_primal, found)


@custom_vmap
def _of_largest(number: Int[Array, ""], rest: PyTree) -> tuple[Int[Array, ""], PyTree]:
    return number, rest


@_of_largest.def_vmap
def _of_one(size: int, batched: Any, numbers: Array, rest: PyTree) -> Any:
    numbers = numbers if batched[0] else jnp.broadcast_to(numbers, (size,))
    samples = jnp.arange(size)
    has_it = numbers == jnp.max(numbers, initial=0)
    chosen = samples == jnp.min(jnp.where(has_it, samples, size), initial=size)

    # By sums, for which samples of several devices need not be brought together.
    def own(x: Array, batched: bool) -> Array:
        if not batched:
            return x
        mask = chosen.reshape(-1, *[1] * (x.ndim - 1))
        return jnp.sum(jnp.where(mask, x, 0), axis=0, dtype=x.dtype)

    number, rest = own(numbers, True), jax.tree.map(own, rest, batched[1])
    return _of_largest(number, rest), jax.tree.map(lambda _: False, (number, rest))


@custom_vmap
def of_any(x: Array) -> Array:
    """An array that is the same for all samples, as one that they share."""
    return x


@of_any.def_vmap
def _of_the_first(size: int, batched: Any, x: Array) -> Any:
    if batched[0]:
        x = x[0] if size else jnp.zeros(x.shape[1:], x.dtype)
    return of_any(x), False
