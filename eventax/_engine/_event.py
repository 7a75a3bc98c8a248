"""One event: what happens at the end of a segment, and the state after it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._flows import AbstractFlow
from ._readout import NO_READOUT, Counted, Numbers, Readout

# What ends a segment. The order counts: at one time the lower kind comes first.
IDLE = 0  # nothing: the simulation is over
PAUSE = 1  # the flow's own limit
CROSSING = 2  # a neuron rises through threshold
TOGETHER = 3  # it crossed at this same instant, but another one was first
JUMPED = 4  # it was put above threshold by a jump
ALARM = 5  # a neuron changes by itself
DELIVERY = 6  # a neuron's delayed spike arrives
ARRIVAL = 7  # an input spike arrives
OBSERVATION = 8  # the state is to be observed


class Event(NamedTuple):
    """The discrete outcome of a segment; a constant for differentiation."""

    kind: Int[Array, ""]
    time: Float[Array, ""]  # the nearest number, see `Clock`
    route: PyTree  # what the flow advances by
    sender: Int[Array, ""]  # who fired, sent or changes; 0 where nobody does
    delay: Float[Array, ""] | None  # who is reached now has this delay
    origin: Int[Array, ""] | None  # number of the spike that a delivery is about

    @property
    def stays(self) -> Bool[Array, ""]:
        """Whether time does not move at all."""
        return (self.kind == IDLE) | (self.kind == TOGETHER) | (self.kind == JUMPED)

    @property
    def is_spike(self) -> Bool[Array, ""]:
        return (self.kind >= CROSSING) & (self.kind <= JUMPED)

    @property
    def is_known(self) -> Bool[Array, ""]:
        return (self.kind == ARRIVAL) | (self.kind == OBSERVATION)

    @property
    def delivers(self) -> Bool[Array, ""]:
        return self.is_spike | (self.kind == DELIVERY) | (self.kind == ARRIVAL)


class Landed(NamedTuple):
    """The state around an event."""

    time: Float[Array, ""]  # of the event, differentiable
    after: PyTree  # state with the event applied
    late: Float[Array, " neurons"] | None  # 0, with the derivative of who is late
    gap: Float[Array, " neurons"]  # just before the event
    rate: Float[Array, " neurons"]  # of the gap, there
    numbers: Numbers  # of the readout


def newton_step(crosses: Any, gap: Array, rate: Array) -> Array:
    """-g/g' of who crosses, 0 in value: its derivative is that of the spike time.

    By the implicit function theorem. A tangential crossing has no derivative; it counts
    as one that does not move.
    """
    rate = lax.stop_gradient(rate)
    moves = crosses & (rate > jnp.finfo(rate.dtype).tiny ** 0.5)
    return without_value(jnp.where(moves, -gap / jnp.where(moves, rate, 1), 0))


def without_value(x: Array) -> Array:
    """0 with the derivative of x."""
    return x - lax.stop_gradient(x)


def _own(values: Array, who: Array) -> Float[Array, ""]:
    """The value of the one neuron in `who`, 0 if there is none."""
    return jnp.sum(jnp.where(who, values, 0))


def _move(z: PyTree, slope: PyTree, length: PyTree) -> PyTree:
    """z + length * slope, for one length or one per entry."""
    return jax.tree.map(lambda x, dx, h: x + dx * h, z, slope, length)


def land(
    flow: AbstractFlow,
    model: Any,
    rows: list[Array],
    delays: Float[Array, " neurons"] | None,
    late: Float[Array, " neurons"] | None,
    reached: Bool[Array, " neurons"],
    alive: Bool[Array, " neurons"],
    t: Float[Array, ""],
    z: PyTree,
    source: Float[Array, ""],
    event: Event,
    readout: Readout = NO_READOUT,
    numbers: Numbers | None = None,
    arrived: PyTree | None = None,
    counts: Counted | None = None,
) -> Landed:
    """Flow from (t, z) to the event and apply it.

    This is the one place where gradients arise. The end of a segment is where it was
    found, so its length depends on its start; at a crossing one Newton correction
    -g/g' is added, zero in value, whose derivative is that of the spike time by the
    implicit function theorem. The flow itself is differentiated at a fixed length:
    its derivative by the length is the slope at the end.

    `source` is what the time of a known event or a delivery depends on, `rows` and
    `delays` are the sender's. Neurons that a jump or the end of a pause puts above
    threshold at one time fire one after the other at that time, which moves for each
    of them with its own delay or pause: `late` is by how much, since the event before.
    Of `source`, `delays` and `late` only the derivative counts.
    `numbers` are those of the `readout` so far.
    `arrived` is the state at the end of the segment, where it is known already and
    only the value of the result is wanted. `counts` is what a readout over a window
    takes of it.
    """
    numbers = [] if numbers is None else numbers
    own = jnp.arange(reached.shape[0]) == event.sender
    who, rings = own & event.is_spike, own & (event.kind == ALARM)
    alarms = flow.alarm(model, z)
    end, moved, began = event.time, jnp.zeros_like(t), z
    if arrived is not None:
        z = arrived
    else:
        if alarms is not None:
            source = source + _own(t + alarms, rings)
        now = t if late is None else t + _own(late, who)
        end = end + without_value(jnp.where(event.stays, now, source))
        z = flow.advance(model, t, z, event.route)
    slope = flow.slope(model, end, z)
    if arrived is None:
        # The flow knows neither that its length depends on its start ...
        moved = without_value(end - t)
        z = jax.tree.map(lambda x, dx: x + dx * moved, z, slope)
    gap, rate = flow.gap_rate(model, end, z, slope)
    if arrived is None:
        # ... nor that a spike time depends on the state.
        crosses = (event.kind == CROSSING) | (event.kind == TOGETHER)
        newton = newton_step(crosses, _own(gap, who), _own(rate, who))
        moved, end = moved + newton, end + newton
        z = jax.tree.map(lambda x, dx: x + dx * newton, z, slope)

    step = flow.length(event.route) + moved
    numbers = readout.along(model, numbers, t, began, z, step, counts)

    # Neurons of the padding start afresh too, lest they run away.
    after = flow.fire(model, z, who | (~alive & (gap >= 0)))
    if alarms is not None:
        after = flow.ring(model, after, rings)
    reached = reached & event.delivers
    if late is not None:
        # Who is above threshold by now will fire at a time of its own.
        waits = flow.gap(model, end, after) >= 0
        no_way = flow.length(event.route) <= 0
        still = event.stays | ((event.kind == ALARM) & no_way)
        late = jnp.where(still & waits & ~rings, late - moved, 0)
        if delays is not None:
            late = jnp.where(reached & ~waits, without_value(delays), late)
    if delays is None:
        after = flow.receive(model, after, event.sender, rows, reached)
        numbers = readout.over(model, numbers, after, counts)
    else:
        own_delay = jnp.where(reached, without_value(delays), 0)
        # Go on until the arrival, let it happen, and come back to the common time.
        length = model._spread(own_delay, after)
        here, before = after, flow.slope(model, end, after)
        there = _move(here, before, length)
        jumped = flow.receive(model, there, event.sender, rows, reached)
        later = flow.slope(model, end, jumped)
        change = jax.tree.map(jnp.subtract, before, later)
        # In differences, so that an arrival that changes nothing has no derivative.
        jump = jax.tree.map(jnp.subtract, jumped, there)
        after = _move(jax.tree.map(jnp.add, here, jump), change, length)
        states = (here, after), (there, _move(after, later, length))
        numbers = readout.over_late(model, numbers, end, *states, own_delay, counts)
    return Landed(end, after, late, gap, rate, numbers)
