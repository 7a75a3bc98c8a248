"""The largest number of a batch, which all its samples share."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Int


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
