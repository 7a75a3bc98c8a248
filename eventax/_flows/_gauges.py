"""What a readout keeps track of on the way: its highest potential, its integral."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ._base import AbstractFlow

Column = Float[Array, " neurons"]


class Gauge(eqx.Module):
    """A number per neuron, made up of one for every piece of its way."""

    @property
    @abc.abstractmethod
    def nothing(self) -> float:
        """The number of no piece."""

    @abc.abstractmethod
    def point(self, flow: AbstractFlow, model: Any, z: PyTree) -> Column:
        """The number of a state, such as that at t0, or after a jump."""

    @abc.abstractmethod
    def piece(
        self, flow: AbstractFlow, model: Any, t: Any, z: PyTree, end: PyTree, step: Any
    ) -> Column:
        """The number of the way from z at t to `end`, which takes `step`, but for z."""

    def jump(
        self,
        flow: AbstractFlow,
        model: Any,
        t: Any,
        common: tuple[PyTree, PyTree],
        own: tuple[PyTree, PyTree],
        late: Column,
    ) -> Column:
        """The number of a jump at t, to which each neuron comes at a time of its own.

        That is later by `late`, 0 in value. `own` are the states just before and after
        it, `common` the same, extrapolated to the common time.
        """
        before, after = (self.point(flow, model, z) for z in own)
        return self.add(before, after)

    @abc.abstractmethod
    def add(self, number: Column, more: Column) -> Column:
        """The number of what has been, and of one piece more."""

    @abc.abstractmethod
    def total(self, numbers: Float[Array, "pieces neurons"]) -> Column:
        """The number of all pieces."""


class Highest(Gauge):
    """The highest potential.

    Its derivative is that of the potential at the time of the maximum, which may be
    taken as a constant: either the potential does not change there, or it is an event.
    """

    @property
    def nothing(self) -> float:
        return -np.inf

    def point(self, flow: AbstractFlow, model: Any, z: PyTree) -> Column:
        return flow.potential(model, z)

    def piece(
        self, flow: AbstractFlow, model: Any, t: Any, z: PyTree, end: PyTree, step: Any
    ) -> Column:
        turn = lax.stop_gradient(flow.turn(model, z))
        inside = turn < step
        there = flow.advance(model, t, z, jnp.where(inside, turn, 0))
        peak = jnp.where(inside, flow.potential(model, there), -jnp.inf)
        return jnp.maximum(peak, flow.potential(model, end))

    def add(self, number: Column, more: Column) -> Column:
        # The later one of two equals: after a jump that changes nothing but the slope,
        # it knows when that jump comes to each neuron.
        return jnp.where(more >= number, more, number)

    def total(self, numbers: Float[Array, "pieces neurons"]) -> Column:
        return jnp.max(numbers, axis=0)


class Integral(Gauge):
    """The integral of the potential, weighted by exp(-rate t)."""

    rate: float = eqx.field(static=True)

    @property
    def nothing(self) -> float:
        return 0.0

    def point(self, flow: AbstractFlow, model: Any, z: PyTree) -> Column:
        return jnp.zeros_like(flow.potential(model, z))

    def piece(
        self, flow: AbstractFlow, model: Any, t: Any, z: PyTree, end: PyTree, step: Any
    ) -> Column:
        area = flow.area(model, z, end, step, self.rate)
        return jnp.exp(-self.rate * t) * area

    def jump(
        self,
        flow: AbstractFlow,
        model: Any,
        t: Any,
        common: tuple[PyTree, PyTree],
        own: tuple[PyTree, PyTree],
        late: Column,
    ) -> Column:
        # Until then it is the potential before the jump that counts.
        before, after = (flow.potential(model, z) for z in common)
        return jnp.exp(-self.rate * t) * (before - after) * late

    def add(self, number: Column, more: Column) -> Column:
        return number + more

    def total(self, numbers: Float[Array, "pieces neurons"]) -> Column:
        return jnp.sum(numbers, axis=0)
