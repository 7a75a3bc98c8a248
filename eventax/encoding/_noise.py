"""Noise on spike times, for training that is robust to it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._arguments import (
    as_floats,
    as_numbers,
    check_not_negative,
    check_range,
    visible,
)


def drop_spikes(
    key: Array, times: Float[ArrayLike, "*batch"], p: Any
) -> Float[Array, "*batch"]:
    """Each spike is lost with probability p, independently of the others.

    Arguments:
        key: random key.
        times: spike times of any shape, `inf` where there is none.
        p: probability between 0 and 1.

    Returns:
        The times, `inf` for the spikes that are lost.

    Raises:
        TypeError: `p` is no number.
        ValueError: `p` is not between 0 and 1.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from eventax.encoding import drop_spikes
        >>> times = drop_spikes(jax.random.key(0), jnp.zeros((100, 1)), p=0.2)
        >>> int(jnp.sum(jnp.isinf(times)))
        16
    """
    chance = as_numbers("p", p, float)
    seen = visible(chance)
    if chance.ndim or (seen is not None and not 0 <= seen <= 1):
        raise ValueError(
            f"`p` must be a probability, a number between 0 and 1; got {p!r}."
        )
    times = as_floats(times)
    return jnp.where(jax.random.bernoulli(key, chance, times.shape), jnp.inf, times)


def jitter(
    key: Array, times: Float[ArrayLike, "*batch"], sd: Any, *, t_min: Any, t_max: Any
) -> Float[Array, "*batch"]:
    """Each spike is moved by a normal random time, and stays within a range.

    Arguments:
        key: random key.
        times: spike times of any shape, `inf` where there is none, which stays so.
        sd: standard deviation, in units of time.
        t_min: moved spikes before it are put to it: the start of the simulation, say.
        t_max: moved spikes after it are put to it.

    Returns:
        The times, those of spikes moved.

    Raises:
        ValueError: `sd` is negative, `t_max` is not after `t_min`, or a number is not
            finite.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from eventax.encoding import jitter
        >>> times = jnp.array([3.0, 5.0, jnp.inf])
        >>> jitter(jax.random.key(0), times, 0.5, t_min=0.0, t_max=20.0)
        Array([3.81 , 6.01,       inf], dtype=float32)
    """
    check_not_negative("sd", sd)
    check_range(("t_min", t_min), ("t_max", t_max))
    times = as_floats(times)
    moved = times + sd * jax.random.normal(key, times.shape, times.dtype)
    return jnp.where(jnp.isfinite(times), jnp.clip(moved, t_min, t_max), times)
