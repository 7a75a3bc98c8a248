"""Sums of two decaying exponentials: values, derivatives, first crossings."""

from __future__ import annotations

from collections.abc import Callable
from math import factorial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._flows import first_rise, rising_root

Column = Float[Array, " neurons"]


def exponentials(a: Any, b: Any, step: Any) -> tuple[Any, Any, Any]:
    """exp(-a t), exp(-b t) and R = (exp(-b t) - exp(-a t)) / (a - b), for a = b too."""
    # Scalars made by hand have no type of their own, which custom_jvp would insist on.
    return _exponentials(*(jnp.asarray(x, step.dtype) for x in (a, b)), step)


def _parts(a: Any, b: Any, step: Any) -> tuple[Any, Any, Any, Any]:
    """x = |a - b| t, exp(-x) - 1, (1 - exp(-x)) / x, and the slower exponential."""
    x = jnp.abs(a - b) * step
    shrink = jnp.expm1(-x)
    # By its series where the quotient would divide by 0.
    tiny = x < 1e-3
    series = 1 - x * (1 / 2 - x * (1 / 6 - x * (1 / 24 - x / 120)))
    quotient = jnp.where(tiny, series, -shrink / jnp.where(tiny, 1, x))
    return x, shrink, quotient, jnp.exp(-jnp.minimum(a, b) * step)


@jax.custom_jvp
def _exponentials(a: Array, b: Array, step: Array) -> tuple[Array, Array, Array]:
    _, shrink, quotient, slow = _parts(a, b, step)
    fast = slow * (1 + shrink)
    a_is_fast = a > b
    return (
        jnp.where(a_is_fast, fast, slow),
        jnp.where(a_is_fast, slow, fast),
        step * slow * quotient,
    )


def _exponentials_jvp(primals: Any, tangents: Any) -> Any:
    """By hand: what `_exponentials` selects and divides has no derivative at a = b.

    R is symmetric in a and b. With φ(x) = (1 - exp(-x)) / x it is t φ exp(-slow t),
    which differentiates to -t² exp(-slow t) times P by the faster and times Q by the
    slower of the two rates, where

        P = (1 - (1 + x) exp(-x)) / x²,    Q = (x - 1 + exp(-x)) / x²,    P + Q = φ.
    """
    a, b, step = primals
    by_a, by_b, by_step = tangents
    x, shrink, quotient, slow = _parts(a, b, step)
    decay_a, decay_b, response = _exponentials(a, b, step)
    # Relative to the result, rounding is below 1e-14 on either side of 0.1.
    small = x < 0.1
    safe = jnp.where(small, 1, x)
    series = 0.0
    for k in reversed(range(10)):
        series = 1 / factorial(k + 2) - x * series
    q = jnp.where(small, series, (safe + shrink) / (safe * safe))
    p = -(shrink + safe * (1 + shrink)) / (safe * safe)
    p = jnp.where(small, quotient - series, p)
    scale = -step * step * slow
    a_is_fast = a > b
    rate_a = rate_b = rate_r = 0.0
    if not _is_zero(by_a):
        rate_a = rate_a - step * decay_a * by_a
        rate_r = rate_r + scale * jnp.where(a_is_fast, p, q) * by_a
    if not _is_zero(by_b):
        rate_b = rate_b - step * decay_b * by_b
        rate_r = rate_r + scale * jnp.where(a_is_fast, q, p) * by_b
    if not _is_zero(by_step):
        rate_a = rate_a - a * decay_a * by_step
        rate_b = rate_b - b * decay_b * by_step
        rate_r = rate_r + (decay_b - a * response) * by_step
    values = decay_a, decay_b, response
    rates = (rate_a, rate_b, rate_r)
    return values, tuple(
        jnp.broadcast_to(jnp.asarray(r, v.dtype), v.shape)
        for r, v in zip(rates, values, strict=True)
    )


# With symbolic zeros constants are told from parameters, and cost nothing.
_exponentials.defjvp(_exponentials_jvp, symbolic_zeros=True)


def _is_zero(tangent: Any) -> bool:
    return isinstance(tangent, jax.custom_derivatives.SymbolicZero)


def turning_point(
    a: Any, b: Any, u: Column, k: Column, ratio: Column
) -> tuple[Bool[Array, " neurons"], Column]:
    """Where u(t), with u' = -a u - k exp(-b t), changes sign.

    Returns whether u is positive just after 0, and the time t > 0 of its only zero, inf
    if it has none. There exp((a - b) t) = `ratio` = 1 + (a - b) u / k; the caller knows
    a form of it that does not cancel.
    """
    exists = k != 0
    r = u / jnp.where(exists, k, 1)
    x = (a - b) * r
    exists = exists & (r > 0) & (ratio > 0) & (x < jnp.inf)
    small, near = jnp.abs(x) < 1e-6, jnp.abs(x) < 0.5
    log = jnp.where(
        near,
        jnp.log1p(jnp.where(near, x, 0)),
        jnp.log(jnp.where(exists & ~near, ratio, 1)),
    )
    t = jnp.where(small, r * (1 - x / 2), log / jnp.where(small, 1, a - b))
    t = jnp.where(exists & (t > 0), t, jnp.inf)
    return (u > 0) | ((u == 0) & (k < 0)), t


def first_crossing(
    gap_then: Callable[[Column], tuple[Column, Column, Column]],
    gap: Column,
    rises: Bool[Array, " neurons"],
    turn: Column,
    limit: Column,
    horizon: Float[Array, "*shape"],
) -> Column:
    """Time until a gap with at most one extremum first rises through 0, else inf.

    0 where it is not negative now. `rises` tells whether it rises now, `turn` the time
    of its extremum (inf if it has none), `limit` its value at infinity. `gap_then` is
    the gap after a time, with its first and second derivative.

    Between now, the extremum and the horizon the gap is monotone, and the interval in
    which it rises brackets the crossing. Compute the gap as the difference of two
    numbers of one size: it then is 0 where it is rounding, and the search stops.
    """
    end = jnp.minimum(turn, horizon)
    low = jnp.where(rises, 0, end)
    high = jnp.where(rises, end, horizon)
    # Without a maximum it tends to its limit from below, which it may round to.
    goes_above = (rises & (turn < jnp.inf)) | (limit > 0)
    first, start_slope, _ = gap_then(low)
    last, end_slope, _ = gap_then(high)
    crosses = (last >= 0) & goes_above & (gap < 0) & (high > low)
    # The cubic between the two ends is close to it.
    span = high - low
    part = first_rise(first, start_slope * span, last, end_slope * span)
    guess = low + span * jnp.where(part < jnp.inf, part, 0)
    root = rising_root(gap_then, low, high, jnp.clip(guess, low, high), crosses)
    return jnp.where(gap >= 0, 0, jnp.where(crosses, root, jnp.inf))
