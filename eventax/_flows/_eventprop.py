"""Gradients by the adjoint equation, solved backward in time between events.

Forward, a segment is what the flow of the network makes of it, and several of them may
lie between two events. Backward they are one: from one event to the one before, the
adjoint variables λ follow

    λ' = -(∂f/∂z)ᵀ λ,        (dL/dθ)' = -(∂f/∂θ)ᵀ λ,

with the state itself, z' = f(t, z; θ), solved along with them (Wunderlich & Pehle,
Scientific Reports 11, 12829 (2021), eq. 4). Events are the engine's business. See
docs/eventprop.md.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._largest import largest
from ._base import AbstractFlow, Gaps, Limits, Scalar, Segment

# A state that forgets its past cannot be followed back in time for long: its error
# grows as fast as it forgets. So the way between two events is divided, up to this many
# times and each part once more, and the states there are known from the way forth.
DIVISIONS = 32
# Explicit steps are no longer than about 3 times the shortest time constant. So in this
# many of them an error grows by a factor of a thousand at most.
STEPS = 2


class Way(NamedTuple):
    """States along the way between two times, at equal distances."""

    times: Float[Array, " nodes"]
    states: PyTree
    parts: Int[Array, ""]  # into how many it is to be divided, a power of 2
    failed: Bool[Array, ""]

    @property
    def end(self) -> PyTree:
        return jax.tree.map(lambda x: x[-1], self.states)


class EventPropAdjoint(eqx.Module):
    r"""Gradients by the adjoint equation, from event to event (EventProp).

    As `adjoint=` of a network. Between events the adjoint variables follow their own
    differential equation backward in time, at events they jump (Wunderlich & Pehle,
    Scientific Reports 11, 12829 (2021), eq. 4-5 and table 2; with delays Mészáros et
    al. (2025)). What is kept for that are the events and the states at them, so that
    memory grows with the number of events and not with a solver's steps. It costs
    time: use it where memory is what is short, or to check the default gradient, with
    which it agrees to the tolerance of the solver.

    The keywords are those of `diffrax.diffeqsolve` for the backward solve.

    Arguments:
        dt0: length of the first step, default None: chosen by the controller. Its sign
            does not matter.
        solver: default `diffrax.Tsit5()`.
        stepsize_controller: default a `diffrax.PIDController` with a relative tolerance
            of 1e-6 in float32 and 1e-8 in float64.
        adjoint: how diffrax itself would differentiate through the backward solve,
            which nobody does. Default `diffrax.RecursiveCheckpointAdjoint()`.
        max_steps: bound on the steps between two events, default 4096; None for none.
            It also guards the precision: a way that is much longer than the time in
            which the state forgets its past needs many steps.
        throw: whether a failed solve is an error (default) or gives a useless result.

    Raises:
        TypeError: a keyword is of the wrong type.
        ValueError: `dt0` is 0 or not finite, or missing where steps are constant;
            `max_steps` is less than 1.
        EquinoxRuntimeError: a solve failed while a gradient was taken, and `throw`.

    Example:
        >>> import equinox as eqx
        >>> import jax.numpy as jnp
        >>> from eventax import EvNN
        >>> from eventax.adjoint import EventPropAdjoint
        >>> from eventax.neuron_models import LIF
        >>> net = EvNN(
        ...     LIF, 1, 50.0, in_size=0, thresh=1.0, tsyn=5.0, tmem=10.0,
        ...     init_weights=0.0, init_bias=2.0, adjoint=EventPropAdjoint(),
        ... )
        >>> gradient = eqx.filter_grad(lambda net: net.ttfs(None)[0])(net)
        >>> gradient.neuron_model.ic  # τm (1/ic - 1/(ic - thresh))
        Array([-5.], dtype=float32)
    """

    dt0: Any = eqx.field(static=True, default=None)  # float | None
    solver: Any = None
    stepsize_controller: Any = None
    adjoint: Any = None
    max_steps: Any = eqx.field(static=True, default=4096)  # int | None
    throw: Any = eqx.field(static=True, default=True)  # bool

    def __check_init__(self):
        for name, kind in (
            ("solver", diffrax.AbstractSolver),
            ("stepsize_controller", diffrax.AbstractStepSizeController),
            ("adjoint", diffrax.AbstractAdjoint),
        ):
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                raise TypeError(
                    f"`{name}` of EventPropAdjoint must be a diffrax {kind.__name__} "
                    f"instance, or None; got {value!r}."
                )
        for name, kinds, wanted in (
            ("dt0", (int, float, type(None)), "a number or None"),
            ("max_steps", (int, type(None)), "a whole number or None"),
            ("throw", (bool,), "True or False"),
        ):
            value = getattr(self, name)
            wrong = isinstance(value, bool) and bool not in kinds
            if wrong or not isinstance(value, kinds):
                raise TypeError(
                    f"`{name}` of EventPropAdjoint must be {wanted}; got {value!r}."
                )
        if self.max_steps is not None and self.max_steps < 1:
            raise ValueError(
                "`max_steps` of EventPropAdjoint must be at least 1, or None for no "
                f"bound; got {self.max_steps}."
            )
        if self.dt0 is not None and (self.dt0 == 0 or not math.isfinite(self.dt0)):
            raise ValueError(
                f"`dt0` of EventPropAdjoint must be finite and not 0; got {self.dt0}."
            )
        constant = isinstance(self.stepsize_controller, diffrax.ConstantStepSize)
        if constant and self.dt0 is None:
            raise ValueError(
                "`stepsize_controller=diffrax.ConstantStepSize()` of EventPropAdjoint "
                "needs `dt0`, the length of its steps."
            )


class EventProp(AbstractFlow):
    """The way of a flow, with the adjoint equation for its derivative.

    Of a route only the length is kept.
    """

    flow: AbstractFlow
    settings: EventPropAdjoint
    rtol: float
    atol: float

    def enter(self, model: Any, y: PyTree) -> PyTree:
        return self.flow.enter(model, y)

    def leave(self, model: Any, z: PyTree) -> PyTree:
        return self.flow.leave(model, z)

    def slope(self, model: Any, t: Scalar, z: PyTree) -> PyTree:
        return self.flow.slope(model, t, z)

    def gap(self, model: Any, t: Scalar, z: PyTree) -> Gaps:
        return self.flow.gap(model, t, z)

    def gap_rate(
        self, model: Any, t: Scalar, z: PyTree, slope: PyTree
    ) -> tuple[Gaps, Gaps]:
        return self.flow.gap_rate(model, t, z, slope)

    def alarm(self, model: Any, z: PyTree) -> Gaps | None:
        return self.flow.alarm(model, z)

    def ring(self, model: Any, z: PyTree, rings: Bool[Array, " neurons"]) -> PyTree:
        return self.flow.ring(model, z, rings)

    def fire(self, model: Any, z: PyTree, fired: Bool[Array, " neurons"]) -> PyTree:
        return self.flow.fire(model, z, fired)

    def receive(
        self, model: Any, z: PyTree, sender: Any, rows: list[Any], reached: Any
    ) -> PyTree:
        return self.flow.receive(model, z, sender, rows, reached)

    def find(
        self,
        model: Any,
        t: Scalar,
        z: PyTree,
        memory: PyTree,
        limits: Limits,
        alive: Bool[Array, " neurons"],
    ) -> Segment:
        return self.flow.find(model, t, z, memory, limits, alive)

    def advance(self, model: Any, t: Scalar, z: PyTree, route: Scalar) -> PyTree:
        params, static = eqx.partition(model, eqx.is_inexact_array)
        # Weights that only arrivals read must not be part of the equation.
        params, unread = self._split(params, static, t, z)
        unread = jax.tree.map(jnp.zeros_like, unread)

        def field(s: Scalar, z: PyTree, args: Any) -> PyTree:
            params, t = args
            return self.flow.slope(eqx.combine(params, unread, static), t + s, z)

        @jax.custom_vjp
        def end(params: PyTree, t: Scalar, z: PyTree, length: Scalar) -> PyTree:
            return forth(params, t, z, length)[0]

        def forth(params: PyTree, t: Scalar, z: PyTree, length: Scalar) -> Any:
            zero = jnp.zeros_like(length)
            way = self._go(field, zero, length, z, (params, t), DIVISIONS * STEPS)
            return way.end, (params, t, way)

        def adjoint_field(s: Scalar, y: PyTree, args: Any) -> PyTree:
            z, adjoint, _ = y
            slope, pull = jax.vjp(lambda z, args: field(s, z, args), z, args)
            by_z, by_args = pull(adjoint)
            return slope, *jax.tree.map(jnp.negative, (by_z, by_args))

        def back(residuals: Any, grad: PyTree) -> tuple[Any, ...]:
            params, t, way = residuals
            args = params, t
            # λ is linear in the loss, whose scale must not matter to the tolerance.
            # With NaN in it, there is nothing to solve.
            scale = optx.max_norm(grad)
            usable = jnp.isfinite(scale)
            divisor = jnp.where(usable & (scale > 0), scale, 1)
            adjoint = jax.tree.map(lambda g: jnp.where(usable, g / divisor, 0), grad)

            def part(carry: Any, start: Scalar, stop: Scalar, z: PyTree, _: Any) -> Any:
                way = self._go(field, start, stop, z, args, STEPS)
                *carry, failed = carry
                return _backwards(way, piece, (*carry, failed | way.failed))

            def piece(
                carry: Any, start: Scalar, stop: Scalar, _: Any, z: PyTree
            ) -> Any:
                adjoint, by_args, failed = carry
                solution = self._solve(
                    adjoint_field,
                    stop,
                    start,
                    (z, adjoint, by_args),
                    args,
                    diffrax.SaveAt(t1=True),
                    # An error of dL/dθ acts on nothing else.
                    lambda y: optx.max_norm(y[:2]),
                )
                _, adjoint, by_args = jax.tree.map(lambda x: x[0], solution.ys)
                return adjoint, by_args, failed | _is_bad(solution)

            zeros = jax.tree.map(jnp.zeros_like, args)
            *carry, failed = _backwards(way, part, (adjoint, zeros, way.failed))
            scale = jnp.where(usable, divisor, jnp.nan)
            by_z, (by_params, by_t) = jax.tree.map(lambda g: g * scale, tuple(carry))
            result = by_params, by_t, by_z, jnp.zeros_like(t)
            if self.settings.throw:
                result = eqx.error_if(result, failed, self._message())
            return result

        end.defvjp(forth, back)
        return end(params, t, z, route)

    def _split(
        self, params: PyTree, static: PyTree, t: Scalar, z: PyTree
    ) -> tuple[PyTree, PyTree]:
        """Parameters that the motion between events depends on, and the rest."""
        leaves, structure = jax.tree.flatten(params)

        def slope(leaves: list[Array]) -> PyTree:
            model = eqx.combine(jax.tree.unflatten(structure, leaves), static)
            return self.flow.slope(model, t, z)

        jaxpr = jax.make_jaxpr(slope)(leaves).jaxpr
        used = {id(v) for equation in jaxpr.eqns for v in equation.invars}
        used |= {id(v) for v in jaxpr.outvars}
        mask = [id(v) in used for v in jaxpr.invars]
        return eqx.partition(params, jax.tree.unflatten(structure, mask))

    def _go(
        self, field: Any, start: Scalar, stop: Scalar, z: PyTree, args: Any, steps: int
    ) -> Way:
        """Forward in time; a part is to have about so many steps."""
        fractions = jnp.arange(DIVISIONS + 1).astype(start.dtype) / DIVISIONS
        # The last one has to be `stop` itself.
        times = jnp.minimum(start + fractions * (stop - start), stop).at[-1].set(stop)
        saveat = diffrax.SaveAt(ts=times)
        solution = self._solve(field, start, stop, z, args, saveat, optx.max_norm)
        taken = solution.stats["num_accepted_steps"]
        implicit = isinstance(self._solver(), diffrax.AbstractImplicitSolver)
        if implicit and steps == STEPS:
            # Its steps may be longer than any time constant.
            taken = DIVISIONS * STEPS
        choices = 2 ** np.arange(DIVISIONS.bit_length())
        parts = jnp.asarray(choices)[jnp.sum(taken > steps * choices[:-1])]
        return Way(times, solution.ys, parts, _is_bad(solution))

    def _solve(
        self,
        field: Any,
        start: Scalar,
        stop: Scalar,
        y: PyTree,
        args: Any,
        saveat: diffrax.SaveAt,
        norm: Any,
    ) -> diffrax.Solution:
        settings = self.settings
        controller = settings.stepsize_controller
        if controller is None:
            controller = diffrax.PIDController(
                rtol=self.rtol, atol=self.atol, norm=norm
            )
        first = settings.dt0
        if first is not None:
            first = jnp.where(stop < start, -abs(first), abs(first)).astype(start.dtype)
        return diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            self._solver(),
            start,
            stop,
            first,
            y,
            args,
            saveat=saveat,
            stepsize_controller=controller,
            adjoint=settings.adjoint or diffrax.RecursiveCheckpointAdjoint(),
            max_steps=settings.max_steps,
            throw=False,
        )

    def _solver(self) -> diffrax.AbstractSolver:
        return self.settings.solver or diffrax.Tsit5()

    def _message(self) -> str:
        bound = self.settings.max_steps
        return (
            "A solve of EventPropAdjoint between two events failed: it needs more than "
            f"`max_steps` = {bound} steps, or its solver or `stepsize_controller` gave "
            "up. Raise `max_steps` of EventPropAdjoint, loosen the tolerances of its "
            "`stepsize_controller`, or take the default gradient (`adjoint=None`)."
        )


def _backwards(way: Way, body: Any, carry: Any) -> Any:
    """`body(carry, start, stop, z_start, z_stop)` over the parts, last one first."""
    stride = DIVISIONS // way.parts

    def step(k: Array, carry: Any) -> Any:
        k = most - 1 - k
        # Others in the batch may have more parts: then there is no way to go.
        first = jnp.where(k < way.parts, k * stride, 0)
        last = jnp.where(k < way.parts, first + stride, 0)
        pick = lambda i: jax.tree.map(lambda x: x[i], (way.times, way.states))  # noqa: E731
        (start, z_start), (stop, z_stop) = pick(first), pick(last)
        return body(carry, start, stop, z_start, z_stop)

    most = largest(way.parts)
    return lax.fori_loop(0, most, step, carry)


def _is_bad(solution: diffrax.Solution) -> Bool[Array, ""]:
    return solution.result != diffrax.RESULTS.successful
