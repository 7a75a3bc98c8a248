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

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array, Bool, PyTree

from ._base import AbstractFlow, Gaps, Scalar, Segment

# A state that forgets its past cannot be followed back in time for long: its error
# grows as fast as it forgets. So the way between two events is divided, and the state
# at each division is known from the way forth.
DIVISIONS = 8


class EventPropAdjoint(eqx.Module):
    r"""Gradients by the adjoint equation, from event to event (EventProp).

    As `adjoint=` of a network. Between events the adjoint variables follow their own
    differential equation backward in time, at events they jump (Wunderlich & Pehle,
    Scientific Reports 11, 12829 (2021), eq. 4-5 and table 1; with delays Mészáros et
    al. (2025)). What is kept for that are the events and the states at them, so that
    memory grows with the number of events and not with a solver's steps. It costs
    time: use it where memory is what is short, or to check the default gradient, with
    which it agrees to the tolerance of the solver.

    The keywords are those of `diffrax.diffeqsolve` for the backward solve.

    Arguments:
        dt0: first step, default None: chosen by the controller.
        solver: default `diffrax.Tsit5()`.
        stepsize_controller: default a `diffrax.PIDController` with a relative tolerance
            of 1e-6 in float32 and 1e-8 in float64.
        adjoint: how diffrax itself would differentiate through the backward solve,
            which nobody does. Default `diffrax.RecursiveCheckpointAdjoint()`.
        max_steps: bound on the steps between two events, default 4096; None for none.
        throw: whether a failed solve is an error (default) or gives a useless result.

    Raises:
        TypeError: a keyword is of the wrong type.

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

    dt0: float | None = eqx.field(static=True, default=None)
    solver: Any = eqx.field(static=True, default=None)
    stepsize_controller: Any = eqx.field(static=True, default=None)
    adjoint: Any = eqx.field(static=True, default=None)
    max_steps: int | None = eqx.field(static=True, default=4096)
    throw: bool = eqx.field(static=True, default=True)

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

    def alarm(self, model: Any, t: Scalar, z: PyTree) -> Gaps | None:
        return self.flow.alarm(model, t, z)

    def ring(self, model: Any, z: PyTree, rings: Bool[Array, " neurons"]) -> PyTree:
        return self.flow.ring(model, z, rings)

    def fire(self, model: Any, z: PyTree, fired: Bool[Array, " neurons"]) -> PyTree:
        return self.flow.fire(model, z, fired)

    def receive(
        self, model: Any, z: PyTree, sender: Any, rows: list[Gaps], reached: Any
    ) -> PyTree:
        return self.flow.receive(model, z, sender, rows, reached)

    def find(
        self,
        model: Any,
        t: Scalar,
        z: PyTree,
        memory: PyTree,
        bound: Scalar,
        alive: Bool[Array, " neurons"],
    ) -> Segment:
        return self.flow.find(model, t, z, memory, bound, alive)

    def advance(self, model: Any, t: Scalar, z: PyTree, route: Scalar) -> PyTree:
        params, static = eqx.partition(model, eqx.is_inexact_array)
        parts = jnp.arange(DIVISIONS + 1) / DIVISIONS

        def field(s: Scalar, z: PyTree, args: Any) -> PyTree:
            params, t = args
            return self.flow.slope(eqx.combine(params, static), t + s, z)

        @jax.custom_vjp
        def end(params: PyTree, t: Scalar, z: PyTree, length: Scalar) -> PyTree:
            return jax.tree.map(lambda x: x[-1], forth(params, t, z, length)[0])

        def solve(function: Any, start: Any, stop: Any, y: PyTree, args: Any, **how):
            return diffrax.diffeqsolve(
                diffrax.ODETerm(function),
                self.settings.solver or diffrax.Tsit5(),
                start,
                stop,
                self.settings.dt0,
                y,
                args,
                adjoint=self.settings.adjoint or diffrax.RecursiveCheckpointAdjoint(),
                max_steps=self.settings.max_steps,
                throw=self.settings.throw,
                **how,
            ).ys

        def forth(params: PyTree, t: Scalar, z: PyTree, length: Scalar) -> Any:
            at = parts.astype(length.dtype) * length
            zs = solve(
                field,
                jnp.zeros_like(length),
                length,
                z,
                (params, t),
                saveat=diffrax.SaveAt(ts=at),
                stepsize_controller=self._controller(optx.max_norm),
            )
            return zs, (params, t, at, zs)

        def backward(params: PyTree, t: Scalar, z: PyTree, length: Scalar) -> Any:
            zs, residuals = forth(params, t, z, length)
            return jax.tree.map(lambda x: x[-1], zs), residuals

        def adjoint_field(s: Scalar, y: PyTree, args: Any) -> PyTree:
            z, adjoint, _ = y
            slope, pull = jax.vjp(lambda z, args: field(s, z, args), z, args)
            by_z, by_args = pull(adjoint)
            return slope, *jax.tree.map(jnp.negative, (by_z, by_args))

        def back(residuals: Any, grad: PyTree) -> tuple[Any, ...]:
            params, t, at, zs = residuals
            # λ is linear in the loss, whose scale must not matter to the tolerance.
            scale = optx.max_norm(grad)
            scale = jnp.where(scale > 0, scale, 1)
            adjoint = jax.tree.map(lambda g: g / scale, grad)

            def piece(carry: Any, given: Any) -> tuple[Any, None]:
                adjoint, by_args = carry
                start, stop, z = given
                y = solve(
                    adjoint_field,
                    stop,
                    start,
                    (z, adjoint, by_args),
                    (params, t),
                    saveat=diffrax.SaveAt(t1=True),
                    # An error of dL/dθ acts on nothing else.
                    stepsize_controller=self._controller(
                        lambda y: optx.max_norm(y[:2])
                    ),
                )
                _, adjoint, by_args = jax.tree.map(lambda x: x[0], y)
                return (adjoint, by_args), None

            zeros = jax.tree.map(jnp.zeros_like, (params, t))
            given = (at[:-1], at[1:], jax.tree.map(lambda x: x[1:], zs))
            carry, _ = lax.scan(piece, (adjoint, zeros), given, reverse=True)
            by_z, (by_params, by_t) = jax.tree.map(lambda g: g * scale, carry)
            return by_params, by_t, by_z, jnp.zeros_like(at[0])

        end.defvjp(backward, back)
        return end(params, t, z, route)

    def _controller(self, norm: Any) -> diffrax.AbstractStepSizeController:
        if self.settings.stepsize_controller is not None:
            return self.settings.stepsize_controller
        return diffrax.PIDController(rtol=self.rtol, atol=self.atol, norm=norm)
