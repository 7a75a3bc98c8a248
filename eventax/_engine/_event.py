"""One event: what happens at the end of a segment, and the state after it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._flows import AbstractFlow, rounding

# What ends a segment. The order counts: known events come last, spikes before them.
IDLE = 0  # nothing: the simulation is over
PAUSE = 1  # the flow's own limit
CROSSING = 2  # a neuron rises through threshold
TOGETHER = 3  # it crossed at this same instant, but another one was first
JUMPED = 4  # it was put above threshold by a jump
ARRIVAL = 5  # an input spike arrives
OBSERVATION = 6  # the state is to be observed


class Event(NamedTuple):
    """The discrete outcome of a segment; a constant for differentiation."""

    kind: Int[Array, ""]
    time: Float[Array, ""]
    step: Float[Array, ""]  # what the flow advances by
    shift: Float[Array, ""]
    sender: Int[Array, ""]  # who fired or sent; 0 where nobody did

    @property
    def stays(self) -> Bool[Array, ""]:
        """Whether time does not move at all."""
        return (self.kind == IDLE) | (self.kind == TOGETHER) | (self.kind == JUMPED)

    @property
    def is_spike(self) -> Bool[Array, ""]:
        return (self.kind >= CROSSING) & (self.kind <= JUMPED)

    @property
    def is_known(self) -> Bool[Array, ""]:
        return self.kind >= ARRIVAL

    @property
    def delivers(self) -> Bool[Array, ""]:
        return (self.kind >= CROSSING) & (self.kind <= ARRIVAL)


class Landed(NamedTuple):
    """The state around an event."""

    time: Float[Array, ""]  # of the event, differentiable
    after: PyTree  # state with the event applied
    crossing: Bool[Array, " neurons"]  # at threshold, rising, just before the event
    floor: Float[Array, " neurons"]  # gap under which an event has taken one lower


def _newton(event: Event, who: Array, gap: Array, rate: Array) -> Float[Array, ""]:
    """-g/g' of the neuron that crosses, 0 in value."""
    own_rate = lax.stop_gradient(jnp.sum(jnp.where(who, rate, 0)))
    own_gap = jnp.sum(jnp.where(who, gap, 0))
    # A tangential crossing has no derivative; it counts as one that does not move.
    moves = (event.kind == CROSSING) | (event.kind == TOGETHER)
    moves = moves & (own_rate > jnp.finfo(own_rate.dtype).tiny ** 0.5)
    newton = jnp.where(moves, -own_gap / jnp.where(moves, own_rate, 1), 0)
    return _without_value(newton)


def _without_value(x: Float[Array, ""]) -> Float[Array, ""]:
    """0 with the derivative of x."""
    return x - lax.stop_gradient(x)


def land(
    flow: AbstractFlow,
    model: Any,
    rows: list[Array],
    reached: Bool[Array, " neurons"],
    t: Float[Array, ""],
    z: PyTree,
    known_time: Float[Array, ""],
    event: Event,
    arrived: PyTree | None = None,
) -> Landed:
    """Flow from (t, z) to the event and apply it.

    This is the one place where gradients arise. The end of a segment is where it was
    found, so its length depends on its start; at a crossing one Newton correction
    -g/g' is added, zero in value, whose derivative is that of the spike time by the
    implicit function theorem. The flow itself is differentiated at a fixed length:
    its derivative by the length is the slope at the end.

    `arrived` is the state at the end of the segment, where it is known already and
    only the value of the result is wanted.
    """
    n_neurons = reached.shape[0]
    end = jnp.where(event.is_known, known_time, event.time)
    end = jnp.where(event.stays, t, end)
    if arrived is None:
        z = flow.advance(model, t, z, event.step, event.shift)
    else:
        z = arrived
    slope = flow.slope(model, end, z)
    gap, rate = flow.gap_rate(model, end, z, slope)
    who = (jnp.arange(n_neurons) == event.sender) & event.is_spike
    if arrived is None:
        # The flow knows neither that its length depends on its start ...
        moved = _without_value(end - t)
        gap = gap + lax.stop_gradient(rate) * moved
        # ... nor that a spike time depends on the state.
        newton = _newton(event, who, gap, rate)
        moved, end = moved + newton, end + newton
        z = jax.tree.map(lambda x, dx: x + dx * moved, z, slope)

    # Within rounding of the event's time: crossing at the same instant.
    doubt = jnp.abs(rate) * rounding(end, t)
    crossing = (rate > 0) & (gap >= -doubt)

    fired = flow.fire(model, z, who)
    rows = [jnp.where(event.delivers, row, 0) for row in rows]
    after = flow.receive(model, fired, event.sender, rows, reached & event.delivers)
    return Landed(end, after, crossing, jnp.minimum(gap, 0) - 2 * doubt)
