"""One iteration of the engine: find the next event, land on it, apply it."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._flows import AbstractFlow, Clock, Limits, Segment, rounding
from .._varying import varying
from . import _event as ev
from . import _queue as under_way
from ._event import Event, Landed, land
from ._queue import Pending, Queue
from ._readout import Counted, Numbers, Readout
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
    readout: Readout

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
    known: Clock  # times of what is known beforehand
    known_ids: Int[Array, " known"]
    known_delays: Float[Array, " known"] | None
    start: Clock
    end: Clock
    fault: Int[Array, ""]  # status from the start; OK for good input


class Core(NamedTuple):
    """Where a simulation stands."""

    now: Clock
    quiet: Float[Array, ""]  # how long nothing has happened
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
    numbers: Numbers  # of the readout
    running: Bool[Array, ""]
    status: Int[Array, ""]


class Entry(NamedTuple):
    """A segment as it has to be remembered to go back through it."""

    t: Float[Array, ""]
    z: PyTree
    event: Event
    known: Int[Array, ""]
    slot: Int[Array, ""]  # number of the spike, if it is one
    numbers: Numbers


def entry_like(problem: Problem, core: Core) -> Entry:
    """An entry of the shapes and types that `iterate` gives."""
    t = core.now.time
    delay, origin = (None, None) if core.queue is None else (t, core.known)
    flow = problem.backward or problem.flow
    event = Event(core.known, t, flow.route(t), core.known, delay, origin)
    return Entry(t, core.z, event, core.known, core.spikes, core.numbers)


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
    zero, t0 = jnp.zeros((), jnp.int32), inputs.start.time
    delayed = inputs.delays is not None
    core = Core(
        now=inputs.start,
        quiet=jnp.zeros_like(t0),
        z=inputs.z0,
        memory=problem.flow.remember(model, t0, inputs.z0),
        together=jnp.zeros((n_neurons,), bool),
        queue=under_way.empty(problem.room, t0.dtype) if delayed else None,
        longest=zero if delayed else None,
        known=zero,
        events=zero,
        passed=zero,
        spikes=zero,
        first=jnp.full((n_neurons,), problem.max_events, jnp.int32),
        numbers=problem.readout.start(model, inputs.z0),
        running=inputs.fault == OK,
        status=inputs.fault.astype(jnp.int32),
    )
    slots = problem.max_events + 1
    results = Results(
        times=jnp.full((slots,), jnp.inf, t0.dtype),
        neurons=jnp.full((slots,), -1, jnp.int32),
        pending=jnp.full((slots,), -1, jnp.int32) if delayed else None,
        seen=jax.tree.map(
            lambda x: jnp.zeros((problem.n_observations + 1, *x.shape), x.dtype),
            inputs.z0,
        ),
    )
    return varying((core, results), inputs)


class Ahead(NamedTuple):
    """How long it is to what may come next, apart from spikes."""

    end: Float[Array, ""]
    known: Float[Array, ""]
    known_rest: Float[Array, ""]  # 0 where its time is given by one number
    known_id: Int[Array, ""]
    alarms: Float[Array, " neurons"] | None
    delivery: Float[Array, ""]
    arrival: under_way.Next | None

    @property
    def alarm(self) -> Any:
        return jnp.inf if self.alarms is None else jnp.min(self.alarms)


def look_ahead(problem: Problem, inputs: Inputs, model: Any, core: Core) -> Ahead:
    """Known events, alarms and deliveries after `core`."""

    def until(then: Clock) -> Array:
        # What a spike within rounding of it came before is late.
        return jnp.maximum(core.now.until(then), 0)

    alarms = problem.flow.alarm(model, core.z)
    if alarms is not None:
        alarms = jnp.where(problem.alive, jnp.maximum(alarms, 0), jnp.inf)
    arrival = None if core.queue is None else under_way.first(core.queue)
    never = jnp.full_like(core.quiet, jnp.inf)
    return Ahead(
        end=until(inputs.end),
        known=until(inputs.known.at(core.known)),
        known_rest=inputs.known.rest[core.known],
        known_id=inputs.known_ids[core.known],
        alarms=alarms,
        delivery=never if arrival is None else until(arrival.spike.arrival),
        arrival=arrival,
    )


def limits(inputs: Inputs, core: Core, ahead: Ahead, until: Array) -> Limits:
    """How far the next segment may go, or no further than `until`.

    A spike that comes within rounding after an arrival, or after what the user names by
    one number, an observation or the end, comes before it.
    """
    arrives = jnp.where(ahead.known_id >= 0, ahead.known, jnp.inf)
    arrives = jnp.minimum(arrives, ahead.delivery)
    room = jnp.minimum(jnp.minimum(ahead.known, ahead.end), ahead.delivery)
    named = room < arrives
    room = jnp.minimum(room, jnp.minimum(ahead.alarm, until))
    doubt = rounding(core.quiet + room)
    said = jnp.where(ahead.known <= ahead.end, ahead.known_rest, inputs.end.rest)
    doubt = doubt + jnp.where(named, blur(inputs, core, room, said == 0), 0)
    return Limits(room, room + doubt, core.quiet)


def blur(inputs: Inputs, core: Core, length: Array, one_number: Any) -> Array:
    """What is uncertain about a time that is so long from now.

    What rounding adds up to since the start; and where the time is given by one number,
    a unit in its last place.
    """
    elapsed = inputs.start.until(core.now) + length
    last_place = rounding(core.now.time + length) / 8
    return rounding(elapsed) + jnp.where(one_number, last_place, 0)


class Decision(NamedTuple):
    """The next event, and what else the loop has to know of it."""

    event: Event
    now: Clock  # when it happens
    together: Bool[Array, " neurons"]  # who crosses there, but has to wait for an alarm
    full: Bool[Array, ""]
    broken: Bool[Array, ""]


def decide(
    problem: Problem, inputs: Inputs, core: Core, ahead: Ahead, segment: Segment
) -> Decision:
    """Which event ends the segment."""
    waiting = jnp.any(core.together)
    crossed = jnp.where(waiting, core.together, segment.crossed)
    length = jnp.where(waiting, 0, segment.length)
    is_spike = jnp.any(crossed)
    is_delivery = ~is_spike & (length >= ahead.delivery)
    is_known = ~is_spike & ~is_delivery & (length >= ahead.known)
    arrives = is_known & (ahead.known_id >= 0)
    over = ~is_spike & ~is_delivery & ~is_known & (length >= ahead.end)
    sender = jnp.where(is_spike, jnp.argmax(crossed), jnp.maximum(ahead.known_id, 0))
    delay = origin = None
    if ahead.arrival is not None:
        spike = ahead.arrival.spike
        sender = jnp.where(is_delivery, spike.sender, sender)
        assert inputs.known_delays is not None
        delay = jnp.where(is_known, inputs.known_delays[core.known], 0)
        delay = jnp.where(is_delivery, spike.delay, delay)
        origin = jnp.where(is_delivery, spike.slot, problem.max_events)
    counts = is_spike | is_delivery | arrives
    crosses = is_spike & (waiting | ~segment.jumped)
    is_alarm = jnp.zeros((), bool)
    if ahead.alarms is not None:
        hears = counts & receivers(problem, inputs, sender, delay)
        # The pause of who hears it is over for a spike at its end, to within rounding.
        said = jnp.where(over, inputs.end.rest, ahead.known_rest)
        near = blur(inputs, core, length, (is_known | over) & (said == 0))
        early = jnp.where(hears | is_known | over, near, 0)
        rings = ahead.alarms <= length + early
        is_alarm = jnp.any(rings & (hears | ~crosses))
        who = jnp.argmin(jnp.where(rings, ahead.alarms, jnp.inf))
        sender = jnp.where(is_alarm, who, sender)
    counts = counts & ~is_alarm

    full = counts & (core.events >= problem.max_events)
    broken = ~jnp.isfinite(length)
    stops = ~core.running | full | broken | (over & ~is_alarm)
    spike_kind = jnp.where(
        waiting, ev.TOGETHER, jnp.where(segment.jumped, ev.JUMPED, ev.CROSSING)
    )
    known_kind = jnp.where(arrives, ev.ARRIVAL, ev.OBSERVATION)
    kind = jnp.where(is_known, known_kind, ev.PAUSE)
    kind = jnp.where(is_delivery, ev.DELIVERY, kind)
    kind = jnp.where(is_spike, spike_kind, kind)
    kind = jnp.where(is_alarm, ev.ALARM, kind)
    length = jnp.where(stops, 0, length)
    now = core.now.later(length)
    # Exactly when it was said to be.
    now = _pick(
        is_known & ~is_alarm & (ahead.known > 0), inputs.known.at(core.known), now
    )
    if ahead.arrival is not None:
        exact = is_delivery & ~is_alarm & (ahead.delivery > 0)
        now = _pick(exact, ahead.arrival.spike.arrival, now)
    now = _pick(stops, core.now, now)
    event = Event(
        kind=jnp.where(stops, ev.IDLE, kind).astype(jnp.int32),
        time=now.time,
        route=jax.tree.map(lambda x: jnp.where(stops | waiting, 0, x), segment.route),
        sender=jnp.where(stops, 0, sender).astype(jnp.int32),
        delay=delay,
        origin=origin,
    )
    together = crossed & is_alarm & crosses
    return Decision(event, now, together, full, broken)


def _pick(chosen: Bool[Array, ""], one: Clock, other: Clock) -> Clock:
    return jax.tree.map(lambda a, b: jnp.where(chosen, a, b), one, other)


def iterate(
    problem: Problem, inputs: Inputs, core: Core, until: Clock | None = None
) -> tuple[Core, Entry, Landed]:
    """Go to the next event and through it, or to the time `until` if that is sooner."""
    flow, alive = problem.flow, jnp.asarray(problem.alive)
    model = eqx.combine(inputs.params, problem.static)
    t, z = core.now.time, core.z
    ahead = look_ahead(problem, inputs, model, core)
    rest = jnp.inf if until is None else jnp.maximum(core.now.until(until), 0)
    bounds = limits(inputs, core, ahead, jnp.asarray(rest, t.dtype))
    segment = flow.find(model, t, z, core.memory, bounds, alive)
    event, now, together, full, broken = decide(problem, inputs, core, ahead, segment)
    entry = Entry(t, z, event, core.known, core.spikes, core.numbers)

    reached = receivers(problem, inputs, event.sender, event.delay)
    still = event.stays | (segment.length <= 0)
    arrived = jax.tree.map(lambda a, b: jnp.where(still, a, b), z, segment.end)
    landed = land(
        flow,
        model,
        [leaf[event.sender] for leaf in inputs.senders],
        None,
        None,
        reached,
        alive,
        t,
        z,
        event.time,
        event,
        problem.readout,
        core.numbers,
        arrived,
        counted(problem, inputs, core.known, event),
    )

    # Within rounding of the event's time: crossing at the same instant.
    way = jnp.where(still, 0, segment.length)
    doubt = jnp.abs(landed.rate) * rounding(core.quiet + way)
    crossing = (landed.rate > 0) & (landed.gap >= -doubt)
    # Who crosses with it fires next, unless this event's jump took it lower again.
    floor = jnp.minimum(landed.gap, 0) - 2 * doubt
    dropped = flow.gap(model, event.time, landed.after) < floor
    waiting = jnp.any(core.together)
    crosses = event.kind == ev.CROSSING
    also = jnp.where(waiting, core.together, crossing & alive & crosses)
    neurons = jnp.arange(problem.wmask.shape[1])
    who = (neurons == event.sender) & event.is_spike
    first = jnp.where(who & (core.first == problem.max_events), core.spikes, core.first)
    running = event.kind != ev.IDLE
    if problem.awaited is not None:
        fired = (first < problem.max_events) | ~problem.awaited
        running = running & ~jnp.all(fired)
    status = jnp.where(full, TOO_MANY_EVENTS, jnp.where(broken, NOT_FINITE, OK))
    queue, longest = core.queue, core.longest
    if ahead.arrival is not None:
        queue = send(problem, inputs, core, ahead.arrival, event, now)
        assert longest is not None
        longest = jnp.maximum(longest, queue.length)
    new = Core(
        now=now,
        quiet=jnp.where(event.kind == ev.PAUSE, core.quiet + way, 0),
        z=landed.after,
        memory=segment.memory,
        together=together | (also & event.is_spike & ~who & ~dropped),
        queue=queue,
        longest=longest,
        known=core.known + event.is_known,
        events=core.events + event.delivers,
        passed=core.passed + (event.kind > ev.PAUSE),
        spikes=core.spikes + event.is_spike,
        first=first,
        numbers=landed.numbers,
        running=running,
        status=jnp.where(core.running, status, core.status).astype(jnp.int32),
    )
    return new, entry, landed


def counted(
    problem: Problem, inputs: Inputs, known: Array, event: Event
) -> Counted | None:
    """What of an event and the way to it lies in the window of the readout, if any.

    `known` is the next entry of the schedule before it.
    """
    if not problem.readout.window:
        return None
    start, end = (jnp.argmax(inputs.known_ids == -1 - j) for j in range(2))
    after = known + event.is_known
    return Counted((known > start) & (known <= end), (after > start) & (known <= end))


def receivers(
    problem: Problem, inputs: Inputs, sender: Array, delay: Array | None
) -> Bool[Array, " neurons"]:
    """Who hears the sender, with delays: those with this delay."""
    reached = jnp.asarray(problem.wmask)[sender]
    if inputs.delays is None:
        return reached
    return reached & (inputs.delays[sender] == delay)


def send(
    problem: Problem,
    inputs: Inputs,
    core: Core,
    arrival: under_way.Next,
    event: Event,
    now: Clock,
) -> Queue:
    """The queue after the event: its spike goes on to those with longer delays."""
    assert inputs.delays is not None
    assert core.queue is not None
    assert event.delay is not None
    delivered = event.kind == ev.DELIVERY
    delays = inputs.delays[event.sender]
    later = jnp.asarray(problem.wmask)[event.sender] & (delays > event.delay)
    delay = jnp.min(jnp.where(later, delays, jnp.inf))
    since = _pick(delivered, arrival.spike.since, now)
    never = Clock(jnp.full_like(delay, jnp.inf), jnp.zeros_like(delay))
    # What arrives after the end does not matter.
    arrives = delay <= since.until(inputs.end)
    spike = Pending(
        since=_pick(arrives, since, never),
        delay=jnp.where(arrives, delay, 0),
        sender=event.sender,
        slot=jnp.where(delivered, arrival.spike.slot, core.spikes),
    )
    return under_way.update(core.queue, arrival, delivered, event.is_spike, spike)


def store(
    problem: Problem, inputs: Inputs, results: Results, entry: Entry, new: Core
) -> Results:
    """Write a spike or an observation to its slot."""
    event = entry.event
    slot = jnp.where(event.is_spike, entry.slot, problem.max_events)
    # A spike within rounding after the end counts, and is not shown after it.
    time = jnp.minimum(new.now.time, inputs.end.time)
    times = results.times.at[slot].set(time)
    neurons = results.neurons.at[slot].set(event.sender)
    pending, seen = results.pending, results.seen
    if pending is not None and new.queue is not None:
        pending = pending.at[slot].set(new.queue.length)
    if problem.n_observations:
        j = observation(problem, entry, inputs.known_ids)
        seen = jax.tree.map(lambda s, z: s.at[j].set(z), seen, new.z)
    return Results(times, neurons, pending, seen)


def observation(problem: Problem, entry: Entry, ids: Array) -> Int[Array, ""]:
    """The observation made at this event, the scrap slot if none."""
    made = entry.event.kind == ev.OBSERVATION
    return jnp.where(made, -1 - ids[entry.known], problem.n_observations)
