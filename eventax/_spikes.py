"""Spikes as a list of events, in order of time or of channel."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
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


class PackedSpikes(NamedTuple):
    """Spikes in the order of their channels, and how many each channel has.

    The smallest form of those that a network takes: where `Spikes` tell the channel of
    each spike, this tells one number for each channel. So it is for data sets that are
    to fit into memory; each call makes `Spikes` of it. A batch has its axes in front;
    times are filled up with `inf` at the end. `eventax.encoding.pack_batch` makes it.

    A pytree: to differentiate by times alone, make it inside the function, as
    `jax.grad(lambda times: loss(PackedSpikes(times, counts)))`.

    Arguments:
        times: (..., E) times, first those of channel 0, then those of channel 1, and so
            on; in any order within a channel.
        counts: (..., M) whole numbers, how many of these times each channel has.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax import PackedSpikes
        >>> packed = PackedSpikes(jnp.array([1.0, 3.0, 2.0]), jnp.array([2, 0, 1]))
        >>> packed.as_list()
        Spikes(times=Array([1., 3., 2.], dtype=float32),
               channels=Array([0, 0, 2], dtype=int32))
    """

    times: Float[Array | np.ndarray, "*batch events"]
    counts: Int[Array | np.ndarray, "*batch inputs"]

    def as_list(self) -> Spikes:
        """The same as a list, still in the order of channels.

        Channels are -1 where `counts` are negative or more than there are times, and M
        for a time that none of them counts: a network that is given these says so.
        """
        times, counts = jnp.asarray(self.times), jnp.asarray(self.counts, jnp.int32)
        ends = jnp.cumsum(counts, axis=-1)
        starts = jnp.zeros((*ends.shape[:-1], times.shape[-1] + 1), jnp.int32)
        # Each channel that ends at a place is one more for all places from there on.
        places = jnp.clip(ends, 0, times.shape[-1])
        add = jnp.vectorize(lambda to, at: to.at[at].add(1), signature="(e),(m)->(e)")
        channels = jnp.cumsum(add(starts, places), axis=-1)[..., :-1]
        fits = jnp.all(counts >= 0, axis=-1) & (
            jnp.sum(counts, axis=-1) <= times.shape[-1]
        )
        channels = jnp.where(fits[..., None], channels, -1)
        return Spikes(self.times, jnp.where(times == jnp.inf, 0, channels))
