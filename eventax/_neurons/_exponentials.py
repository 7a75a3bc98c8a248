"""Sums of two decaying exponentials: values, derivatives, first crossings."""

from __future__ import annotations

from collections.abc import Callable
from math import factorial, log
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._flows import first_rise, rising_root

Column = Float[Array, " neurons"]

LOG_2 = log(2)


def exponentials(a: Any, b: Any, step: Any) -> tuple[Any, Any, Any, Any]:
    """(1 - exp(-a t)) / a, exp(-a t), exp(-b t) and (exp(-b t) - exp(-a t)) / (a - b).

    The first and the last one are finite for a = 0 and a = b too.
    """
    # Scalars made by hand have no type of their own, which custom_jvp would insist on.
    a, b = (jnp.asarray(x, step.dtype) for x in (a, b))
    fill, decay_a, decay_b, response = _exponentials(a, b, step)
    return fill, decay_a, decay_b, response


def approach(a: Any, step: Any) -> Way:
    """How far a value goes that approaches its target at the rate a."""
    return way(a * step, -jnp.expm1(-a * step), jnp.exp(-a * step))


def way(x: Any, gone: Any, left: Any) -> Way:
    """From the part that is gone and the part that is left at x = a t."""
    near = x < LOG_2
    return Way(near, jnp.where(near, gone, -left))


class Way(NamedTuple):
    """How far a value goes to its target: from where it is, or seen from the target.

    Of the two the nearer one is the exact one: a value that hardly moves keeps its
    digits however far off the target is, and one that has arrived is at its target
    however far off it was.
    """

    near: Any  # whether the value is nearer to where it was
    part: Any  # gone of the distance, or left of it and negative

    def moved(self, x: Any, target: Any, distance: Any) -> Any:
        """The value that was x; `distance` is that to the target."""
        return jnp.where(self.near, x, target) + distance * self.part


def _parts(x: Any) -> tuple[Any, Any]:
    """exp(-x) - 1 and (1 - exp(-x)) / x."""
    shrink = jnp.expm1(-x)
    # By its series where the quotient would divide by 0.
    tiny = x < 1e-3
    series = 1 - x * (1 / 2 - x * (1 / 6 - x * (1 / 24 - x / 120)))
    return shrink, jnp.where(tiny, series, -shrink / jnp.where(tiny, 1, x))


def _shares(x: Any, shrink: Any, quotient: Any) -> tuple[Any, Any]:
    """P = (1 - (1 + x) exp(-x)) / x² and Q = (x - 1 + exp(-x)) / x².

    With φ = (1 - exp(-x)) / x they are P = -φ'(x), P + Q = φ.
    """
    # Relative to the result, rounding is below 1e-14 on either side of 0.1.
    small = x < 0.1
    safe = jnp.where(small, 1, x)
    series = 0.0
    for k in reversed(range(10)):
        series = 1 / factorial(k + 2) - x * series
    q = jnp.where(small, series, (safe + shrink) / (safe * safe))
    p = -(shrink + safe * (1 + shrink)) / (safe * safe)
    return jnp.where(small, quotient - series, p), q


@jax.custom_jvp
def _exponentials(a: Array, b: Array, step: Array) -> tuple[Array, ...]:
    shrink, quotient = _parts(jnp.abs(a - b) * step)
    slow = jnp.exp(-jnp.minimum(a, b) * step)
    fast = slow * (1 + shrink)
    a_is_fast = a > b
    return (
        step * _parts(a * step)[1],
        jnp.where(a_is_fast, fast, slow),
        jnp.where(a_is_fast, slow, fast),
        step * slow * quotient,
    )


def _exponentials_jvp(primals: Any, tangents: Any) -> Any:
    """By hand: what `_exponentials` selects and divides has no derivative at a = b.

    R = (exp(-b t) - exp(-a t)) / (a - b) is symmetric in a and b. With φ of x = |a - b|
    t it is t φ exp(-slow t), which differentiates to -t² exp(-slow t) times P by the
    faster and times Q by the slower of the two rates.
    """
    a, b, step = primals
    by_a, by_b, by_step = tangents
    values = _exponentials(a, b, step)
    _, decay_a, decay_b, response = values
    x = jnp.abs(a - b) * step
    p, q = _shares(x, *_parts(x))
    scale = -step * step * jnp.exp(-jnp.minimum(a, b) * step)
    a_is_fast = a > b
    rate_f = rate_a = rate_b = rate_r = 0.0
    if not _is_zero(by_a):
        rate_f = -step * step * _shares(a * step, *_parts(a * step))[0] * by_a
        rate_a = rate_a - step * decay_a * by_a
        rate_r = rate_r + scale * jnp.where(a_is_fast, p, q) * by_a
    if not _is_zero(by_b):
        rate_b = rate_b - step * decay_b * by_b
        rate_r = rate_r + scale * jnp.where(a_is_fast, q, p) * by_b
    if not _is_zero(by_step):
        rate_f = rate_f + decay_a * by_step
        rate_a = rate_a - a * decay_a * by_step
        rate_b = rate_b - b * decay_b * by_step
        rate_r = rate_r + (decay_b - a * response) * by_step
    rates = (rate_f, rate_a, rate_b, rate_r)
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


# Integrals over time ------------------------------------------------------------------


def integral_of_decay(rate: Any, step: Any) -> Any:
    """Of exp(-rate t), over `step`."""
    return step * _first(rate * step)


def integral_of_response(a: Any, b: Any, step: Any) -> Any:
    """Of (exp(-b t) - exp(-a t)) / (a - b), over `step`, for equal and zero rates too.

    With x = a t and y = b t that is t² times the divided difference of exp at 0, -x and
    -y: (φ(low) - exp(-low) φ(high - low)) / high, or, where that cancels, the series

        Σ (-1)^n h_n(x, y) / (n + 2)!,   h_n = x h_(n-1) + y^n.
    """
    x, y = a * step, b * step
    low, high = jnp.minimum(x, y), jnp.maximum(x, y)
    small = high < 0.5
    low, safe = jnp.where(small, 0, low), jnp.where(small, 1, high)
    direct = (_first(low) - jnp.exp(-low) * _first(safe - low)) / safe
    # Where the series is not asked for, its powers may overflow.
    x, y = (jnp.where(small, value, 0) for value in (x, y))
    series, power, sums = 0.0, 1.0, 1.0
    for n in range(16):
        series = series + (-1) ** n / factorial(n + 2) * sums
        power = power * y
        sums = x * sums + power
    return step * step * jnp.where(small, series, direct)


def _first(x: Any) -> Any:
    """φ(x) = (1 - exp(-x)) / x, in a form whose derivative is exact too."""
    small = x < 0.5
    near = jnp.where(small, x, 0)
    series = 0.0
    for k in reversed(range(16)):
        series = 1 / factorial(k + 1) - near * series
    safe = jnp.where(small, 1, x)
    return jnp.where(small, series, -jnp.expm1(-safe) / safe)
