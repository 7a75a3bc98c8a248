"""Signals told by the times at which they have changed enough."""

from __future__ import annotations

from typing import Any

import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._arguments import as_floats, check_finite, check_positive, visible
from ._room import guarded, room


def level_crossing(
    values: Float[ArrayLike, "*batch inputs samples"],
    times: Float[ArrayLike, " samples"],
    threshold: Any,
    *,
    start: Any = None,
    n_spikes: int | None = None,
) -> Float[Array, "*batch on_off k"]:
    r"""A spike whenever a signal has changed by `threshold` since the last one.

    Also called send-on-delta. Each signal x gets two channels: one fires when x has
    risen to r + δ, the other one when it has fallen to r - δ, where δ is the threshold
    and r the value at the signal's last spike, of either channel. Between samples x is
    a straight line, on which the time is found exactly; a steep line makes several
    spikes. Differentiable by the values.

    Arguments:
        values: (..., C, S) samples of C signals.
        times: (S,) when they were taken, ascending.
        threshold: δ, a number or (C,).
        start: the value r before the first spike, a number or (C,). By default the
            first sample of each signal; with another one there may be several spikes at
            the first of `times`, which tell where the signal starts.
        n_spikes: K, the columns of the result. By default as many as the busiest
            channel needs, at least 1; to be given under `jax.jit`.

    Returns:
        (..., 2C, K) ascending spike times, padded with `inf`: channels 0..C-1 tell of
        rises, C..2C-1 of falls.

    Raises:
        TypeError: `n_spikes` is not a whole number.
        ValueError: shapes do not fit each other, `times` are not ascending, `threshold`
            is not positive, something is not finite, a channel has more than `n_spikes`
            spikes, or `n_spikes` is not given under `jax.jit`.
        EquinoxRuntimeError: a channel has more than `n_spikes` spikes, under `jax.jit`.

    Reference:
        Miskowicz, Send-on-delta concept: an event-based data reporting strategy,
        Sensors 6 (2006) 49.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax.encoding import level_crossing
        >>> signal = jnp.array([[0.0, 2.0, 0.0]])
        >>> level_crossing(signal, jnp.array([0.0, 10.0, 20.0]), threshold=1.0)
        Array([[ 5., 10.], [15., 20.]], dtype=float32)
    """
    values, times = as_floats(values), as_floats(times)
    _check_samples(values, times)
    check_positive("threshold", threshold)
    first = values[..., :1] if start is None else _per_signal("start", start, values)
    unit = _per_signal("threshold", threshold, values)
    # A sample in front, so that a signal that does not begin at `start` tells so.
    first = jnp.broadcast_to(first, (*values.shape[:-1], 1))
    heights = (jnp.concatenate([first, values], axis=-1) - first) / unit
    times = jnp.concatenate([times[:1], times])
    levels = _levels(heights)
    changes = jnp.diff(levels, axis=-1)
    steps = jnp.concatenate([changes, -changes], axis=-2)
    until = jnp.cumsum(jnp.maximum(steps, 0), axis=-1).astype(jnp.int32)
    counts = until[..., -1]
    n_spikes = room("n_spikes", counts, n_spikes)
    signs = jnp.repeat(jnp.array([1, -1], values.dtype), values.shape[-2])
    spikes = _spikes_between(
        times,
        jnp.concatenate([heights, heights], axis=-2),
        jnp.concatenate([levels, levels], axis=-2),
        until,
        signs,
        jnp.arange(n_spikes),
    )
    return guarded(spikes, "n_spikes", counts, n_spikes)


def decode_level_crossing(
    spike_times: Float[ArrayLike, "*batch on_off k"],
    times: Float[ArrayLike, " samples"],
    threshold: Any,
    *,
    start: Any = 0.0,
) -> Float[Array, "*batch inputs samples"]:
    r"""Signals from the spikes of `level_crossing`, each to within `threshold`.

    $$x(t) \approx x_0 + \delta\,(\text{rises until } t - \text{falls until } t)$$

    where the spike at t itself counts. A step function, whose derivatives are 0.

    Arguments:
        spike_times: (..., 2C, K) what `level_crossing` returns.
        times: (S,) at which the signals are wanted, in any order.
        threshold: that of `level_crossing`, a number or (C,).
        start: its `start`, or the first sample of each signal, a number or (C,).

    Returns:
        (..., C, S) values.

    Raises:
        ValueError: the number of channels is odd, `threshold` is not positive, or
            something is not finite.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax.encoding import decode_level_crossing
        >>> spikes = jnp.array([[5.0, 10.0], [15.0, 20.0]])
        >>> decode_level_crossing(spikes, jnp.array([0.0, 7.0, 12.0, 16.0]), 1.0)
        Array([[0., 1., 2., 1.]], dtype=float32)
    """
    spike_times, times = as_floats(spike_times), as_floats(times)
    check_positive("threshold", threshold)
    if spike_times.ndim < 2 or spike_times.shape[-2] % 2:
        raise ValueError(
            "`spike_times` must have two channels per signal, (..., 2C, K), those of "
            f"rises first; got shape {spike_times.shape}."
        )
    counts = _counts_until(jnp.sort(spike_times, axis=-1), times)
    rises, falls = jnp.split(counts.astype(spike_times.dtype), 2, axis=-2)
    steps = rises - falls
    unit = _per_signal("threshold", threshold, steps)
    return _per_signal("start", start, steps) + unit * steps


def _levels(heights: Float[Array, "*batch samples"]) -> Float[Array, "*batch samples"]:
    """The last whole number that each signal has come to; at first it is 0."""

    def step(level: Array, height: Array) -> tuple[Array, Array]:
        level = jnp.maximum(jnp.minimum(level, jnp.ceil(height)), jnp.floor(height))
        return level, level

    along = jnp.moveaxis(lax.stop_gradient(heights), -1, 0)
    return jnp.moveaxis(lax.scan(step, jnp.zeros_like(along[0]), along)[1], 0, -1)


def _spikes_at(
    times: Array, heights: Array, levels: Array, until: Array, sign: Array, k: Array
) -> Array:
    """The times of the spikes number k of one channel, of which `until` are known."""
    segment = jnp.searchsorted(until, k, side="right")
    there = segment < until.shape[0]
    segment = jnp.minimum(segment, until.shape[0] - 1)
    before = jnp.where(segment > 0, until[segment - 1], 0)
    level = levels[segment] + sign * (1 + k - before)
    rise = heights[segment + 1] - heights[segment]
    part = (level - heights[segment]) / jnp.where(there, rise, 1)
    length = times[segment + 1] - times[segment]
    return jnp.where(there, times[segment] + part * length, jnp.inf)


_spikes_between = jnp.vectorize(_spikes_at, signature="(s),(s),(s),(t),(),(k)->(k)")

_counts_until = jnp.vectorize(
    lambda spikes, times: jnp.searchsorted(spikes, times, side="right"),
    signature="(k),(s)->(s)",
)


def _check_samples(values: Array, times: Array) -> None:
    if values.ndim < 2 or times.shape != values.shape[-1:] or len(times) == 0:
        raise ValueError(
            "`values` must be samples of signals, (..., C, S) with S at least 1, and "
            f"`times` have shape (S,); got shapes {values.shape} and {times.shape}."
        )
    check_finite("values", values)
    check_finite("times", times)
    seen = visible(times)
    if seen is not None and not np.all(np.diff(seen) > 0):
        k = int(np.argmin(np.diff(seen)))
        raise ValueError(
            f"`times` must be ascending; got {seen[k]} and then {seen[k + 1]} at index "
            f"{k + 1}."
        )


def _per_signal(name: str, value: Any, values: Array) -> Array:
    """A number, or one per signal, to be broadcast to (..., C, S)."""
    check_finite(name, value)
    array = jnp.asarray(value, values.dtype)
    if array.shape not in ((), values.shape[-2:-1]):
        raise ValueError(
            f"`{name}` must be a number or have one per signal, shape "
            f"{values.shape[-2:-1]}; got shape {array.shape}."
        )
    return array[..., None]
