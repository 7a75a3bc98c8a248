"""Flow of a population in which some neurons pause."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree

from ._base import AbstractFlow, Gaps, Limits, Scalar, Segment, Time, weighted_time


class Motion(NamedTuple):
    """A flow and its model, asked like a model."""

    flow: AbstractFlow
    model: Any

    def _slope(self, t: Time, z: PyTree) -> PyTree:
        return self.flow.slope(self.model, t, z)

    def _gap(self, t: Time, z: PyTree) -> Gaps:
        return self.flow.gap(self.model, t, z)

    def _fire(self, z: PyTree, fired: Any) -> PyTree:
        return self.flow.fire(self.model, z, fired)

    def receive(self, z: PyTree, sender: Any, rows: Any, reached: Any) -> PyTree:
        return self.flow.receive(self.model, z, sender, rows, reached)

    def _alarm(self, z: PyTree) -> Gaps | None:
        return self.flow.alarm(self.model, z)

    def _ring(self, z: PyTree, rings: Any) -> PyTree:
        return self.flow.ring(self.model, z, rings)


class Pauses(AbstractFlow):
    """The flow of the model inside a wrapper, for those who do not pause.

    Right as long as channels that are not held do not depend on those that are.
    """

    flow: AbstractFlow

    def _motion(self, model: Any) -> Motion:
        return Motion(self.flow, model.neuron)

    def enter(self, model: Any, y: PyTree) -> PyTree:
        return y._replace(inner=self.flow.enter(model.neuron, y.inner))

    def leave(self, model: Any, z: PyTree) -> PyTree:
        return z._replace(inner=self.flow.leave(model.neuron, z.inner))

    def likely_steps(self, span: float) -> int:
        return self.flow.likely_steps(span)

    def remember(self, model: Any, t: Scalar, z: PyTree) -> PyTree:
        return self.flow.remember(model.neuron, t, z.inner)

    def slope(self, model: Any, t: Time, z: PyTree) -> PyTree:
        return model._slope(t, z, self._motion(model))

    def gap(self, model: Any, t: Time, z: PyTree) -> Gaps:
        return model._gap(t, z, self._motion(model))

    def fire(self, model: Any, z: PyTree, fired: Bool[Array, " neurons"]) -> PyTree:
        return model._fire(z, fired, self._motion(model))

    def receive(
        self, model: Any, z: PyTree, sender: Any, rows: list[Any], reached: Any
    ) -> PyTree:
        return model.receive(z, sender, rows, reached, self._motion(model))

    def alarm(self, model: Any, z: PyTree) -> Gaps | None:
        return model._alarm(z, self._motion(model))

    def ring(self, model: Any, z: PyTree, rings: Bool[Array, " neurons"]) -> PyTree:
        return model._ring(z, rings, self._motion(model))

    @property
    def closed(self) -> bool:
        return self.flow.closed

    def waits(self, model: Any, z: PyTree, horizon: Gaps) -> Gaps:
        waits = self.flow.waits(model.neuron, z.inner, horizon)
        return jnp.where(z.off > 0, jnp.inf, waits)

    def decay(self, model: Any, step: Any) -> PyTree:
        return self.flow.decay(model.neuron, step), step

    def decayed(self, model: Any, z: PyTree, decay: PyTree) -> PyTree:
        own, step = decay
        inner = self.flow.decayed(model.neuron, z.inner, own)
        return self._later(model, z, inner, step)

    def potential(self, model: Any, z: PyTree) -> Gaps:
        return self.flow.potential(model.neuron, z.inner)

    def turn(self, model: Any, z: PyTree) -> Gaps:
        turn = self.flow.turn(model.neuron, z.inner)
        return jnp.where(self._stands(model, z), jnp.inf, turn)

    def area(self, model: Any, z: PyTree, end: PyTree, step: Any, rate: float) -> Gaps:
        area = self.flow.area(model.neuron, z.inner, end.inner, step, rate)
        still = self.potential(model, z) * weighted_time(rate, step)
        return jnp.where(self._stands(model, z), still, area)

    def _stands(self, model: Any, z: PyTree) -> Any:
        """Who is held at its potential, the first channel."""
        held = model._held()
        return (z.off > 0) & bool(held if held.ndim == 0 else held[0])

    def find(
        self,
        model: Any,
        t: Scalar,
        z: PyTree,
        memory: PyTree,
        limits: Limits,
        alive: Bool[Array, " neurons"],
    ) -> Segment:
        awake = alive & ~(z.off > 0)
        segment = self.flow.find(model.neuron, t, z.inner, memory, limits, awake)
        length = self.flow.length(segment.route)
        return segment._replace(end=self._later(model, z, segment.end, length))

    def advance(self, model: Any, t: Time, z: PyTree, route: PyTree) -> PyTree:
        inner = self.flow.advance(model.neuron, t, z.inner, route)
        return self._later(model, z, inner, self.flow.length(route))

    def _later(self, model: Any, z: PyTree, inner: PyTree, length: Time) -> PyTree:
        rest = None if z.rest is None else z.rest - z.off * length
        return z._replace(inner=model._hold(z, inner), rest=rest)

    def route(self, length: Scalar) -> PyTree:
        return self.flow.route(length)

    def length(self, route: PyTree) -> Time:
        return self.flow.length(route)


class Parallel(AbstractFlow):
    """Flows of several populations side by side, which go on to the first crossing."""

    flows: tuple[AbstractFlow, ...]

    def _motions(self, model: Any) -> list[Motion]:
        pairs = zip(self.flows, model.submodels, strict=True)
        return [Motion(flow, part) for flow, part in pairs]

    def enter(self, model: Any, y: PyTree) -> PyTree:
        pairs = zip(self._motions(model), y, strict=True)
        return tuple(m.flow.enter(m.model, part) for m, part in pairs)

    def leave(self, model: Any, z: PyTree) -> PyTree:
        pairs = zip(self._motions(model), z, strict=True)
        return tuple(m.flow.leave(m.model, part) for m, part in pairs)

    def likely_steps(self, span: float) -> int:
        return sum(flow.likely_steps(span) for flow in self.flows)

    def remember(self, model: Any, t: Scalar, z: PyTree) -> PyTree:
        pairs = zip(self._motions(model), z, strict=True)
        return tuple(m.flow.remember(m.model, t, part) for m, part in pairs)

    def slope(self, model: Any, t: Scalar, z: PyTree) -> PyTree:
        return model._slope(t, z, self._motions(model))

    def gap(self, model: Any, t: Scalar, z: PyTree) -> Gaps:
        return model._gap(t, z, self._motions(model))

    def fire(self, model: Any, z: PyTree, fired: Bool[Array, " neurons"]) -> PyTree:
        return model._fire(z, fired, self._motions(model))

    def receive(
        self, model: Any, z: PyTree, sender: Any, rows: list[Any], reached: Any
    ) -> PyTree:
        return model.receive(z, sender, rows, reached, self._motions(model))

    def alarm(self, model: Any, z: PyTree) -> Gaps | None:
        return model._alarm(z, self._motions(model))

    def ring(self, model: Any, z: PyTree, rings: Bool[Array, " neurons"]) -> PyTree:
        return model._ring(z, rings, self._motions(model))

    def find(
        self,
        model: Any,
        t: Scalar,
        z: PyTree,
        memory: PyTree,
        limits: Limits,
        alive: Bool[Array, " neurons"],
    ) -> Segment:
        # Each one need not look further than the one before it.
        parts: list[Segment] = []
        length = limits.room
        for m, part, notes, mine in zip(
            self._motions(model), z, memory, model._split(alive), strict=True
        ):
            new = m.flow.find(m.model, t, part, notes, limits, mine)
            # Also if it cannot go on.
            ends = jnp.any(new.crossed) | ~(new.length >= limits.room)
            length = jnp.where(ends, new.length, length)
            room = jnp.minimum(limits.room, length)
            reach = jnp.where(ends, new.length, limits.reach)
            limits = limits._replace(room=room, reach=reach)
            parts.append(new)
        routes, ends, crossed, jumped = [], [], [], []
        for m, part, segment in zip(self._motions(model), z, parts, strict=True):
            there = segment.length == length
            route = m.flow.route(length)
            end = m.flow.advance(m.model, t, part, route)
            pick = lambda a, b, there=there: jnp.where(there, b, a)  # noqa: E731
            routes.append(jax.tree.map(pick, route, segment.route))
            ends.append(jax.tree.map(pick, end, segment.end))
            crossed.append(segment.crossed & there)
            jumped.append(segment.jumped & there)
        return Segment(
            length=length,
            route=tuple(routes),
            end=tuple(ends),
            crossed=model._join(crossed),
            jumped=jnp.any(jnp.stack(jumped)),
            memory=tuple(part.memory for part in parts),
        )

    def advance(self, model: Any, t: Scalar, z: PyTree, route: PyTree) -> PyTree:
        triples = zip(self._motions(model), z, route, strict=True)
        return tuple(m.flow.advance(m.model, t, part, way) for m, part, way in triples)

    def route(self, length: Scalar) -> PyTree:
        return tuple(flow.route(length) for flow in self.flows)

    def length(self, route: PyTree) -> Scalar:
        return self.flows[0].length(route[0])
