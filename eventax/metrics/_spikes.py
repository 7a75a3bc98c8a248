"""Which entries of an array of times are spikes."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool

from .._arguments import as_floats, as_numbers, warn_if_filled


def is_spike(times: Any, no_spike: Any) -> Bool[Array, "*batch"]:
    """Finite times other than the value that fills the array up."""
    times = as_floats(times)
    spikes = jnp.isfinite(times)
    if no_spike is None:
        warn_if_filled(times)
        return spikes
    return spikes & (times != as_numbers("no_spike", no_spike, times.dtype))


def has_spike(times: Any, trains: bool, no_spike: Any) -> Bool[Array, "*batch"]:
    """Whether each neuron fires at all."""
    spikes = is_spike(times, no_spike)
    least = 2 if trains else 1
    if spikes.ndim < least:
        shape = "(..., n, k)" if trains else "(..., n)"
        raise ValueError(
            f"`times` must have shape {shape} where `trains` is {trains}; got shape "
            f"{spikes.shape}."
        )
    return jnp.any(spikes, axis=-1) if trains else spikes
