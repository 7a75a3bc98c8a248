"""Neurons that did not fire."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._arguments import as_floats, check_finite, warn_if_filled


def spikes_until(times: Any, t_max: Any) -> Float[Array, "*batch"]:
    """Times of spikes; those that are missing or late are a constant `t_max`."""
    check_finite("t_max", t_max)
    times = as_floats(times)
    warn_if_filled(times, t_max)
    return times_until(times, t_max)


def times_until(times: Any, t_max: Any) -> Float[Array, "*batch"]:
    """The same of times that are wanted."""
    times = as_floats(times)
    # Not a minimum: a comparison with NaN is false, and at t_max the spike counts.
    return jnp.where(times <= t_max, times, jnp.asarray(t_max, times.dtype))
