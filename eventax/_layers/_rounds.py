"""Rounds of a layer's neurons through one window of their arrivals.

In a round lanes travel to where something happens to them, and land there; a window
takes so many rounds as its busiest neuron needs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._engine import IDLE
from .._flows import Clock
from .._stack import put
from ._arrivals import Arrivals, Window, rows_of, window_at
from ._lanes import Halt, Lanes, Layer, find, land, travel

Column = Float[Array, " neurons"]

# Of a stretch, at most.
ROUNDS = 8


class Sizes(NamedTuple):
    """Static numbers of a simulation."""

    window: int  # entries of a window
    room: int  # spikes that are kept
    spikes: int  # after which a neuron is done
    observations: int


class Task(NamedTuple):
    """What is simulated, but for its arrays."""

    layer: Layer
    static: Any  # the model without its arrays
    sizes: Sizes

    def model(self, params: PyTree) -> Any:
        return eqx.combine(params, self.static)


class Given(NamedTuple):
    """What a layer is a differentiable function of, and integer companions."""

    params: PyTree  # arrays of the model, sender leaves left out
    senders: list[Float[Array, "senders neurons"]]
    z0: PyTree
    arrivals: Arrivals

    def n_windows(self, task: Task) -> int:
        return (self.arrivals.senders.shape[0] - 1) // task.sizes.window


class Tally(NamedTuple):
    """How many spikes there have been."""

    number: Int[Array, ""]
    fired: Int[Array, " neurons"]  # how often each neuron fired
    limit: Float[Array, ""]  # spikes are complete up to this time


class Spikes(NamedTuple):
    """Spikes in the order in which they were found; the last slot is scrap."""

    times: Clock  # (slots,) inf where there is none
    neurons: Int[Array, " slots"]
    first: Int[Array, " neurons"]  # slot of each neuron's first spike


class Progress(NamedTuple):
    """How far a simulation is."""

    window: Int[Array, ""]  # its number
    lanes: Lanes
    tally: Tally
    spikes: PyTree  # those found; or None
    seen: PyTree  # states at the observation times, with a scrap entry; or None


class Round(NamedTuple):
    """What has to be remembered to go back through a round."""

    lanes: Lanes
    halt: Halt
    slot: Int[Array, " neurons"]  # of the spike


def begin(task: Task, given: Given) -> Progress:
    """At t0."""
    sizes = task.sizes
    n = given.senders[0].shape[1]
    first = given.arrivals.times.at(0)
    now = jax.tree.map(lambda x: jnp.broadcast_to(x, (n,)), first)
    marks = at_start(task, given, given.z0)
    zero, dtype = jnp.zeros((n,), jnp.int32), first.time.dtype
    never = jnp.full((sizes.room + 1,), jnp.inf, dtype)
    start = Progress(
        jnp.zeros((), jnp.int32),
        Lanes(now, given.z0, zero - 1, marks),
        Tally(jnp.zeros((), jnp.int32), zero, jnp.full((), jnp.inf, dtype)),
        Spikes(
            times=Clock(never, jnp.zeros_like(never)),
            neurons=jnp.full((sizes.room + 1,), -1, jnp.int32),
            first=zero + sizes.room,
        ),
        jax.tree.map(
            lambda x: jnp.zeros((sizes.observations + 1, *x.shape), x.dtype), given.z0
        ),
    )
    return start


def at_start(task: Task, given: Given, z0: PyTree) -> list[Column]:
    """What readouts tell at t0; nothing if it counts later only."""
    flow, gauges = task.layer
    points = [gauge.point(flow, task.model(given.params), z0) for gauge in gauges]
    if given.arrivals.counts is None:
        return points
    pairs = zip(gauges, points, strict=True)
    return [jnp.full_like(point, gauge.nothing) for gauge, point in pairs]


def unfinished(task: Task, given: Given, progress: Progress) -> Bool[Array, ""]:
    """Whether there is a window left, and a neuron that is not done."""
    left = progress.window * task.sizes.window < given.arrivals.length
    return left & ~jnp.all(progress.tally.fired >= task.sizes.spikes)


def load(task: Task, given: Given, number: Any) -> tuple[Window, list[Array]]:
    """The window of that number, and what its entries bring to each neuron."""
    window = window_at(given.arrivals, number, task.sizes.window)
    return window, rows_of(given.senders, window.senders[:-1])


def a_round(lanes: Lanes) -> Round:
    """One in which nothing happens."""
    return Round(lanes, _nowhere(lanes), lanes.entry)


def run_stretch(
    task: Task,
    given: Given,
    progress: Progress,
    rounds: PyTree = None,
    first: Any = 0,
) -> tuple[Progress, Any, Int[Array, ""]]:
    """Rounds in one window, until it is done or there have been `ROUNDS`.

    They are put on the stack of `rounds`, if it is given, from its entry `first` on.
    Returns where they lead, the stack, and their number.
    """
    layer, (size, room, most, _) = task.layer, task.sizes
    model = task.model(given.params)
    window, rows = load(task, given, progress.window)

    def body(carry: Any) -> Any:
        lanes, tally, spikes, seen, rounds, k, _ = carry
        live = (lanes.now.time <= tally.limit) & (tally.fired < most)
        there, passed = travel(layer, model, window, rows, lanes, live)
        some = eqxi.unvmap_any(there.entry < size)

        def happens(there: Lanes, tally: Tally, spikes: PyTree) -> Any:
            halt = find(layer, model, window, there, live)
            new = land(layer, model, window, there, halt)
            slot, new_tally = _counted(tally, room, new.now.time, halt.fires)
            if spikes is not None:
                spikes = _write(spikes, slot, new.now, halt.fires & (tally.fired == 0))
            return new, halt, slot, new_tally, spikes

        def nothing(there: Lanes, tally: Tally, spikes: PyTree) -> Any:
            halt = _nowhere(there)
            return there, halt, jnp.full_like(halt.kind, room), tally, spikes

        new, halt, slot, tally, spikes = lax.cond(
            some, happens, nothing, there, tally, spikes
        )
        if seen is not None and window.seen is not None:
            seen = _see(seen, window.seen, passed)
        if rounds is not None:
            rounds = put(rounds, first + k, Round(lanes, halt, slot))
        # Who is done stays past the window: nobody asks where it goes.
        entry = jnp.where(tally.fired < most, new.entry, size)
        busy = eqxi.unvmap_any(entry < size)
        return new._replace(entry=entry), tally, spikes, seen, rounds, k + 1, busy

    def cond(carry: Any) -> Any:
        return carry[-1] & (carry[-2] < ROUNDS)

    number, lanes, tally, spikes, seen = progress
    k, busy = jnp.zeros((), jnp.int32), jnp.asarray(True)
    carry = (lanes, tally, spikes, seen, rounds, k, busy)
    carry = lax.while_loop(cond, body, carry)
    lanes, tally, spikes, seen, rounds, k, busy = carry
    # On to the next window if nobody is left in this one.
    stays = busy | (tally.fired >= most)
    lanes = lanes._replace(entry=jnp.where(stays, lanes.entry, -1))
    number = number + jnp.where(busy, 0, 1)
    return Progress(number, lanes, tally, spikes, seen), rounds, k


def _nowhere(lanes: Lanes) -> Halt:
    return Halt(lanes.entry, jnp.full_like(lanes.entry, IDLE), 0 * lanes.now.time)


def _counted(
    tally: Tally, room: int, t: Column, fires: Bool[Array, " neurons"]
) -> tuple[Int[Array, " neurons"], Tally]:
    """Slots of new spikes, in order of their neurons, and the tally with them.

    The scrap slot is for those that find no room, and for who does not fire.
    """
    until = tally.number + jnp.cumsum(fires, dtype=jnp.int32)
    slot = jnp.where(fires, jnp.minimum(until - 1, room), room)
    lost = fires & (slot == room)
    return slot, Tally(
        number=jnp.minimum(until[-1], room),
        fired=tally.fired + fires,
        limit=jnp.minimum(tally.limit, jnp.min(jnp.where(lost, t, jnp.inf))),
    )


def _write(
    spikes: Spikes,
    slot: Int[Array, " neurons"],
    now: Clock,
    first: Bool[Array, " neurons"],
) -> Spikes:
    """With spikes in these slots, some of which are their neurons' first."""
    neurons = jnp.arange(slot.shape[0], dtype=jnp.int32)
    # The scrap slot is written by many; nobody reads it.
    return Spikes(
        times=jax.tree.map(lambda x, new: x.at[slot].set(new), spikes.times, now),
        neurons=spikes.neurons.at[slot].set(neurons),
        first=jnp.where(first, slot, spikes.first),
    )


def _see(seen: PyTree, which: Int[Array, "entries ..."], passed: PyTree) -> PyTree:
    """Add states that were passed to the observations that they are."""

    def add(seen: Array, passed: Array) -> Array:
        there = jnp.where(which >= 0, which, seen.shape[0] - 1)
        if which.ndim == 1:
            return seen.at[there].add(passed)
        return seen.at[there, jnp.arange(passed.shape[1])].add(passed)

    return jax.tree.map(add, seen, passed)
