"""Roots of scalar functions that rise once through zero in a bracket, elementwise."""

from __future__ import annotations

from collections.abc import Callable

import equinox.internal as eqxi
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Values = Float[Array, "..."]
Flags = Bool[Array, "..."]


def rising_root(
    derivatives: Callable[[Values], tuple[Values, Values, Values]],
    low: Values,
    high: Values,
    guess: Values,
    wanted: Flags,
    max_steps: int = 60,
) -> Values:
    """Root of f in [low, high], where f(low) < 0 <= f(high) wherever `wanted`.

    `derivatives` gives f, f' and f''. The parabola with these has its root near that of
    f, also where f has a maximum just above 0, and converges cubically. It is kept
    inside a bracket that shrinks at every step; where it leaves the bracket or closes
    in too slowly, the bracket is halved. Stops at rounding error. `guess` lies in
    [low, high]; entries that are not `wanted` return anything in the bracket.
    """
    eps = jnp.finfo(low.dtype).eps

    def body(carry):
        k, low, high, x, before, moving = carry
        f, slope, bend = derivatives(x)
        above = f >= 0
        low, high = jnp.where(above, low, x), jnp.where(above, x, high)
        # Where the parabola has no root, its tangent has one.
        root = jnp.sqrt(jnp.maximum(slope * slope - 2 * f * bend, 0))
        span = jnp.where(root > 0, slope + root, 2 * slope)
        new = x - 2 * f / jnp.where(span > 0, span, 1)
        inside = (slope > 0) & (new >= low) & (new <= high)
        # From the tenth step on every other step halves, which bounds the count.
        halve = (k > 10) & (k % 2 == 0)
        new = jnp.where(inside & ~halve, new, 0.5 * (low + high))
        # Who has arrived stays there while others go on.
        new = jnp.where(moving, new, x)
        small = 2 * eps * jnp.maximum(jnp.abs(low), jnp.abs(high))
        change = jnp.abs(new - x)
        # A small change that does not get smaller is what rounding makes of f.
        noise = (change <= 64 * small) & (change >= before)
        moving = moving & (change > small) & (high - low > small) & ~noise
        return k + 1, low, high, new, change, moving

    def cond(carry):
        k, *_, moving = carry
        return (k < max_steps) & eqxi.unvmap_any(moving)

    start = (0, low, high, guess, jnp.full_like(low, jnp.inf), wanted)
    _, low, high, x, *_ = lax.while_loop(cond, body, start)
    return jnp.clip(x, low, high)


def first_rise(
    start: Values, start_slope: Values, end: Values, end_slope: Values
) -> Values:
    """Where in [0, 1] the cubic with these end values and slopes first rises through 0.

    inf where it does not. The cubic shows an up-and-down crossing that the values at
    the ends hide. Starts below 0.
    """
    b = 3 * (end - start) - 2 * start_slope - end_slope
    a = start_slope + end_slope - 2 * (end - start)

    def cubic(s: Values) -> Values:
        return start + s * (start_slope + s * (b + s * a))

    # Extrema cut [0, 1] into pieces on which the cubic is monotone. The quadratic
    # formula in the form that does not cancel, nor divide by a small leading term.
    root = jnp.sqrt(jnp.maximum(b * b - 3 * a * start_slope, 0))
    real = b * b >= 3 * a * start_slope
    w = -(b + jnp.where(b >= 0, root, -root))
    one = jnp.where(a == 0, 0, w / jnp.where(a == 0, 1, 3 * a))
    two = jnp.where(w == 0, 0, start_slope / jnp.where(w == 0, 1, w))
    one, two = (jnp.where(real, jnp.clip(x, 0, 1), 0) for x in (one, two))
    first, second = jnp.minimum(one, two), jnp.maximum(one, two)

    low = jnp.where(cubic(first) >= 0, 0, jnp.where(cubic(second) >= 0, first, second))
    high = jnp.where(cubic(first) >= 0, first, jnp.where(cubic(second) >= 0, second, 1))
    rises = cubic(high) >= 0
    start_low, start_high = cubic(low), cubic(high)
    span = jnp.where(start_high == start_low, 1, start_high - start_low)
    s = low + (high - low) * jnp.clip(-start_low / span, 0, 1)
    for _ in range(6):
        value = cubic(s)
        low, high = jnp.where(value >= 0, low, s), jnp.where(value >= 0, s, high)
        slope = start_slope + s * (2 * b + 3 * a * s)
        newton = s - value / jnp.where(slope > 0, slope, 1)
        inside = (slope > 0) & (newton >= low) & (newton <= high)
        s = jnp.where(inside, newton, 0.5 * (low + high))
    return jnp.where(rises, s, jnp.inf)
