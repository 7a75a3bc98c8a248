"""Signals told by the time of one spike in each frame."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._arguments import as_floats, check_finite, check_positive
from ._latency import decode_latency, latency


def latency_per_frame(
    values: Float[ArrayLike, "*batch inputs frames"],
    *,
    period: Any,
    t_min: Any = 0.0,
    threshold: Any = None,
) -> Float[Array, "*batch inputs frames"]:
    r"""One spike per value and frame: the larger the value, the earlier in its frame.

    $$t = t_\min + (f + 1 - v)\, \mathtt{period}, \qquad v \in [0, 1]$$

    for frame f = 0, 1, ... Differentiable by the values.

    Arguments:
        values: (..., M, F) numbers between 0 and 1, of M channels in F frames.
        period: length of a frame.
        t_min: time at which the first frame starts.
        threshold: values below it make no spike (`inf`); by default all make one, that
            of the value 0 at the very end of its frame.

    Returns:
        (..., M, F) spike times, a column for each frame.

    Raises:
        ValueError: a value is not between 0 and 1 (not checked under `jax.jit`),
            `period` is not positive, or a number is not finite.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax.encoding import latency_per_frame
        >>> latency_per_frame(jnp.array([[1.0, 0.5, 0.0]]), period=10.0, threshold=0.1)
        Array([[ 0., 15., inf]], dtype=float32)
    """
    check_positive("period", period)
    check_finite("t_min", t_min)
    within = latency(values, t_max=period, threshold=threshold)[..., 0]
    return within + _starts(within, period, t_min)


def decode_latency_per_frame(
    times: Float[ArrayLike, "*batch inputs frames"], *, period: Any, t_min: Any = 0.0
) -> Float[Array, "*batch inputs frames"]:
    """The values that `latency_per_frame` has encoded, to within rounding.

    Differentiable by the times.

    Arguments:
        times: (..., M, F) spike times, a column for each frame, `inf` where there is no
            spike.
        period: length of a frame.
        t_min: time at which the first frame starts.

    Returns:
        (..., M, F) values, 0 where there is no spike.

    Raises:
        ValueError: `period` is not positive, or a number is not finite.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax.encoding import decode_latency_per_frame
        >>> decode_latency_per_frame(jnp.array([[0.0, 15.0, jnp.inf]]), period=10.0)
        Array([[1. , 0.5, 0. ]], dtype=float32)
    """
    check_positive("period", period)
    check_finite("t_min", t_min)
    times = as_floats(times)
    within = times - _starts(times, period, t_min)
    return decode_latency(within[..., None], t_max=period)


def _starts(times: Array, period: Any, t_min: Any) -> Array:
    return jnp.asarray(t_min + period * np.arange(times.shape[-1]), times.dtype)
