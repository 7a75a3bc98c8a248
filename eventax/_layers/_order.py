"""Sorting spikes by time."""

from __future__ import annotations

import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Int

from .._flows import Clock


def by_time(times: Clock, senders: Int[Array, " spikes"]) -> Int[Array, " spikes"]:
    """Places of the spikes in order of time, at one time of the sender.

    Spikes that never come are at the end.
    """
    times = lax.stop_gradient(times)
    places = jnp.arange(senders.shape[0], dtype=jnp.int32)
    return lax.sort((*times, senders, places), num_keys=3)[3]
