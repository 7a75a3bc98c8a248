"""Flow of quadratic integrate-and-fire neurons through the spike at infinity.

With x = V - 1/2 the QIF equation τm V' = V(V - 1) + I(t) is the Riccati equation
τm x' = x² + J(t), J(t) = ic - 1/4 + i exp(-t/τs). With x = p/q it is linear:

    τm p' = J(t) q,        τm q' = -p,

so nothing diverges: a spike (V = +∞) is a zero of q, and the reset (to V = -∞) a change
of sign of (p, q), which keeps q >= 0 between spikes. Only the ratio counts, so
|p| + |q| = 1 may be kept too, and one number d tells both. It rises from -1 (just
reset) through 0 (V = 1/2) to 1 (a spike):

    p = d, q = 1 - |d|,        τm d' = p² + J q².

The propagator of a linear equation over a step h is the exponential of a matrix Ω, by
the Magnus expansion. Here it is of sixth order: exact while J is constant, of
determinant 1 always. It is Blanes, Casas & Ros, BIT 40 (2000) 434, with the commutators
of these 2x2 matrices worked out.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial
from typing import Any, NamedTuple

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from .._arguments import check_static
from ._base import AbstractFlow, Gaps, Limits, Scalar, Segment

Column = Float[Array, " neurons"]


class Diamond(NamedTuple):
    """State of the flow: the place d on |p| + |q| = 1 and the current, each (N,)."""

    d: Column
    i: Column

    @property
    def pq(self) -> tuple[Column, Column]:
        """p and q; just past a spike (d > 1) q is negative.

        There a step lands by rounding, and is moved back. Further on, where a neuron in
        a pause goes, both have the other sign, lest p and q pass 0 in one step.
        """
        past = self.d > 1.25
        return (
            jnp.where(past, self.d - 2, jnp.where(self.d > 1, 2 - self.d, self.d)),
            jnp.where(past, self.d - 1, 1 - jnp.abs(self.d)),
        )


class Route(NamedTuple):
    """A Magnus step, and from its end a shift of either sign to first order."""

    step: Scalar
    shift: Scalar


@jax.custom_jvp
def _diamond(p: Column, q: Column) -> Column:
    """d for any p and q, of which one is not 0; p > 0 where q < 0."""
    # Division last: XLA would compute p and q twice if a selection followed it.
    past = jnp.where((p > 0) & (q < 0), 2 * q, 0)
    return (p - past) / (jnp.abs(p) + jnp.abs(q))


@_diamond.defjvp
def _diamond_jvp(primals: Any, tangents: Any) -> Any:
    """One formula in all quadrants, without the sign of p or q.

    At a spike q is rounding. Where XLA computes it twice, the signs of the two may
    differ, and with them that of a derivative through `abs` and `where`.
    """
    (p, q), (dp, dq) = primals, tangents
    size = jnp.abs(p) + jnp.abs(q)
    return _diamond(p, q), (q * dp - p * dq) / (size * size)


class Riccati(AbstractFlow):
    """Magnus steps of sixth order, whose local error is kept at `tolerance`.

    A spike is found by going to the end of a step, where the sign of q tells who
    fired in it, and from there to the zero of q, whose distance the local state tells
    the better the nearer it is.
    """

    tolerance: float = eqx.field(static=True)

    @classmethod
    def of_accuracy(cls, tolerance: float | None, dtype: Any) -> Riccati:
        """The flow of a given relative error per step, default by precision."""
        single = jnp.finfo(dtype).bits <= 32
        if tolerance is None:
            tolerance = 1e-6 if single else 1e-9
        check_static("flow_tolerance", tolerance)
        if not 0 < tolerance < 1:
            raise ValueError(
                f"`flow_tolerance` must lie between 0 and 1; got {tolerance!r}."
            )
        return cls(tolerance=float(tolerance))

    def likely_steps(self, span: float) -> int:
        return 2048

    def enter(self, model: Any, y: PyTree) -> Diamond:
        # V = -π cos(πφ) / sin(πφ)
        phase, i = y[..., 0], y[..., 1]
        cos, q = jnp.sin(jnp.pi * (0.5 - phase)), jnp.sin(jnp.pi * phase)
        return Diamond(_diamond(-jnp.pi * cos - q / 2, q), i)

    def leave(self, model: Any, z: Diamond) -> Float[Array, "neurons 2"]:
        p, q = z.pq
        phase = 0.5 + jnp.arctan2(p + q / 2, jnp.pi * q) / jnp.pi
        return jnp.stack([phase, z.i], axis=-1)

    def slope(self, model: Any, t: Scalar, z: Diamond) -> Diamond:
        tau_m, tau_s = model._time_constants()
        p, q = z.pq
        drive = model.ic - 0.25 + z.i
        return Diamond((p * p + drive * q * q) / tau_m, -z.i / tau_s)

    def gap(self, model: Any, t: Scalar, z: Diamond) -> Gaps:
        return z.d - 1

    def gap_rate(
        self, model: Any, t: Scalar, z: Diamond, slope: Diamond
    ) -> tuple[Gaps, Gaps]:
        return z.d - 1, slope.d

    def fire(self, model: Any, z: Diamond, fired: Bool[Array, " neurons"]) -> Diamond:
        if model._overrides("reset_spiked"):
            return self.enter(model, model.reset_spiked(self.leave(model, z), fired))
        return z._replace(d=jnp.where(fired, -1, z.d))

    def receive(
        self, model: Any, z: Diamond, sender: Any, rows: list[Column], reached: Any
    ) -> Diamond:
        if model._overrides("input_spike"):
            y = model._unpack(self.leave(model, z))
            y = model._pack(model.receive(y, sender, rows, reached))
            return self.enter(model, y)
        (w,) = rows
        return z._replace(i=z.i + jnp.where(reached, w, 0))

    def advance(self, model: Any, t: Scalar, z: Diamond, route: Route) -> Diamond:
        end = self._propagate(model, z, route.step)
        slope = self.slope(model, t, end)
        return jax.tree.map(lambda x, dx: x + route.shift * dx, end, slope)

    def route(self, length: Scalar) -> Route:
        return Route(length, jnp.zeros_like(length))

    def length(self, route: Route) -> Scalar:
        return route.step + route.shift

    def _propagate(self, model: Any, z: Diamond, step: Scalar) -> Diamond:
        tau_m, tau_s = model._time_constants()
        half_decay, moments = _decay_moments(step / tau_s)
        x, y, w, _ = _magnus(step / tau_m, model.ic - 0.25, z.i, moments)
        cosh, sinh = _hyperbolic(x * x - y * w)
        p, q = z.pq
        return Diamond(
            _diamond(
                cosh * p + sinh * (x * p + y * q), cosh * q - sinh * (w * p + x * q)
            ),
            z.i * (half_decay * half_decay),
        )

    def find(
        self,
        model: Any,
        t: Scalar,
        z: Diamond,
        memory: PyTree,
        limits: Limits,
        alive: Bool[Array, " neurons"],
    ) -> Segment:
        tau_m, _ = model._time_constants()
        room, reach, quiet = limits
        # In this order NaN stays NaN, which the engine reports.
        longest = self._reach(model, z, room)
        last = jnp.where(longest >= room, reach, longest)
        near = 0.3 * jnp.sqrt(jnp.finfo(t.dtype).eps) * jnp.min(jnp.asarray(tau_m))

        def waits(there: Diamond) -> Column:
            return jnp.where(alive, self._wait(model, there), jnp.inf)

        # Go to where the first spike should be, look again from there, and so on. No
        # spike is passed unseen: every neuron's state tells whether it is past one.
        def body(carry):
            k, step, _, wait = carry
            step = jnp.clip(step + wait, 0, longest)
            there = self._propagate(model, z, step)
            return k + 1, step, there, jnp.min(waits(there))

        def cond(carry):
            k, step, _, wait = carry
            on = (wait < -near) | ((wait > near) & (step < longest))
            return (k < 20) & eqxi.unvmap_any(on)

        carry = (0, jnp.zeros_like(t), z, jnp.min(waits(z)))
        _, step, there, wait = lax.while_loop(cond, body, carry)
        # Arrivals change the current only. Who is past a spike then was not put there
        # by a jump, but fires within rounding of the last event.
        jumps = model._overrides("init_state", "input_spike", "reset_spiked")
        above = alive & (z.d >= 1) & jumps
        jumped = jnp.any(above)
        spikes = (wait <= near) & (step + wait <= last)
        length = jnp.where(spikes, jnp.clip(step + wait, 0, last), longest)
        # A step too short to be told from none would be taken for ever.
        stuck = ~spikes & (longest < room)
        stuck = stuck & (longest <= jnp.finfo(t.dtype).eps * quiet)
        # What is left, too short for curvature to matter.
        shift = jnp.where(jumped, 0, length - step)
        slope = self.slope(model, t + length, there)
        return Segment(
            length=jnp.where(jumped, 0, jnp.where(stuck, jnp.nan, length)),
            route=Route(jnp.where(jumped, 0, step), shift),
            end=jax.tree.map(lambda x, dx: x + shift * dx, there, slope),
            crossed=jnp.where(jumped, above, spikes & (waits(there) <= wait)),
            jumped=jumped,
            memory=memory,
        )

    def _wait(self, model: Any, z: Diamond) -> Column:
        """Time until a spike (negative if past), from the state near it; inf if far.

        If J were constant, q/p would be a tangent of it, which a Padé approximant
        inverts.
        """
        tau_m, _ = model._time_constants()
        p, q = z.pq
        ratio = q / jnp.where(p > 0, p, 1)
        bend = (model.ic - 0.25 + z.i) * ratio * ratio
        soon = (p > 0) & (bend > -0.9)
        pade = (15 + 4 * bend) / jnp.where(soon, 15 + 9 * bend, 1)
        return jnp.where(soon, tau_m * ratio * pade, jnp.inf)

    def _reach(self, model: Any, z: Diamond, whole: Scalar) -> Scalar:
        """The step that keeps the error at the tolerance and q at one zero at most.

        The fourth-order part of Ω is an error of order 5; the error of Ω itself, of
        order 7, is taken as its power 7/5.
        """
        tau_m, tau_s = model._time_constants()
        drive = jnp.abs(model.ic) + jnp.abs(z.i) + 0.25
        longest = 1 / jnp.max(jnp.sqrt(drive) / tau_m)
        step = jnp.minimum(jnp.minimum(longest, 2 * jnp.min(jnp.asarray(tau_s))), whole)
        _, moments = _decay_moments(step / tau_s)
        *_, error = _magnus(step / tau_m, model.ic - 0.25, z.i, moments)
        error = jnp.maximum(jnp.max(error), jnp.finfo(step.dtype).tiny)
        allowed = self.tolerance ** (5 / 7)
        return step * jnp.minimum((allowed / error) ** 0.2, 1)


def _moment_series(weights: Callable[[int], float]) -> list[float]:
    return [weights(k) for k in range(8)]


# Legendre moments of exp(-r s) over -1/2 < s < 1/2, as power series in r².
_MEAN = _moment_series(lambda k: 1 / (4**k * factorial(2 * k + 1)))
_FIRST = _moment_series(
    lambda k: 1 / (4 ** (k + 1) * (2 * k + 3) * factorial(2 * k + 1))
)
_SECOND = _moment_series(lambda k: 1 / (4 ** (k + 1) * (2 * k + 3) * factorial(2 * k)))
_ALPHA_1 = [9 / 4 * a - 15 * b for a, b in zip(_MEAN, _SECOND, strict=True)]
_ALPHA_2 = [-12 * a for a in _FIRST]
_ALPHA_3 = [180 * b - 15 * a for a, b in zip(_MEAN, _SECOND, strict=True)]
_COSH = [1 / factorial(2 * k) for k in range(10)]
_SINH = [1 / factorial(2 * k + 1) for k in range(10)]
_SINH_SLOPE = [(k + 1) / factorial(2 * k + 3) for k in range(10)]


def _decay_moments(r: Any) -> tuple[Any, tuple[Any, Any, Any]]:
    """exp(-r/2), and the coefficients of a parabola α1 + α2 s + α3 s².

    It has the moments of exp(-r (s + 1/2)) over -1/2 < s < 1/2.
    """
    half = jnp.exp(-r / 2)
    square = r * r
    return half, (
        half * _polynomial(_ALPHA_1, square),
        half * r * _polynomial(_ALPHA_2, square),
        half * _polynomial(_ALPHA_3, square),
    )


def _magnus(c: Any, constant: Column, i: Column, moments: Any) -> tuple[Column, ...]:
    """Ω = [[x, y], [-w, -x]] for τm/h = 1/c, and the size of its sixth-order part."""
    current = c * i
    b1 = c * constant + current * moments[0]
    b2, b3 = current * moments[1], current * moments[2]
    g = c * b2
    dx = -c * g * (40 * b1 + b3) / 7200
    dy = (g * (b2 + b1 * g / 30) - (20 * b1 + b3) * c * b3 / 30) / 120
    dw = c * (20 * c * b3 + g * g) / 3600
    error = jnp.abs(dx) + jnp.abs(dy) + jnp.abs(dw)
    return dx - g / 12, b1 + b3 / 12 + dy, c + dw, error


@jax.custom_jvp
def _hyperbolic(square: Column) -> tuple[Column, Column]:
    """cosh(√s) and sinh(√s)/√s, entire functions of s, for |s| up to about 1."""
    terms = 6 if jnp.finfo(square.dtype).bits <= 32 else 10
    return _polynomial(_COSH[:terms], square), _polynomial(_SINH[:terms], square)


@_hyperbolic.defjvp
def _hyperbolic_jvp(primals: Any, tangents: Any) -> Any:
    """Their derivatives are sinh(√s)/(2√s) and another such series."""
    (square,), (rate,) = primals, tangents
    cosh, sinh = _hyperbolic(square)
    terms = 6 if jnp.finfo(square.dtype).bits <= 32 else 10
    slope = _polynomial(_SINH_SLOPE[:terms], square)
    return (cosh, sinh), (0.5 * sinh * rate, slope * rate)


def _polynomial(coefficients: list[float], x: Any) -> Any:
    value = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        value = value * x + coefficient
    return value
