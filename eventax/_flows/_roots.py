"""Roots of scalar functions that rise once through zero in a bracket, elementwise."""

from __future__ import annotations

from collections.abc import Callable

import equinox.internal as eqxi
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Float

Values = Float[Array, "..."]


def rising_root(
    value_and_slope: Callable[[Values], tuple[Values, Values]],
    low: Values,
    high: Values,
    guess: Values,
    wanted: Values,
    max_steps: int = 60,
) -> Values:
    """Root of f in [low, high], where f(low) < 0 <= f(high) wherever `wanted`.

    Newton's method, kept inside a bracket that shrinks at every step; where Newton
    leaves the bracket or closes in too slowly, the bracket is halved. Stops at
    rounding error. `guess` lies in [low, high]; entries that are not `wanted` return
    anything in the bracket.
    """
    eps = jnp.finfo(low.dtype).eps

    def body(carry):
        k, low, high, x, _ = carry
        f, df = value_and_slope(x)
        above = f >= 0
        low, high = jnp.where(above, low, x), jnp.where(above, x, high)
        newton = x - f / jnp.where(df > 0, df, 1)
        inside = (df > 0) & (newton >= low) & (newton <= high)
        # From the tenth step on every other step halves, which bounds the count.
        halve = (k > 10) & (k % 2 == 0)
        new = jnp.where(inside & ~halve, newton, 0.5 * (low + high))
        small = 2 * eps * jnp.maximum(jnp.abs(low), jnp.abs(high))
        moving = wanted & (jnp.abs(new - x) > small) & (high - low > small)
        return k + 1, low, high, new, moving

    def cond(carry):
        k, *_, moving = carry
        return (k < max_steps) & eqxi.unvmap_any(moving)

    start = (0, low, high, guess, wanted)
    _, low, high, x, _ = lax.while_loop(cond, body, start)
    return jnp.clip(x, low, high)
