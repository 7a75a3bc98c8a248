"""Times that stay precise however late it is: in two numbers each.

One number of the network's type would tell times around 1e6 apart by 0.06 in single
precision, and a simulation adds up many short ways. Two numbers have twice the digits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._spikes import Spikes


class Clock(NamedTuple):
    """A time, or many: the nearest number of its type, and what is left.

    Only `time` is differentiated.
    """

    time: Float[Array, "*shape"]
    rest: Float[Array, "*shape"]

    @classmethod
    def of(cls, value: Any, dtype: Any) -> Clock:
        """A number or an array; all its digits count where NumPy or Python hold it."""
        ours = isinstance(value, np.ndarray | np.generic | float | int | list | tuple)
        if ours and not any(isinstance(x, jax.Array) for x in jax.tree.leaves(value)):
            value = np.asarray(value)
            if value.dtype.kind in "fiu":
                exact = value.astype(np.float64)
                time = exact.astype(dtype)
                with np.errstate(invalid="ignore"):
                    rest = np.where(np.isfinite(exact), exact - time, 0).astype(dtype)
                return cls(jnp.asarray(time), jnp.asarray(rest))
        value = jnp.asarray(value)
        time = value.astype(dtype)
        if time.dtype == value.dtype:
            return cls(time, jnp.zeros(time.shape, time.dtype))
        rest = lax.stop_gradient(value - time.astype(value.dtype))
        return cls(time, jnp.where(jnp.isfinite(time), rest, 0).astype(dtype))

    def until(self, other: Clock) -> Array:
        """From this time to the other."""
        return (other.time - self.time) + lax.stop_gradient(other.rest - self.rest)

    def later(self, step: Array) -> Clock:
        """This time and a step, exact to the digits of both numbers."""
        time, exact = lax.stop_gradient((self.time, step))
        total, lost = _sum(time, exact)
        total, rest = _sum(total, lost + self.rest)
        plain = jnp.where(jnp.isfinite(total), self.time + step, 0)
        return Clock(total + (plain - lax.stop_gradient(plain)), rest)

    def at(self, places: Any) -> Clock:
        """Those at these places."""
        return Clock(self.time[places], self.rest[places])

    def before(self, other: Clock) -> Bool[Array, "*shape"]:
        """Whether this time is earlier than the other."""
        sooner = self.rest < other.rest
        return (self.time < other.time) | ((self.time == other.time) & sooner)


class Events(NamedTuple):
    """Input spikes as engines know them."""

    times: Clock  # (events,)
    channels: Int[Array, " events"]

    @property
    def spikes(self) -> Spikes:
        """The same, each time in one number."""
        return Spikes(self.times.time, self.channels)


def _sum(a: Array, b: Array) -> tuple[Array, Array]:
    """a + b and what rounding takes from it, 0 where the sum is not finite.

    Knuth, The Art of Computer Programming 2, section 4.2.2.
    """
    total = a + b
    part = total - a
    lost = (a - (total - part)) + (b - part)
    return total, jnp.where(jnp.isfinite(total), lost, 0)
