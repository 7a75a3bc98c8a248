"""One iteration of the engine: find the next event, land on it, apply it."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._flows import AbstractFlow
from . import _event as ev
from ._event import Event, Landed, land

# Why a simulation stopped.
OK = 0
TOO_MANY_EVENTS = 1
NOT_FINITE = 2
TOO_MANY_STEPS = 3


class Problem(NamedTuple):
    """What does not change during a simulation and is not differentiated."""

    flow: AbstractFlow
    static: Any  # the model without its arrays
    wmask: np.ndarray  # (N+M, N) bool, columns padded
    n_neurons: int  # without padding
    max_events: int
    n_observations: int
    awaited: np.ndarray | None  # (N,) bool; stop once all of these fired


class Inputs(NamedTuple):
    """What a simulation is a differentiable function of, and its integer companions."""

    params: PyTree  # arrays of the model, sender leaves left out
    senders: list[Float[Array, "senders neurons"]]
    z0: PyTree
    known_times: Float[Array, " known"]
    known_ids: Int[Array, " known"]
    t0: Float[Array, ""]
    t_end: Float[Array, ""]
    fault: Int[Array, ""]  # status from the start; OK for good input


class Core(NamedTuple):
    """Where a simulation stands."""

    t: Float[Array, ""]
    z: PyTree
    memory: PyTree  # of the flow
    together: Bool[Array, " neurons"]  # crossed at t, have yet to fire
    known: Int[Array, ""]  # next entry of the schedule
    events: Int[Array, ""]  # spikes and arrivals so far
    spikes: Int[Array, ""]  # spikes so far
    first: Int[
        Array, " neurons"
    ]  # number of a neuron's first spike, max_events if none
    running: Bool[Array, ""]
    status: Int[Array, ""]


class Entry(NamedTuple):
    """A segment as it has to be remembered to go back through it."""

    t: Float[Array, ""]
    z: PyTree
    event: Event
    known: Int[Array, ""]
    slot: Int[Array, ""]  # number of the spike, if it is one


def entry_like(core: Core) -> Entry:
    """An entry of the shapes and types that `iterate` gives."""
    event = Event(core.known, core.t, core.t, core.t, core.known)
    return Entry(core.t, core.z, event, core.known, core.spikes)


class Results(NamedTuple):
    """What a simulation produces; the last slot of each is scrap."""

    times: Float[Array, " spikes"]
    neurons: Int[Array, " spikes"]
    seen: PyTree  # z at the observation times


def start(problem: Problem, inputs: Inputs) -> tuple[Core, Results]:
    """The state of affairs at t0."""
    n_neurons = problem.wmask.shape[1]
    model = eqx.combine(inputs.params, problem.static)
    zero = jnp.zeros((), jnp.int32)
    core = Core(
        t=inputs.t0,
        z=inputs.z0,
        memory=problem.flow.remember(model, inputs.t0, inputs.z0),
        together=jnp.zeros((n_neurons,), bool),
        known=zero,
        events=zero,
        spikes=zero,
        first=jnp.full((n_neurons,), problem.max_events, jnp.int32),
        running=inputs.fault == OK,
        status=inputs.fault.astype(jnp.int32),
    )
    slots = problem.max_events + 1
    results = Results(
        times=jnp.full((slots,), jnp.inf, inputs.t0.dtype),
        neurons=jnp.full((slots,), -1, jnp.int32),
        seen=jax.tree.map(
            lambda x: jnp.zeros((problem.n_observations + 1, *x.shape), x.dtype),
            inputs.z0,
        ),
    )
    return core, results


def iterate(problem: Problem, inputs: Inputs, core: Core) -> tuple[Core, Entry, Landed]:
    """Go to the next event and through it."""
    flow, neurons = problem.flow, jnp.arange(problem.wmask.shape[1])
    model = eqx.combine(inputs.params, problem.static)
    known_time = inputs.known_times[core.known]
    known_id = inputs.known_ids[core.known]
    bound = jnp.minimum(known_time, inputs.t_end)
    alive = neurons < problem.n_neurons
    segment = flow.find(model, core.t, core.z, core.memory, bound, alive)

    waiting = jnp.any(core.together)
    crossed = jnp.where(waiting, core.together, segment.crossed)
    time = jnp.where(waiting, core.t, segment.time)
    is_spike = jnp.any(crossed)
    is_known = ~is_spike & (time >= known_time)
    is_event = is_spike | (is_known & (known_id >= 0))

    full = is_event & (core.events >= problem.max_events)
    over = ~is_spike & ~is_known & (time >= inputs.t_end)
    # A step too short to move time would be taken for ever.
    stuck = ~is_spike & ~is_known & ~over & (segment.step > 0) & (time <= core.t)
    broken = ~jnp.isfinite(time) | stuck
    stops = ~core.running | full | broken | over
    spike_kind = jnp.where(
        waiting, ev.TOGETHER, jnp.where(segment.jumped, ev.JUMPED, ev.CROSSING)
    )
    known_kind = jnp.where(known_id >= 0, ev.ARRIVAL, ev.OBSERVATION)
    kind = jnp.where(is_spike, spike_kind, jnp.where(is_known, known_kind, ev.PAUSE))
    sender = jnp.where(is_spike, jnp.argmax(crossed), jnp.maximum(known_id, 0))
    event = Event(
        kind=jnp.where(stops, ev.IDLE, kind).astype(jnp.int32),
        time=jnp.where(stops, core.t, time),
        step=jnp.where(stops | waiting, 0, segment.step),
        shift=jnp.where(stops | waiting, 0, segment.shift),
        sender=jnp.where(stops, 0, sender).astype(jnp.int32),
    )
    entry = Entry(core.t, core.z, event, core.known, core.spikes)
    arrived = jax.tree.map(
        lambda now, then: jnp.where(event.stays, now, then), core.z, segment.end
    )
    landed = land(
        flow,
        model,
        [leaf[event.sender] for leaf in inputs.senders],
        jnp.asarray(problem.wmask)[event.sender],
        core.t,
        core.z,
        known_time,
        event,
        arrived,
    )

    who = (neurons == event.sender) & event.is_spike
    # Who crosses with it fires next, unless this event's jump took it lower again.
    dropped = flow.gap(model, landed.time, landed.after) < landed.floor
    crosses = event.kind == ev.CROSSING
    together = jnp.where(waiting, core.together, landed.crossing & alive & crosses)
    first = jnp.where(who & (core.first == problem.max_events), core.spikes, core.first)
    running = ~stops
    if problem.awaited is not None:
        fired = (first < problem.max_events) | ~problem.awaited
        running = running & ~jnp.all(fired)
    counts = event.is_spike | (event.kind == ev.ARRIVAL)
    status = jnp.where(full, TOO_MANY_EVENTS, jnp.where(broken, NOT_FINITE, OK))
    new = Core(
        t=landed.time,
        z=landed.after,
        memory=segment.memory,
        together=together & event.is_spike & ~who & ~dropped,
        known=core.known + event.is_known,
        events=core.events + counts,
        spikes=core.spikes + event.is_spike,
        first=first,
        running=running,
        status=jnp.where(core.running, status, core.status).astype(jnp.int32),
    )
    return new, entry, landed


def store(
    problem: Problem, results: Results, entry: Entry, landed: Landed, ids: Array
) -> Results:
    """Write a spike or an observation to its slot."""
    event = entry.event
    slot = jnp.where(event.is_spike, entry.slot, problem.max_events)
    times = results.times.at[slot].set(landed.time)
    neurons = results.neurons.at[slot].set(event.sender)
    seen = results.seen
    if problem.n_observations:
        j = observation(problem, entry, ids)
        seen = jax.tree.map(lambda s, z: s.at[j].set(z), seen, landed.after)
    return Results(times, neurons, seen)


def observation(problem: Problem, entry: Entry, ids: Array) -> Int[Array, ""]:
    """The observation made at this event, the scrap slot if none."""
    made = entry.event.kind == ev.OBSERVATION
    return jnp.where(made, -1 - ids[entry.known], problem.n_observations)
