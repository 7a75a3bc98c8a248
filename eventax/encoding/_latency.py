"""Numbers told by the time of one spike."""

from __future__ import annotations

from typing import Any

import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._arguments import as_floats, check_finite, check_range, visible


def latency(
    values: ArrayLike, *, t_min: Any = 0.0, t_max: Any, threshold: Any = None
) -> Float[Array, "*batch 1"]:
    r"""One spike per value: the larger the value, the earlier.

    $$t = t_\max - v\, (t_\max - t_\min), \qquad v \in [0, 1]$$

    so that 1 fires at `t_min` and 0 at `t_max`. Differentiable by the values. For small
    values to be early, encode `1 - values`.

    Arguments:
        values: (..., M) numbers between 0 and 1, one per channel.
        t_min: time of the value 1.
        t_max: time of the value 0, after `t_min`.
        threshold: values below it make no spike (`inf`); by default all make one.

    Returns:
        (..., M, 1) spike times, the shape of a network's input with one spike per
        channel.

    Raises:
        ValueError: a value is not between 0 and 1 (not checked under `jax.jit`),
            `t_max` is not after `t_min`, or a number is not finite.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax.encoding import latency
        >>> latency(jnp.array([1.0, 0.25, 0.0]), t_max=20.0, threshold=0.1)
        Array([[ 0.], [15.], [inf]], dtype=float32)
    """
    check_range(("t_min", t_min), ("t_max", t_max))
    seen = visible(values)
    if seen is not None and np.any(np.isnan(seen)):
        raise ValueError(
            "`values` must not contain NaN; got it at index "
            f"{np.argwhere(np.isnan(seen))[0].tolist()}. Give 0 for what is not known."
        )
    if seen is not None and not np.all((seen >= 0) & (seen <= 1)):
        raise ValueError(
            "`values` must lie between 0 and 1; got values between "
            f"{np.min(seen)} and {np.max(seen)}. Divide by the largest possible one, "
            "which is 255 for images of bytes."
        )
    values = as_floats(values)
    span = t_max - t_min
    times = t_max - values * span
    # Rounding must not make a time earlier than the network's start.
    early = (times < t_min) & (times > t_min - 1e-5 * span)
    times = jnp.where(early, t_min + (times - lax.stop_gradient(times)), times)
    if threshold is not None:
        check_finite("threshold", threshold)
        times = jnp.where(values < threshold, jnp.inf, times)
    return times[..., None]


def decode_latency(
    times: Float[ArrayLike, "*batch 1"], *, t_min: Any = 0.0, t_max: Any
) -> Float[Array, "*batch"]:
    r"""The values that `latency` has encoded, to within rounding.

    $$v = \frac{t_\max - t}{t_\max - t_\min}$$

    Differentiable by the times.

    Arguments:
        times: (..., M, 1) spike times, `inf` where there is none.
        t_min: time of the value 1.
        t_max: time of the value 0, after `t_min`.

    Returns:
        (..., M) values, 0 where there is no spike: with a `threshold` they are wrong
        by less than it.

    Raises:
        ValueError: there is not one column of times, `t_max` is not after `t_min`, or a
            number is not finite.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax.encoding import decode_latency
        >>> decode_latency(jnp.array([[0.0], [15.0], [jnp.inf]]), t_max=20.0)
        Array([1.  , 0.25, 0.  ], dtype=float32)
    """
    check_range(("t_min", t_min), ("t_max", t_max))
    times = as_floats(times)
    if times.shape[-1:] != (1,):
        raise ValueError(
            "`times` must have one spike per channel, (..., M, 1); got shape "
            f"{times.shape}."
        )
    fires = jnp.isfinite(times)
    # Twice, since the derivative of what is not chosen would be NaN.
    values = (t_max - jnp.where(fires, times, t_max)) / (t_max - t_min)
    return jnp.where(fires, values, 0.0)[..., 0]
