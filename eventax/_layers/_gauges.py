"""What a readout keeps track of on the way: its highest potential, its integral."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._flows import AbstractFlow

Column = Float[Array, " neurons"]


class Gauge(eqx.Module):
    """A number per neuron that a piece of its way changes."""

    @abc.abstractmethod
    def start(self, flow: AbstractFlow, model: Any, z: PyTree) -> Column:
        """Its value at t0."""

    @abc.abstractmethod
    def after(
        self,
        flow: AbstractFlow,
        model: Any,
        value: Column,
        t: Any,
        z: PyTree,
        end: PyTree,
        step: Any,
    ) -> Column:
        """Its value after the way from z at t to `end`, which takes `step`."""


class Highest(Gauge):
    """The highest potential.

    Its derivative is that of the potential at the time of the maximum, which may be
    taken as a constant: either the potential does not change there, or it is an event.
    """

    def start(self, flow: AbstractFlow, model: Any, z: PyTree) -> Column:
        return flow.potential(model, z)

    def after(
        self,
        flow: AbstractFlow,
        model: Any,
        value: Column,
        t: Any,
        z: PyTree,
        end: PyTree,
        step: Any,
    ) -> Column:
        turn = lax.stop_gradient(flow.turn(model, z))
        inside = turn < step
        there = flow.advance(model, t, z, jnp.where(inside, turn, 0))
        peak = jnp.where(inside, flow.potential(model, there), -jnp.inf)
        now = jnp.maximum(flow.potential(model, z), flow.potential(model, end))
        return jnp.maximum(value, jnp.maximum(peak, now))


class Integral(Gauge):
    """The integral of the potential, weighted by exp(-rate t)."""

    rate: float = eqx.field(static=True)

    def start(self, flow: AbstractFlow, model: Any, z: PyTree) -> Column:
        return jnp.zeros_like(flow.potential(model, z))

    def after(
        self,
        flow: AbstractFlow,
        model: Any,
        value: Column,
        t: Any,
        z: PyTree,
        end: PyTree,
        step: Any,
    ) -> Column:
        area = flow.area(model, z, end, step, self.rate)
        return value + jnp.exp(-self.rate * t) * area
