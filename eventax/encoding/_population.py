"""Numbers told by many neurons, each of which prefers another value."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._arguments import (
    as_floats,
    as_numbers,
    check_count,
    check_finite,
    check_positive,
    check_range,
)


def population(
    values: ArrayLike,
    n_fields: int,
    *,
    low: Any,
    high: Any,
    width: Any = 2 / 3,
    axis: int = -1,
) -> Float[Array, "*batch"]:
    r"""Gaussian receptive fields: how much each of several neurons likes a value.

    $$a_j = \exp\left(-\frac{(v - c_j)^2}{2 \sigma^2}\right)$$

    with n centres c evenly spaced from `low` to `high`, and σ = `width` times their
    distance. Between 0 and 1, so that `latency` and `latency_per_frame` take them, and
    a threshold there leaves out fields far away. Differentiable by the values.

    Arguments:
        values: numbers of any shape. Outside [low, high] all fields fall off.
        n_fields: n, the number of fields of each channel, at least 2.
        low: the first centre, a number or one per channel.
        high: the last centre, above `low`, a number or one per channel.
        width: standard deviation of a field by the distance between centres. The
            default is that of Bohte et al.
        axis: the axis of channels, M long: the last one of single values (..., M), -2
            of frames (..., M, F).

    Returns:
        The same shape with M · n instead of M, the fields of a channel side by side.

    Raises:
        TypeError: `n_fields` is not a whole number.
        ValueError: `n_fields` is less than 2, `high` is not above `low`, `width` is not
            positive, a value is not finite, or a shape does not fit.

    Reference:
        Bohte, La Poutré and Kok, Unsupervised clustering with spiking neurons by sparse
        temporal coding and multilayer RBF networks, IEEE Trans Neural Netw 13 (2002)
        426.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax.encoding import latency, population
        >>> fields = population(jnp.array([0.5]), 5, low=0.0, high=1.0)
        >>> jnp.round(fields, 2)
        Array([0.01, 0.32, 1.  , 0.32, 0.01],      dtype=float32)
        >>> jnp.round(latency(fields, t_max=10.0, threshold=0.1)[:, 0], 2)
        Array([ inf, 6.75, 0.  , 6.75,  inf], dtype=float32)
    """
    check_finite("values", values)
    values = as_floats(values)
    if values.ndim == 0:
        raise ValueError("`values` must have an axis of channels; got a single number.")
    values = jnp.moveaxis(values, axis, -1)
    centres, deviation = _fields(n_fields, low, high, width, values.shape[-1])
    away = (values[..., None] - centres) / deviation
    activity = jnp.exp(-(away**2) / 2).reshape(*values.shape[:-1], -1)
    return jnp.moveaxis(activity.astype(values.dtype), -1, axis)


def decode_population(
    activity: ArrayLike,
    n_fields: int,
    *,
    low: Any,
    high: Any,
    width: Any = 2 / 3,
    axis: int = -1,
) -> Float[Array, "*batch"]:
    r"""The values that `population` has encoded.

    By the strongest field j and the stronger one k of its neighbours,

    $$v = \frac{c_j + c_k}{2} + \frac{\sigma^2}{c_j - c_k} \ln \frac{a_j}{a_k}$$

    exactly, wherever two neighbours are active. Differentiable by the activity.

    Arguments:
        activity: what `population` returns, or `decode_latency` of its spikes.
        n_fields: number of fields of each channel, as given to `population`.
        low: the first centre, as given to `population`.
        high: the last centre.
        width: standard deviation of a field by the distance between centres.
        axis: the axis of channels.

    Returns:
        The same shape with M instead of M · n. The centre of a field that is active
        alone; NaN where none is.

    Raises:
        TypeError: `n_fields` is not a whole number.
        ValueError: the axis cannot be divided into fields, or as `population`.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax.encoding import decode_population, population
        >>> fields = population(jnp.array([0.3]), 5, low=0.0, high=1.0)
        >>> decode_population(fields, 5, low=0.0, high=1.0)
        Array([0.3], dtype=float32)
    """
    activity = as_floats(activity)
    n = check_count("n_fields", n_fields, 2)
    if activity.ndim == 0 or activity.shape[axis] % n:
        raise ValueError(
            f"`activity` must have {n} fields for each channel along axis {axis}; got "
            f"shape {activity.shape}."
        )
    activity = jnp.moveaxis(activity, axis, -1)
    activity = activity.reshape(*activity.shape[:-1], -1, n)
    centres, deviation = _fields(n, low, high, width, activity.shape[-2])
    best = jnp.argmax(activity, axis=-1, keepdims=True)
    left, right = jnp.maximum(best - 1, 0), jnp.minimum(best + 1, n - 1)
    at = lambda k: jnp.take_along_axis(activity, k, axis=-1)  # noqa: E731
    # At an end there is one neighbour, the field itself stands for the other.
    is_right = (best == 0) | ((best < n - 1) & (at(right) > at(left)))
    near = jnp.where(is_right, right, left)
    centres = jnp.broadcast_to(centres, activity.shape)
    c_j, c_k = (jnp.take_along_axis(centres, k, axis=-1) for k in (best, near))
    two = at(near) > 0
    ratio = jnp.where(two, at(best), 1.0) / jnp.where(two, at(near), 1.0)
    between = (c_j + c_k) / 2 + deviation**2 / (c_j - c_k) * jnp.log(ratio)
    value = jnp.where(two, between, jnp.where(at(best) > 0, c_j, jnp.nan))
    return jnp.moveaxis(value[..., 0].astype(activity.dtype), -1, axis)


def _fields(
    n_fields: int, low: Any, high: Any, width: Any, n_channels: int
) -> tuple[np.ndarray | Array, np.ndarray | Array]:
    """Centres (M, n) and standard deviations (M, 1), or (1, n) and (1, 1)."""
    n = check_count("n_fields", n_fields, 2)
    check_range(("low", low), ("high", high))
    check_positive("width", width)
    ends = []
    for name, value in (("low", low), ("high", high)):
        array = as_numbers(name, value, float)
        if array.shape not in ((), (n_channels,)):
            raise ValueError(
                f"`{name}` must be a number or have one per channel, shape "
                f"({n_channels},); got shape {array.shape}."
            )
        ends.append(array.reshape(-1, 1))
    first, last = ends
    spacing = (last - first) / (n - 1)
    return first + spacing * np.arange(n), width * spacing
