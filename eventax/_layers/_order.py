"""Sorting spikes by time."""

from __future__ import annotations

import importlib

import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

try:
    from jax import enable_x64
except ImportError:  # an older JAX
    enable_x64 = importlib.import_module("jax.experimental").enable_x64


def by_time(
    times: Float[Array, " spikes"], senders: Int[Array, " spikes"], n_senders: int
) -> Int[Array, " spikes"]:
    """Places of the spikes in order of time, at one time of the sender.

    Times are not negative; spikes that never come are at the end.
    """
    n, times = times.shape[0], lax.stop_gradient(times)
    places = jnp.arange(n, dtype=jnp.int32)
    if times.dtype == jnp.float32 and n_senders * n < 2**31:
        return _by_packed_keys(times, senders * n + places, n)
    return lax.sort((times, senders, places), num_keys=2)[2]


def _by_packed_keys(
    times: Float[Array, " spikes"], ties: Int[Array, " spikes"], n: int
) -> Int[Array, " spikes"]:
    """By one number for each spike, which XLA sorts about five times faster on CPUs.

    The bits of a float that is not negative are in the order of its values. -0 is not.
    """
    with enable_x64(True):
        bits = lax.bitcast_convert_type(jnp.maximum(times, 0), jnp.int32)
        high = lax.shift_left(bits.astype(jnp.int64), jnp.int64(32))
        low = lax.sort(high | ties.astype(jnp.int64)) & jnp.int64(2**31 - 1)
        return (low % n).astype(jnp.int32)
