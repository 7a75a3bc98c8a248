"""From lists of spikes to the arrays of a network's input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._arguments import check_count
from .._spikes import Spikes


def pad_trains(
    trains: Sequence[Any], n_spikes: int | None = None
) -> Float[Array, "inputs k"]:
    """Spike trains of different lengths as one array.

    Arguments:
        trains: for each of M channels the times of its spikes, of one dimension, in any
            order. Times that are not finite are left out.
        n_spikes: K, the columns of the result. By default as many as the longest train
            needs, at least 1. Give it where arrays must have equal shapes, since JAX
            compiles a program again for each shape.

    Returns:
        (M, K) ascending times, padded with `inf`.

    Raises:
        TypeError: `n_spikes` is not a whole number.
        ValueError: a train is not of one dimension, or has more than `n_spikes` spikes.

    Example:
        >>> from eventax.encoding import pad_trains
        >>> pad_trains([[3.0, 1.0], [], [2.0]])
        Array([[ 1.,  3.], [inf, inf], [ 2., inf]], dtype=float32)
    """
    arrays = [np.asarray(train, float) for train in trains]
    for channel, array in enumerate(arrays):
        if array.ndim != 1:
            raise ValueError(
                "`trains` must be a list of arrays of one dimension, one for each "
                f"channel; entry {channel} has shape {array.shape}."
            )
    units = np.repeat(np.arange(len(arrays)), [len(array) for array in arrays])
    times = np.concatenate([np.zeros(0), *arrays])
    return pad_spikes(times, units, len(arrays), n_spikes)


def pad_spikes(
    times: Any, units: Any, n_channels: int, n_spikes: int | None = None
) -> Float[Array, "inputs k"]:
    """Spikes given by time and channel, as event data are stored, as one array.

    Arguments:
        times: (S,) times of spikes, in any order. Those not finite are left out.
        units: (S,) the channel of each, whole numbers in 0..M-1.
        n_channels: M, the number of channels.
        n_spikes: K, the columns of the result. By default as many as the busiest
            channel needs, at least 1. Give it where arrays must have equal shapes,
            since JAX compiles a program again for each shape.

    Returns:
        (M, K) ascending times, padded with `inf`.

    Raises:
        TypeError: `units`, `n_channels` or `n_spikes` are not whole numbers.
        ValueError: `times` and `units` do not have the same length, a unit is not in
            0..M-1, or a channel has more than `n_spikes` spikes.

    Example:
        >>> from eventax.encoding import pad_spikes
        >>> pad_spikes([1.0, 2.0, 3.0], [2, 0, 2], n_channels=3)
        Array([[ 2., inf], [inf, inf], [ 1.,  3.]], dtype=float32)
    """
    n_channels = check_count("n_channels", n_channels, 0)
    sample = _sample(times, units, n_channels, "")
    return jnp.asarray(_padded([sample], n_channels, n_spikes)[0], float)


def pad_batch(
    samples: Sequence[tuple[Any, Any]] | Spikes,
    n_channels: int,
    n_spikes: int | None = None,
) -> Float[Array, "batch inputs k"]:
    """Samples given by times and channels of spikes, as one array.

    Arguments:
        samples: for each of B samples a pair (times, units) as in `pad_spikes`, such as
            those of `eventax.datasets.shd`; or `Spikes` of shape (B, E).
        n_channels: M, the number of channels.
        n_spikes: K, the columns of the result. By default as many as the busiest
            channel of all samples needs, at least 1. Give it where batches must have
            equal shapes, since JAX compiles a program again for each shape.

    Returns:
        (B, M, K) ascending times, padded with `inf`.

    Raises:
        TypeError: units, `n_channels` or `n_spikes` are not whole numbers.
        ValueError: a sample is not a pair, its times and units do not have the same
            length, a unit is not in 0..M-1, or a channel has more than `n_spikes`
            spikes.

    Example:
        >>> from eventax.encoding import pad_batch
        >>> pad_batch([([1.0, 2.0], [0, 0]), ([3.0], [1])], n_channels=2)
        Array([[[ 1.,  2.], [inf, inf]], [[inf, inf], [ 3., inf]]], dtype=float32)
    """
    checked = checked_samples(samples, n_channels)
    return jnp.asarray(_padded(checked, n_channels, n_spikes), float)


def checked_samples(
    samples: Sequence[tuple[Any, Any]] | Spikes, n_channels: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The spikes of each sample, in the order of channels, then of times."""
    n_channels = check_count("n_channels", n_channels, 0)
    # A batch of lists looks like a pair, and is none.
    if isinstance(samples, Spikes):
        samples = list(zip(*samples, strict=True))
    pairs = [_pair(sample, k) for k, sample in enumerate(samples)]
    return [
        _sample(times, units, n_channels, f" of sample {k}")
        for k, (times, units) in enumerate(pairs)
    ]


def _pair(sample: Any, k: int) -> tuple[Any, Any]:
    if len(sample) != 2:
        raise ValueError(
            "`samples` must have a pair (times, units) of arrays for each sample; got "
            f"{len(sample)} entries for sample {k}. A list of events (time, unit) "
            "becomes such a pair by `times, units = zip(*events)`."
        )
    return sample[0], sample[1]


def _sample(
    times: Any, units: Any, n_channels: int, whose: str
) -> tuple[np.ndarray, np.ndarray]:
    """Spikes in the order of channels, then of times."""
    times, units = np.asarray(times, float), np.asarray(units)
    if times.ndim != 1 or units.shape != times.shape:
        raise ValueError(
            f"`times` and `units`{whose} must have one dimension and the same length; "
            f"got shapes {times.shape} and {units.shape}."
        )
    if len(units) and not np.issubdtype(units.dtype, np.integer):
        raise TypeError(
            f"`units`{whose} must be whole numbers, the index of a channel; got dtype "
            f"{units.dtype}. If they are whole, `units.astype(int)` says so."
        )
    is_spike = np.isfinite(times)
    times, units = times[is_spike], units[is_spike].astype(int)
    wrong = units[(units < 0) | (units >= n_channels)]
    if len(wrong):
        raise ValueError(
            f"`units`{whose} must lie between 0 and {n_channels - 1}, as `n_channels` "
            f"is {n_channels}; got {wrong[0]}."
        )
    order = np.lexsort((times, units))
    return times[order], units[order]


def _padded(
    samples: list[tuple[np.ndarray, np.ndarray]], n_channels: int, n_spikes: int | None
) -> np.ndarray:
    counts = _counts(samples, n_channels)
    most = int(counts.max(initial=0))
    if n_spikes is None:
        n_spikes = max(most, 1)
    n_spikes = check_count("n_spikes", n_spikes, 0)
    if most > n_spikes:
        sample, channel = np.argwhere(counts > n_spikes)[0]
        whose = f" of sample {sample}" if len(samples) > 1 else ""
        raise ValueError(
            f"`n_spikes` must be at least the number of spikes in a channel; got "
            f"{n_spikes}, and channel {channel}{whose} has "
            f"{counts[sample, channel]}. The busiest one has {most}."
        )
    result = np.full((len(samples), n_channels, n_spikes), np.inf)
    for k, (times, units) in enumerate(samples):
        # A spike's column is its place in the whole list less that of its channel.
        starts = np.cumsum(counts[k]) - counts[k]
        result[k, units, np.arange(len(units)) - starts[units]] = times
    return result


def busiest(samples: list[tuple[np.ndarray, np.ndarray]], n_channels: int) -> int:
    """The most spikes that a channel of a sample has."""
    return int(_counts(samples, n_channels).max(initial=0))


def _counts(
    samples: list[tuple[np.ndarray, np.ndarray]], n_channels: int
) -> Int[np.ndarray, "batch inputs"]:
    counts = np.zeros((len(samples), n_channels), int)
    for k, (_, units) in enumerate(samples):
        counts[k] = np.bincount(units, minlength=n_channels)
    return counts
