"""What a readout keeps track of on the way: its highest potential, its integral."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._flows import AbstractFlow

Column = Float[Array, " neurons"]


class Gauge(eqx.Module):
    """A number per neuron, made up of one for every piece of its way."""

    @property
    @abc.abstractmethod
    def nothing(self) -> float:
        """The number of no piece."""

    @abc.abstractmethod
    def start(self, flow: AbstractFlow, model: Any, z: PyTree) -> Column:
        """The number at t0."""

    @abc.abstractmethod
    def piece(
        self, flow: AbstractFlow, model: Any, t: Any, z: PyTree, end: PyTree, step: Any
    ) -> Column:
        """The number of the way from z at t to `end`, which takes `step`."""

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

    def start(self, flow: AbstractFlow, model: Any, z: PyTree) -> Column:
        return flow.potential(model, z)

    def piece(
        self, flow: AbstractFlow, model: Any, t: Any, z: PyTree, end: PyTree, step: Any
    ) -> Column:
        turn = lax.stop_gradient(flow.turn(model, z))
        inside = turn < step
        there = flow.advance(model, t, z, jnp.where(inside, turn, 0))
        peak = jnp.where(inside, flow.potential(model, there), -jnp.inf)
        now = jnp.maximum(flow.potential(model, z), flow.potential(model, end))
        return jnp.maximum(peak, now)

    def total(self, numbers: Float[Array, "pieces neurons"]) -> Column:
        return jnp.max(numbers, axis=0)


class Integral(Gauge):
    """The integral of the potential, weighted by exp(-rate t)."""

    rate: float = eqx.field(static=True)

    @property
    def nothing(self) -> float:
        return 0.0

    def start(self, flow: AbstractFlow, model: Any, z: PyTree) -> Column:
        return jnp.zeros_like(flow.potential(model, z))

    def piece(
        self, flow: AbstractFlow, model: Any, t: Any, z: PyTree, end: PyTree, step: Any
    ) -> Column:
        area = flow.area(model, z, end, step, self.rate)
        return jnp.exp(-self.rate * t) * area

    def total(self, numbers: Float[Array, "pieces neurons"]) -> Column:
        return jnp.sum(numbers, axis=0)
