"""Rates told by random spikes."""

from __future__ import annotations

from typing import Any

import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._arguments import (
    as_floats,
    check_count,
    check_finite,
    check_not_negative,
    check_positive,
    visible,
)
from ._room import guarded, room


def poisson(
    key: Array,
    rates: Float[ArrayLike, "*batch inputs frames"],
    *,
    period: Any,
    t_min: Any = 0.0,
    n_spikes: int | None = None,
) -> Float[Array, "*batch inputs k"]:
    r"""Independent random spikes at given rates, a Poisson process in each channel.

    The j-th spike is where the integral of the rate reaches the sum of j exponential
    random numbers. For a given key that is differentiable by the rates.

    Arguments:
        key: random key.
        rates: (..., M, F) spikes per unit of time, of M channels in F frames. For rates
            (..., M) that stay, `rates[..., None]` and one long period.
        period: length of a frame.
        t_min: time at which the first frame starts.
        n_spikes: K, the columns of the result. By default as many as the busiest
            channel needs, at least 1; to be given under `jax.jit`. Another number is
            another draw.

    Returns:
        (..., M, K) ascending spike times in the F frames, padded with `inf`.

    Raises:
        TypeError: `n_spikes` is not a whole number.
        ValueError: a rate is negative, `period` is not positive, something is not
            finite, a channel has more than `n_spikes` spikes, or `n_spikes` is not
            given under `jax.jit`.
        EquinoxRuntimeError: a channel has more than `n_spikes` spikes, under `jax.jit`.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from eventax.encoding import poisson
        >>> rates = jnp.array([[0.2, 0.0], [0.0, 0.1]])  # two channels in two frames
        >>> poisson(jax.random.key(0), rates, period=20.0)
        Array([[14.75 ,       inf],
               [25.32, 32.83 ]], dtype=float32)
    """
    check_not_negative("rates", rates)
    check_positive("period", period)
    check_finite("t_min", t_min)
    rates = as_floats(rates)
    if rates.ndim < 2 or rates.shape[-1] == 0:
        raise ValueError(
            "`rates` must have shape (..., M, F) with at least one frame; got shape "
            f"{rates.shape}. Add an axis to rates that stay: `rates[..., None]`."
        )
    expected = jnp.cumsum(rates, axis=-1) * period
    # One more than there is room for tells whether that is enough.
    if n_spikes is not None:
        n_spikes = check_count("n_spikes", n_spikes, 0)
    drawn = 1 + (_likely(expected) if n_spikes is None else n_spikes)
    waits = jax.random.exponential(key, (*rates.shape[:-1], drawn), rates.dtype)
    times = _when(jnp.cumsum(waits, axis=-1), rates, expected, period) + t_min
    counts = jnp.sum(times < jnp.inf, axis=-1)
    n_spikes = room("n_spikes", counts, n_spikes)
    return guarded(times[..., :n_spikes], "n_spikes", counts, n_spikes)


def decode_poisson(
    times: Float[ArrayLike, "*batch inputs k"],
    n_frames: int,
    *,
    period: Any,
    t_min: Any = 0.0,
) -> Float[Array, "*batch inputs frames"]:
    """The rates that are likeliest to have made these spikes.

    The spikes of a frame, [start, end), divided by its length. Of n spikes in a frame
    the relative error is about 1/√n.

    Arguments:
        times: (..., M, K) spike times, `inf` where there is none.
        n_frames: F, the number of frames.
        period: length of a frame.
        t_min: time at which the first frame starts.

    Returns:
        (..., M, F) spikes per unit of time. Spikes outside the frames do not count.

    Raises:
        TypeError: `n_frames` is not a whole number.
        ValueError: `n_frames` is negative, `period` is not positive, or a number is not
            finite.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax.encoding import decode_poisson
        >>> decode_poisson(jnp.array([[1.0, 2.0, 12.0, jnp.inf]]), 2, period=10.0)
        Array([[0.2, 0.1]], dtype=float32)
    """
    n_frames = check_count("n_frames", n_frames, 0)
    check_positive("period", period)
    check_finite("t_min", t_min)
    times = as_floats(times)
    frame = jnp.floor((times - t_min) / period)
    counts = jnp.sum(frame[..., None] == jnp.arange(n_frames), axis=-2)
    return counts.astype(times.dtype) / period


def _likely(expected: Array) -> int:
    """A number of spikes that is exceeded less than once in 10^9 channels."""
    seen = visible(lax.stop_gradient(expected))
    if seen is None:
        return room("n_spikes", expected, None)
    most = float(seen.max(initial=0))
    # By Bernstein's inequality, exp(-x²/2 / (most + x/3)) with x = 7 √most + 15.
    return int(np.ceil(most + 7 * np.sqrt(most) + 15))


def _when_of(sums: Array, rates: Array, expected: Array, period: Array) -> Array:
    """Where the integral of one channel's rate has come to each of these sums."""
    frame = jnp.searchsorted(expected, sums, side="right")
    there = frame < rates.shape[0]
    frame = jnp.minimum(frame, rates.shape[0] - 1)
    before = jnp.where(frame > 0, expected[frame - 1], 0)
    part = (sums - before) / jnp.where(there, rates[frame], 1)
    return jnp.where(there, frame * period + part, jnp.inf)


_when = jnp.vectorize(_when_of, signature="(k),(f),(f),()->(k)")
