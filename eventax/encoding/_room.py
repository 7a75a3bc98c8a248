"""How many entries an array of spikes needs, and what if it has fewer."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from .._arguments import check_count, visible


def room(
    name: str, counts: Int[Array | np.ndarray, "*batch"], given: int | None
) -> int:
    """The given number of entries, or as many as the largest count, at least 1.

    While JAX traces the counts a number must be given, and `guarded` checks it later.
    """
    seen = visible(counts)
    if given is not None:
        given = check_count(name, given, 0)
        if seen is not None and seen.max(initial=0) > given:
            raise ValueError(f"{_too_few(name, given)} The largest has {seen.max()}.")
        return given
    if seen is None:
        raise ValueError(
            f"`{name}` must be given under `jax.jit`, `jax.vmap` and `jax.grad`, where "
            "the shape of a result cannot depend on values; got None."
        )
    return max(int(seen.max(initial=0)), 1)


def guarded(array: Array, name: str, counts: Int[Array, "*batch"], given: int) -> Array:
    """The array; an error, also under `jit`, if it has too few entries."""
    if visible(counts) is not None:
        return array
    return eqx.error_if(array, jnp.any(counts > given), _too_few(name, given))


def _too_few(name: str, given: int) -> str:
    return (
        f"`{name}` must be at least the number of spikes, or some would be lost; got "
        f"{given}. Give a larger one."
    )
