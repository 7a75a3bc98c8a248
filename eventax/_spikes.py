"""Spikes as a list of events."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int


class Spikes(NamedTuple):
    """Spikes of several channels, each told by its time and its channel.

    A network of many channels with few spikes in each needs much less memory for such a
    list than for an array padded to the busiest channel. A batch has its axes in front;
    to have lists of equal length, fill them up with the time `inf`, whose channel does
    not matter. `eventax.encoding.list_batch` does so.

    A pytree: to differentiate by times alone, make the list inside the function, as
    `jax.grad(lambda times: loss(Spikes(times, channels)))`.

    Arguments:
        times: (..., E) times in any order, `inf` where there is no spike.
        channels: (..., E) whole numbers in 0..M-1, the channel of each.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax import Spikes
        >>> Spikes(jnp.array([1.0, 2.0, jnp.inf]), jnp.array([2, 0, 0]))
        Spikes(times=Array([ 1.,  2., inf], dtype=float32),
               channels=Array([2, 0, 0], dtype=int32))
    """

    times: Float[Array | np.ndarray, "*batch events"]
    channels: Int[Array | np.ndarray, "*batch events"]
