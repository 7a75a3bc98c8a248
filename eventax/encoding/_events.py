"""Lists of events: from arrays, in batches, and what the two forms cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from .._arguments import as_floats
from .._spikes import PackedSpikes, Spikes
from ._padding import busiest, checked_samples
from ._room import guarded, room


def list_spikes(
    times: Float[ArrayLike, "*batch inputs k"], n_events: int | None = None
) -> Spikes:
    """A padded array of spikes as a list of events; the inverse is `pad_spikes`.

    Differentiable by the times.

    Arguments:
        times: (..., M, K) spike times, padded with `inf`.
        n_events: E, the length of the lists. By default as many as the sample with most
            spikes has, at least 1; to be given under `jax.jit`.

    Returns:
        `Spikes` of shape (..., E), in order of time and at one time of the channel,
        filled up with the time `inf` and channel 0. Channels are int16 where that is
        enough, to save memory.

    Raises:
        TypeError: `n_events` is not a whole number.
        ValueError: `n_events` is less than the spikes of a sample, or is not given
            under `jax.jit`.
        EquinoxRuntimeError: it is less, under `jax.jit`.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax.encoding import list_spikes
        >>> list_spikes(jnp.array([[3.0, jnp.inf], [jnp.inf, 1.0]]))
        Spikes(times=Array([1., 3.], dtype=float32),
               channels=Array([1, 0], dtype=int16))
    """
    times = as_floats(times)
    n_spikes = times.shape[-1]
    flat = times.reshape(*times.shape[:-2], -1)
    counts = jnp.sum(flat != jnp.inf, axis=-1)
    n_events = room("n_events", counts, n_events)
    # NaN would be sorted behind `inf`, and cut off in silence.
    keys = jnp.where(jnp.isnan(flat), -jnp.inf, flat)
    order = jnp.argsort(keys, axis=-1, stable=True)[..., :n_events]
    listed = jnp.take_along_axis(flat, order, axis=-1)
    channels = jnp.where(listed != jnp.inf, order // max(n_spikes, 1), 0)
    missing = [(0, 0)] * (flat.ndim - 1) + [(0, n_events - order.shape[-1])]
    listed = jnp.pad(listed, missing, constant_values=jnp.inf)
    channels = jnp.pad(channels, missing).astype(_index_type(times.shape[-2]))
    return Spikes(guarded(listed, "n_events", counts, n_events), channels)


def list_batch(
    samples: Sequence[tuple[Any, Any]] | Spikes,
    n_channels: int,
    n_events: int | None = None,
) -> Spikes:
    """Samples of different lengths as one batch of lists, filled up with `inf`.

    Arguments:
        samples: for each of B samples a pair (times, units) as in `pad_spikes`, such as
            those of `eventax.datasets.shd`; or `Spikes` of shape (B, E).
        n_channels: M, the number of channels.
        n_events: E, the length of the lists. By default as many as the longest sample
            needs, at least 1. Give it where batches must have equal shapes, since JAX
            compiles a program again for each shape.

    Returns:
        `Spikes` of shape (B, E), each sample in order of time. Times that are not
        finite are left out. Channels are int16 where that is enough, to save memory.

    Raises:
        TypeError: units, `n_channels` or `n_events` are not whole numbers.
        ValueError: a sample is not a pair, its times and units do not have the same
            length, a unit is not in 0..M-1, or a sample has more than `n_events`
            spikes.

    Example:
        >>> from eventax.encoding import list_batch
        >>> list_batch([([2.0, 1.0], [0, 4]), ([3.0], [1])], n_channels=5)
        Spikes(times=Array([[ 1.,  2.], [ 3., inf]], dtype=float32),
               channels=Array([[4, 0], [1, 0]], dtype=int16))
    """
    checked = checked_samples(samples, n_channels)
    lengths = np.array([len(times) for times, _ in checked], int)
    n_events = room("n_events", lengths, n_events)
    times = np.full((len(checked), n_events), np.inf)
    channels = np.zeros(times.shape, _index_type(n_channels))
    for k, (own_times, own_channels) in enumerate(checked):
        order = np.lexsort((own_channels, own_times))
        times[k, : order.size] = own_times[order]
        channels[k, : order.size] = own_channels[order]
    return Spikes(jnp.asarray(times, float), jnp.asarray(channels))


def pack_batch(
    samples: Sequence[tuple[Any, Any]] | Spikes,
    n_channels: int,
    n_events: int | None = None,
) -> PackedSpikes:
    """The same batch in the smallest form: times by channel, and counts of channels.

    Arguments:
        samples: as in `list_batch`.
        n_channels: M, the number of channels.
        n_events: E, the length of the lists, as in `list_batch`.

    Returns:
        `PackedSpikes` of times (B, E) and counts (B, M), each channel in order of time.
        Times that are not finite are left out. Counts are int16 where that is enough.

    Raises:
        TypeError: units, `n_channels` or `n_events` are not whole numbers.
        ValueError: as in `list_batch`.

    Example:
        >>> from eventax.encoding import pack_batch
        >>> pack_batch([([2.0, 1.0], [0, 0]), ([3.0], [1])], n_channels=3)
        PackedSpikes(times=Array([[ 1.,  2.], [ 3., inf]], dtype=float32),
                     counts=Array([[2, 0, 0], [0, 1, 0]], dtype=int16))
    """
    checked = checked_samples(samples, n_channels)
    lengths = np.array([len(times) for times, _ in checked], int)
    n_events = room("n_events", lengths, n_events)
    times = np.full((len(checked), n_events), np.inf)
    counts = np.zeros((len(checked), n_channels), int)
    for k, (own_times, own_channels) in enumerate(checked):
        times[k, : own_times.size] = own_times
        counts[k] = np.bincount(own_channels, minlength=n_channels)
    counts = counts.astype(_index_type(int(np.max(counts, initial=0)) + 1))
    return PackedSpikes(jnp.asarray(times, float), jnp.asarray(counts))


class PaddingCost(NamedTuple):
    """What forms of the same samples hold; printed, it says so in words.

    Arguments:
        spikes: number of spikes of all samples.
        listed: entries of `list_batch`; each is a time and a channel.
        padded: entries of `pad_batch`; each is a time.
        listed_bytes: what lists take, in single precision.
        padded_bytes: what arrays take, in single precision.
        packed_bytes: what `pack_batch` takes, in single precision; it has as many times
            as the lists.
    """

    spikes: int
    listed: int
    padded: int
    listed_bytes: int
    padded_bytes: int
    packed_bytes: int

    def __str__(self) -> str:
        def told(entries: int, size: int) -> str:
            used = 100 * self.spikes / max(entries, 1)
            return (
                f"{entries:,} entries, {used:.1f} % of them spikes, "
                f"{size / 1e6:,.2f} MB"
            )

        return (
            f"{self.spikes:,} spikes\n"
            f"packed:    {told(self.listed, self.packed_bytes)}\n"
            f"as lists:  {told(self.listed, self.listed_bytes)}\n"
            f"as arrays: {told(self.padded, self.padded_bytes)}"
        )


def padding_cost(
    samples: Sequence[tuple[Any, Any]] | Spikes, n_channels: int
) -> PaddingCost:
    """How much of a batch would be padding: packed, as lists and as arrays.

    Arguments:
        samples: as in `list_batch`.
        n_channels: M, the number of channels.

    Returns:
        A `PaddingCost`. What a simulation costs for its inputs grows with the entries.

    Raises:
        TypeError: units or `n_channels` are not whole numbers.
        ValueError: a sample is not a pair, its times and units do not have the same
            length, or a unit is not in 0..M-1.

    Example:
        >>> from eventax.encoding import padding_cost
        >>> cost = padding_cost([([2.0, 1.0], [0, 0]), ([3.0], [1])], n_channels=500)
        >>> cost.spikes, cost.listed, cost.padded
        (3, 4, 2000)
        >>> print(cost)
        3 spikes
        packed:    4 entries, 75.0 % of them spikes, 0.00 MB
        as lists:  4 entries, 75.0 % of them spikes, 0.00 MB
        as arrays: 2,000 entries, 0.1 % of them spikes, 0.01 MB
    """
    checked = checked_samples(samples, n_channels)
    lengths = [len(times) for times, _ in checked]
    most = max(busiest(checked, n_channels), 1)
    listed = len(checked) * max([1, *lengths])
    padded = len(checked) * n_channels * most
    bytes_of = lambda largest: np.dtype(_index_type(largest)).itemsize  # noqa: E731
    return PaddingCost(
        spikes=sum(lengths),
        listed=listed,
        padded=padded,
        listed_bytes=(4 + bytes_of(n_channels)) * listed,
        padded_bytes=4 * padded,
        packed_bytes=4 * listed + bytes_of(most + 1) * len(checked) * n_channels,
    )


def _index_type(n: int) -> type[np.signedinteger]:
    """For numbers below n; signed, so that a channel shifted below 0 is found out."""
    return np.int16 if n <= 2**15 else np.int32
