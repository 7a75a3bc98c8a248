"""One iteration of the engine: find the next event, land on it, apply it."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._flows import AbstractFlow, Segment, rounding
from .._varying import varying
from . import _event as ev
from . import _queue as under_way
from ._event import Event, Landed, land
from ._queue import Pending, Queue
from ._status import NOT_FINITE, OK, TOO_MANY_EVENTS


class Problem(NamedTuple):
    """What does not change during a simulation and is not differentiated."""

    flow: AbstractFlow
    backward: AbstractFlow | None  # of gradients, if it goes from event to event
    static: Any  # the model without its arrays
    wmask: np.ndarray  # (N+M, N) bool, columns padded
    n_neurons: int  # without padding
    max_events: int
    capacity: int  # of the queue, as the user set it
    room: int  # of the queue, so that a few more can be counted
    n_observations: int
    awaited: np.ndarray | None  # (N,) bool; stop once all of these fired

    @property
    def alive(self) -> np.ndarray:
        """Neurons that are not padding."""
        return np.arange(self.wmask.shape[1]) < self.n_neurons


class Inputs(NamedTuple):
    """What a simulation is a differentiable function of, and its integer companions."""

    params: PyTree  # arrays of the model, sender leaves left out
    senders: list[Float[Array, "senders ..."]]
    delays: Float[Array, "senders neurons"] | None
    z0: PyTree
    known_times: Float[Array, " known"]
    known_ids: Int[Array, " known"]
    known_delays: Float[Array, " known"] | None
    t0: Float[Array, ""]
    t_end: Float[Array, ""]
    fault: Int[Array, ""]  # status from the start; OK for good input


class Core(NamedTuple):
    """Where a simulation stands."""

    t: Float[Array, ""]
    z: PyTree
    memory: PyTree  # of the flow
    together: Bool[Array, " neurons"]  # crossed at t, have yet to fire
    queue: Queue | None  # None without delays
    longest: Int[Array, ""] | None  # that the queue has been
    known: Int[Array, ""]  # next entry of the schedule
    events: Int[Array, ""]  # spikes and arrivals so far
    passed: Int[Array, ""]  # events of any kind so far
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


def entry_like(problem: Problem, core: Core) -> Entry:
    """An entry of the shapes and types that `iterate` gives."""
    delay, origin = (None, None) if core.queue is None else (core.t, core.known)
    flow = problem.backward or problem.flow
    event = Event(core.known, core.t, flow.route(core.t), core.known, delay, origin)
    return Entry(core.t, core.z, event, core.known, core.spikes)


class Results(NamedTuple):
    """What a simulation produces; the last slot of each is scrap."""

    times: Float[Array, " spikes"]
    neurons: Int[Array, " spikes"]
    pending: Int[Array, " spikes"] | None  # spikes under way after each spike
    seen: PyTree  # z at the observation times


def start(problem: Problem, inputs: Inputs) -> tuple[Core, Results]:
    """The state of affairs at t0."""
    n_neurons = problem.wmask.shape[1]
    model = eqx.combine(inputs.params, problem.static)
    zero = jnp.zeros((), jnp.int32)
    delayed = inputs.delays is not None
    core = Core(
        t=inputs.t0,
        z=inputs.z0,
        memory=problem.flow.remember(model, inputs.t0, inputs.z0),
        together=jnp.zeros((n_neurons,), bool),
        queue=under_way.empty(problem.room, inputs.t0.dtype) if delayed else None,
        longest=zero if delayed else None,
        known=zero,
        events=zero,
        passed=zero,
        spikes=zero,
        first=jnp.full((n_neurons,), problem.max_events, jnp.int32),
        running=inputs.fault == OK,
        status=inputs.fault.astype(jnp.int32),
    )
    slots = problem.max_events + 1
    results = Results(
        times=jnp.full((slots,), jnp.inf, inputs.t0.dtype),
        neurons=jnp.full((slots,), -1, jnp.int32),
        pending=jnp.full((slots,), -1, jnp.int32) if delayed else None,
        seen=jax.tree.map(
            lambda x: jnp.zeros((problem.n_observations + 1, *x.shape), x.dtype),
            inputs.z0,
        ),
    )
    return varying((core, results), inputs)


class Ahead(NamedTuple):
    """What may come next, apart from spikes."""

    known_time: Float[Array, ""]
    known_id: Int[Array, ""]
    alarms: Float[Array, " neurons"] | None
    arrival: under_way.Next | None

    @property
    def alarm_time(self) -> Any:
        return jnp.inf if self.alarms is None else jnp.min(self.alarms)

    @property
    def arrival_time(self) -> Any:
        return jnp.inf if self.arrival is None else self.arrival.spike.arrival


def look_ahead(problem: Problem, inputs: Inputs, model: Any, core: Core) -> Ahead:
    """Known events, alarms and deliveries after `core`."""
    alarms = problem.flow.alarm(model, core.t, core.z)
    if alarms is not None:
        alarms = jnp.where(problem.alive, jnp.maximum(alarms, core.t), jnp.inf)
    return Ahead(
        known_time=inputs.known_times[core.known],
        known_id=inputs.known_ids[core.known],
        alarms=alarms,
        arrival=None if core.queue is None else under_way.first(core.queue),
    )


class Decision(NamedTuple):
    """The next event, and what else the loop has to know of it."""

    event: Event
    full: Bool[Array, ""]
    broken: Bool[Array, ""]


def decide(
    problem: Problem, inputs: Inputs, core: Core, ahead: Ahead, segment: Segment
) -> Decision:
    """Which event ends the segment."""
    waiting = jnp.any(core.together)
    crossed = jnp.where(waiting, core.together, segment.crossed)
    time = jnp.where(waiting, core.t, segment.time)
    is_spike = jnp.any(crossed)
    who = jnp.argmax(crossed)
    is_alarm = jnp.zeros((), bool)
    if ahead.alarms is not None:
        # Whoever wakes at this time does so before anything but a crossing. What is
        # left of a pause is a difference of times, and their roundings add up.
        crosses = is_spike & (waiting | ~segment.jumped)
        doubt = 8 * rounding(time, jnp.asarray(inputs.t0))
        doubt = jnp.where(crosses, 0, doubt)
        is_alarm = (ahead.alarm_time <= time + doubt) & ~crosses
        is_spike = is_spike & ~is_alarm
        time = jnp.where(is_alarm, jnp.minimum(ahead.alarm_time, time), time)
        who = jnp.where(is_alarm, jnp.argmin(ahead.alarms), who)
    nothing = ~is_spike & ~is_alarm
    is_delivery = nothing & (time >= ahead.arrival_time)
    nothing = nothing & ~is_delivery
    is_known = nothing & (time >= ahead.known_time)
    counts = is_spike | is_delivery | (is_known & (ahead.known_id >= 0))

    full = counts & (core.events >= problem.max_events)
    over = nothing & ~is_known & (time >= inputs.t_end)
    broken = ~jnp.isfinite(time)
    stops = ~core.running | full | broken | over
    spike_kind = jnp.where(
        waiting, ev.TOGETHER, jnp.where(segment.jumped, ev.JUMPED, ev.CROSSING)
    )
    known_kind = jnp.where(ahead.known_id >= 0, ev.ARRIVAL, ev.OBSERVATION)
    kind = jnp.where(is_known, known_kind, ev.PAUSE)
    kind = jnp.where(is_delivery, ev.DELIVERY, kind)
    kind = jnp.where(is_alarm, ev.ALARM, kind)
    kind = jnp.where(is_spike, spike_kind, kind)
    sender = jnp.where(is_spike | is_alarm, who, jnp.maximum(ahead.known_id, 0))
    delay = origin = None
    if ahead.arrival is not None:
        spike = ahead.arrival.spike
        sender = jnp.where(is_delivery, spike.sender, sender)
        assert inputs.known_delays is not None
        delay = jnp.where(is_known, inputs.known_delays[core.known], 0)
        delay = jnp.where(is_delivery, spike.delay, delay)
        origin = jnp.where(is_delivery, spike.slot, problem.max_events)
    event = Event(
        kind=jnp.where(stops, ev.IDLE, kind).astype(jnp.int32),
        time=jnp.where(stops, core.t, time),
        route=jax.tree.map(lambda x: jnp.where(stops | waiting, 0, x), segment.route),
        sender=jnp.where(stops, 0, sender).astype(jnp.int32),
        delay=delay,
        origin=origin,
    )
    return Decision(event, full, broken)


def iterate(
    problem: Problem, inputs: Inputs, core: Core, until: Array | None = None
) -> tuple[Core, Entry, Landed]:
    """Go to the next event and through it, or to the time `until` if that is sooner."""
    flow, alive = problem.flow, jnp.asarray(problem.alive)
    model = eqx.combine(inputs.params, problem.static)
    ahead = look_ahead(problem, inputs, model, core)
    bound = jnp.minimum(ahead.known_time, inputs.t_end)
    bound = jnp.minimum(bound, jnp.minimum(ahead.alarm_time, ahead.arrival_time))
    if until is not None:
        bound = jnp.minimum(bound, until)
    segment = flow.find(model, core.t, core.z, core.memory, bound, alive)
    event, full, broken = decide(problem, inputs, core, ahead, segment)
    entry = Entry(core.t, core.z, event, core.known, core.spikes)

    reached = receivers(problem, inputs, event)
    still = event.stays | (event.time <= core.t)
    arrived = jax.tree.map(
        lambda now, then: jnp.where(still, now, then), core.z, segment.end
    )
    landed = land(
        flow,
        model,
        [leaf[event.sender] for leaf in inputs.senders],
        None,
        None,
        reached,
        alive,
        core.t,
        core.z,
        event.time,
        event,
        arrived,
    )

    neurons = jnp.arange(problem.wmask.shape[1])
    who = (neurons == event.sender) & event.is_spike
    # Who crosses with it fires next, unless this event's jump took it lower again.
    dropped = flow.gap(model, landed.time, landed.after) < landed.floor
    waiting = jnp.any(core.together)
    crosses = event.kind == ev.CROSSING
    together = jnp.where(waiting, core.together, landed.crossing & alive & crosses)
    first = jnp.where(who & (core.first == problem.max_events), core.spikes, core.first)
    running = event.kind != ev.IDLE
    if problem.awaited is not None:
        fired = (first < problem.max_events) | ~problem.awaited
        running = running & ~jnp.all(fired)
    status = jnp.where(full, TOO_MANY_EVENTS, jnp.where(broken, NOT_FINITE, OK))
    queue, longest = core.queue, core.longest
    if ahead.arrival is not None:
        queue = send(problem, inputs, core, ahead.arrival, event)
        assert longest is not None
        longest = jnp.maximum(longest, queue.length)
    new = Core(
        t=landed.time,
        z=landed.after,
        memory=segment.memory,
        together=together & event.is_spike & ~who & ~dropped,
        queue=queue,
        longest=longest,
        known=core.known + event.is_known,
        events=core.events + event.delivers,
        passed=core.passed + (event.kind > ev.PAUSE),
        spikes=core.spikes + event.is_spike,
        first=first,
        running=running,
        status=jnp.where(core.running, status, core.status).astype(jnp.int32),
    )
    return new, entry, landed


def receivers(
    problem: Problem, inputs: Inputs, event: Event
) -> Bool[Array, " neurons"]:
    """Who hears the event's sender, with delays: now."""
    reached = jnp.asarray(problem.wmask)[event.sender]
    if inputs.delays is None:
        return reached
    return reached & (inputs.delays[event.sender] == event.delay)


def send(
    problem: Problem, inputs: Inputs, core: Core, arrival: under_way.Next, event: Event
) -> Queue:
    """The queue after the event: its spike goes on to those with longer delays."""
    assert inputs.delays is not None
    assert core.queue is not None
    assert event.delay is not None
    delivered = event.kind == ev.DELIVERY
    delays = inputs.delays[event.sender]
    later = jnp.asarray(problem.wmask)[event.sender] & (delays > event.delay)
    delay = jnp.min(jnp.where(later, delays, jnp.inf))
    since = jnp.where(delivered, arrival.spike.since, event.time)
    # What arrives after the end does not matter.
    arrives = since + delay <= inputs.t_end
    spike = Pending(
        since=jnp.where(arrives, since, jnp.inf),
        delay=jnp.where(arrives, delay, 0),
        sender=event.sender,
        slot=jnp.where(delivered, arrival.spike.slot, core.spikes),
    )
    return under_way.update(core.queue, arrival, delivered, event.is_spike, spike)


def store(
    problem: Problem, results: Results, entry: Entry, new: Core, ids: Array
) -> Results:
    """Write a spike or an observation to its slot."""
    event = entry.event
    slot = jnp.where(event.is_spike, entry.slot, problem.max_events)
    times = results.times.at[slot].set(new.t)
    neurons = results.neurons.at[slot].set(event.sender)
    pending, seen = results.pending, results.seen
    if pending is not None and new.queue is not None:
        pending = pending.at[slot].set(new.queue.length)
    if problem.n_observations:
        j = observation(problem, entry, ids)
        seen = jax.tree.map(lambda s, z: s.at[j].set(z), seen, new.z)
    return Results(times, neurons, pending, seen)


def observation(problem: Problem, entry: Entry, ids: Array) -> Int[Array, ""]:
    """The observation made at this event, the scrap slot if none."""
    made = entry.event.kind == ev.OBSERVATION
    return jnp.where(made, -1 - ids[entry.known], problem.n_observations)
