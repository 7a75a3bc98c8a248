"""Distance of spike trains.

With the spikes of both trains sorted, signed +1 and -1, the difference of the filtered
trains is an amplitude that decays between them. The distance is a sum of what each
interval contributes, all of one sign: unlike the sum over pairs of spikes, it has no
cancellation, and its cost grows as n log n.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.lax as lax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from .._arguments import as_floats, check_positive


def van_rossum_distance(
    one: Float[ArrayLike, "*one k"], other: Float[ArrayLike, "*other m"], *, tau: Any
) -> Float[Array, "*batch"]:
    r"""Distance D² of two spike trains that are filtered by an exponential kernel.

    $$D^2 = \frac1\tau \int_{-\infty}^\infty (f(t) - g(t))^2\, dt, \qquad
      f(t) = \sum_i H(t - t_i)\, e^{-(t - t_i)/\tau}$$

    and $g$ likewise from the other train, with Heaviside's function $H$: the square, as
    van Rossum defines it, so that a spike too many or too few adds 1/2, and two spikes
    far from each other, one in each train, make 1. Short τ compares the times of
    spikes, long τ their number. The integral is solved exactly.

    The gradient is that of each spike by the others. D² has a kink where spikes of the
    two trains meet, and there the two sides' mean is taken, which is 0 for trains that
    are equal.

    Arguments:
        one: (..., k) spike times in any order, padded with `inf` (NaN and `-inf` are no
            spikes either).
        other: (..., m) those of the other train. Axes in front broadcast.
        tau: τ, positive, in the unit of the times.

    Returns:
        (...) D² for each pair of trains, without unit.

    Raises:
        ValueError: `tau` is not positive, or the axes in front do not broadcast.

    Reference:
        van Rossum, A novel spike distance, Neural Comput 13 (2001) 751.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax.losses import van_rossum_distance
        >>> one = jnp.array([2.0, 7.0, jnp.inf])
        >>> van_rossum_distance(one, jnp.array([2.0, 7.0]), tau=5.0)
        Array(0., dtype=float32)
        >>> van_rossum_distance(one, jnp.array([2.0, 7.5]), tau=5.0)
        Array(0.0952, dtype=float32)
        >>> van_rossum_distance(one, jnp.array([2.0, jnp.inf]), tau=5.0)
        Array(0.5, dtype=float32)
    """
    check_positive("tau", tau)
    one, other = as_floats(one), as_floats(other)
    if min(one.ndim, other.ndim) == 0:
        raise ValueError(
            "`one` and `other` must be trains, (..., K) times of spikes; got shapes "
            f"{one.shape} and {other.shape}."
        )
    try:
        batch = jnp.broadcast_shapes(one.shape[:-1], other.shape[:-1])
    except ValueError as error:
        raise ValueError(
            "`one` and `other` must have axes in front of the spikes that broadcast; "
            f"got shapes {one.shape} and {other.shape}."
        ) from error
    one = jnp.broadcast_to(one, (*batch, one.shape[-1]))
    other = jnp.broadcast_to(other, (*batch, other.shape[-1]))
    return _of_trains(one, other, tau)


@jax.jit
def _of_trains(
    one: Float[Array, "*batch k"], other: Float[Array, "*batch m"], tau: Any
) -> Float[Array, "*batch"]:
    times = jnp.concatenate([one, other], axis=-1)
    signs = jnp.where(jnp.arange(times.shape[-1]) < one.shape[-1], 1, -1)
    is_spike = jnp.isfinite(times)
    # Missing spikes weigh nothing, wherever they are.
    times = jnp.where(is_spike, times, 0)
    signs = jnp.where(is_spike, signs, 0).astype(times.dtype)
    order = jnp.argsort(times, axis=-1)
    times = jnp.take_along_axis(times, order, axis=-1)
    signs = jnp.take_along_axis(signs, order, axis=-1)
    return _distance(times, signs, jnp.asarray(tau, times.dtype))


@jax.custom_jvp
def _distance(
    times: Float[Array, "*batch n"], signs: Float[Array, "*batch n"], tau: Any
) -> Float[Array, "*batch"]:
    """D² of sorted spikes with signs."""
    squared = _trace(times, signs, tau)[1] ** 2
    shares = -jnp.expm1(-2 * jnp.diff(times, axis=-1) / tau)
    # The last spike's interval has no end.
    tail = jnp.sum(squared[..., -1:], axis=-1)
    return (jnp.sum(squared[..., :-1] * shares, axis=-1) + tail) / 2


@_distance.defjvp
def _differentiate(primals: Any, tangents: Any) -> tuple[Any, Any]:
    """By pairs of spikes, of which those at one time have no slope."""
    times, signs, tau = primals
    by_times, _, by_tau = tangents
    earlier = _from_earlier(times, signs, tau)
    later = _from_earlier(-times[..., ::-1], signs[..., ::-1], tau)[..., ::-1]
    slopes = signs * (later - earlier) / tau
    # Only ratios of times to tau count, and only differences of times.
    scaling = (times - times[..., :1]) * by_tau / tau
    return _distance(*primals), jnp.sum(slopes * (by_times - scaling), axis=-1)


def _trace(
    times: Any, signs: Any, tau: Any
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
    """The filtered train before and after each spike, those at one time in order."""

    def join(left: Any, right: Any) -> Any:
        return left[0] * right[0], left[1] * right[0] + right[1]

    decays = jnp.exp(-jnp.diff(times, axis=-1, prepend=times[..., :1]) / tau)
    after = lax.associative_scan(join, (decays, signs), axis=-1)[1]
    before = decays * jnp.concatenate(
        [jnp.zeros_like(after[..., :1]), after[..., :-1]], axis=-1
    )
    return before, after


def _from_earlier(times: Any, signs: Any, tau: Any) -> Float[Array, "*batch n"]:
    """The filtered train at each spike, from spikes strictly earlier than it."""
    before, _ = _trace(times, signs, tau)
    return jnp.take_along_axis(before, _first_at_time(times), axis=-1)


def _first_at_time(times: Float[Array, "*batch n"]) -> Int[Array, "*batch n"]:
    """For each spike the index of the first one at its time."""
    is_later = jnp.diff(times, axis=-1, prepend=times[..., :1]) > 0
    index = jnp.where(is_later, jnp.arange(times.shape[-1]), 0)
    return lax.cummax(index, axis=times.ndim - 1)
