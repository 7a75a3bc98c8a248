"""Running a feed-forward network, layer after layer."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._engine import (
    NOT_FINITE,
    OK,
    TOO_MANY_EVENTS,
    Activity,
    Run,
    Settings,
    checked,
    faults,
    messages_by_status,
)
from .._flows import AbstractFlow, Clock, Events, Gauge
from ._arrivals import in_order
from ._back import Outcome
from ._lanes import Layer
from ._lockstep import simulate_layer
from ._order import by_time
from ._rounds import Given, Sizes, Task


class LayerPlan(NamedTuple):
    """One layer: which neurons, who they hear, and how they move; hashable."""

    first: int  # neuron
    size: int  # number of neurons
    first_sender: int  # row of the weights
    n_senders: int
    flow: AbstractFlow

    @property
    def neurons(self) -> slice:
        return slice(self.first, self.first + self.size)

    @property
    def senders(self) -> slice:
        return slice(self.first_sender, self.first_sender + self.n_senders)


class Layered(NamedTuple):
    """What is known after a run."""

    first: Float[Array, " outputs"]  # times, inf where a neuron does not fire
    run: Run  # of the last layer, or of all layers
    gauges: list[Float[Array, " outputs"]]


class Train(NamedTuple):
    """Spikes of a layer in order of time, at one time by neuron."""

    times: Clock  # (spikes,)
    neurons: Int[Array, " spikes"]  # from 0 within the layer

    def at(self, places: Any) -> Train:
        """Those at these places."""
        return Train(self.times.at(places), self.neurons[places])


def run_layers(
    settings: Settings,
    plans: tuple[LayerPlan, ...],
    model: Any,
    inputs: Events,
    delays: tuple[Array | None, Array | None],
    *,
    t_end: Clock | None = None,
    observe_at: Clock | None = None,
    gauges: tuple[Gauge, ...] = (),
    window: bool = False,
    once: bool = False,
    record: bool = False,
) -> Layered:
    """Simulate a network whose layers are all in closed form, from t0 to `t_end`.

    `delays` are synaptic and axonal ones. With a `window`, `gauges` are those of what
    lies between the first and the second observation. With `once` only first spikes of
    the last layer are asked for, and events after the latest of them do not count.
    """
    dtype = inputs.times.time.dtype
    start, nothing = Clock.of(settings.t0, dtype), Clock.of(np.zeros(0), dtype)
    if t_end is None:
        t_end = Clock.of(settings.max_time, dtype)
    if observe_at is None:
        observe_at = nothing
    end, given = t_end.time, inputs.times.time
    fault = faults(
        settings, inputs.spikes, observe_at.time, end, *delays, window=window
    )
    # A sample at fault has no events.
    usable = (fault == OK) & (given >= start.time) & (given <= end)
    arrivals = jnp.where(usable, given, jnp.inf)
    rest = jnp.where(usable, inputs.times.rest, 0)
    train = _in_order(Train(Clock(arrivals, rest), inputs.channels))
    outcomes, trains = [], []
    limit = jnp.full((), jnp.inf, dtype)
    for number, plan in enumerate(plans):
        last = number == len(plans) - 1
        part = model._part(settings.wmask.shape[1], plan.neurons)
        synaptic, axonal = (None if d is None else d[plan.senders] for d in delays)
        outcome = _run_layer(
            settings,
            plan,
            part,
            [_rows(leaf, plan.senders) for leaf in part.sender_leaves()],
            train,
            (None if synaptic is None else synaptic[:, plan.neurons], axonal),
            start,
            t_end,
            observe_at if last else nothing,
            gauges if last else (),
            bounds=window and last,
            once=once and last,
            together=number > 0 and synaptic is None and axonal is None,
        )
        if not (once and last):
            train, limit = _sorted(outcome, settings.max_events, limit, end)
        outcomes.append(outcome)
        trains.append(train)
    spikes, fired = outcomes[-1].spikes, outcomes[-1].tally.fired > 0
    first = _at_most(spikes.times.time[spikes.first], end)
    first, stop = jnp.where(fired, first, jnp.inf), end
    if once:
        stop = jnp.where(jnp.all(fired), jnp.max(first), stop)
    status = _verdict(settings, fault, arrivals, outcomes, trains, limit, stop, once)
    run = _joined(settings, plans, trains) if record else _last(plans, trains)
    seen = jax.tree.map(lambda x: x[:-1], outcomes[-1].seen)
    flow, part = plans[-1].flow, model._part(settings.wmask.shape[1], plans[-1].neurons)
    run = run._replace(states=jax.vmap(lambda z: flow.leave(part, z))(seen))
    messages = messages_by_status(settings)
    # All of it: a program may use any part alone.
    done = Layered(first, run, outcomes[-1].gauges)
    activity = _activity(plans, trains, outcomes, arrivals, start.time, end)
    return checked(done, status, messages, activity, settings.max_events)


def _run_layer(
    settings: Settings,
    plan: LayerPlan,
    model: Any,
    rows: list[Float[Array, "senders neurons"]],
    train: Train,
    delays: tuple[Array | None, Array | None],
    start: Clock,
    end: Clock,
    observe_at: Clock,
    gauges: tuple[Gauge, ...],
    bounds: bool,
    once: bool,
    together: bool,
) -> Outcome:
    """Simulate the population `model` of one layer; `delays` are from its senders."""
    synaptic, axonal = delays
    times, senders = train
    if axonal is not None:
        times = times.later(axonal[senders])
        if synaptic is None:
            order = by_time(times, senders)
            times, senders = Train(times, senders).at(order)
    n_known = senders.shape[0] + observe_at.time.shape[0] + 1
    window = _window(n_known)
    arrivals = in_order(
        times, senders, observe_at, synaptic, start, end, window, together, bounds
    )
    z0 = plan.flow.enter(model, model.init_state(plan.size))
    params, static = eqx.partition(model, eqx.is_array)
    params = eqx.tree_at(lambda m: m.sender_leaves(), params, replace_fn=_none)
    most = settings.max_events
    sizes = Sizes(
        window=window,
        # A layer may fire more often than is allowed after the time that counts.
        room=plan.size if once else most + 2 * plan.size,
        spikes=1 if once else most + 1,
        observations=observe_at.time.shape[0],
    )
    task = Task(Layer(plan.flow, gauges), static, sizes)
    return simulate_layer(task, Given(params, rows, z0, arrivals))


def _none(_: Any) -> None:
    return None


def _rows(leaf: Float[Array, "all neurons"], senders: slice) -> Array:
    """The senders' rows; of a layer that hears nobody, one that nobody reads."""
    rows = leaf[senders]
    return rows if len(rows) else jnp.zeros((1, rows.shape[1]), rows.dtype)


def _window(n_known: int) -> int:
    """Entries of a window: few, since each round goes through all of them."""
    return min(32, n_known)


def _in_order(train: Train) -> Train:
    return train.at(by_time(*train))


def _sorted(
    outcome: Outcome, most: int, limit: Array, end: Array
) -> tuple[Train, Array]:
    """The earliest spikes in order, no more than `most`, and up to when all are known.

    One more tells that there are too many.
    """
    tally, spikes = outcome.tally, outcome.spikes
    found = Train(spikes.times, spikes.neurons).at(slice(-1))
    order = by_time(found.times, found.neurons)[: most + 1]
    limit = jnp.minimum(limit, tally.limit)
    if order.shape[0] > most:
        limit = jnp.minimum(limit, lax.stop_gradient(found.times.time[order[-1]]))
        order = order[:-1]
    train = found.at(order)
    # A spike within rounding after the end counts, and is not shown after it.
    times = train.times
    shown = jnp.where(train.neurons >= 0, _at_most(times.time, end), jnp.inf)
    return train._replace(times=times._replace(time=shown)), limit


def _at_most(times: Array, end: Array) -> Array:
    """No later than `end`; their derivatives stay."""
    return times + lax.stop_gradient(jnp.minimum(times, end) - times)


def _verdict(
    settings: Settings,
    fault: Array,
    inputs: Array,
    outcomes: list[Outcome],
    trains: list[Train],
    limit: Array,
    stop: Array,
    once: bool,
) -> Int[Array, ""]:
    """The status of the whole simulation."""
    events = jnp.sum(inputs <= stop)
    for train in trains[: len(trains) - once]:
        events = events + jnp.sum(train.times.time <= stop)
    if once:
        events = events + jnp.sum(outcomes[-1].tally.fired > 0)
    many = (events > settings.max_events) | (limit <= stop)
    broken = jnp.any(jnp.stack([outcome.broken for outcome in outcomes]))
    status = jnp.where(many, TOO_MANY_EVENTS, OK)
    status = jnp.where(broken, NOT_FINITE, status)
    return jnp.where(fault > OK, fault, status)


def _activity(
    plans: tuple[LayerPlan, ...],
    trains: list[Train],
    outcomes: list[Outcome],
    inputs: Array,
    start: Array,
    end: Array,
) -> Activity:
    """All spikes that were found."""
    known = [*trains[:-1], outcomes[-1].spikes]
    times = jnp.concatenate([train.times.time for train in known])
    pairs = zip(plans, known, strict=True)
    neurons = [jnp.where(t.neurons < 0, -1, p.first + t.neurons) for p, t in pairs]
    return Activity(times, jnp.concatenate(neurons), inputs, start, end)


def _last(plans: tuple[LayerPlan, ...], trains: list[Train]) -> Run:
    return _as_run(trains[-1].times.time, plans[-1].first + trains[-1].neurons)


def _joined(
    settings: Settings, plans: tuple[LayerPlan, ...], trains: list[Train]
) -> Run:
    """All layers' spikes in order of time."""
    times = Clock(
        *(jnp.concatenate(x) for x in zip(*(t.times for t in trains), strict=True))
    )
    pairs = zip(plans, trains, strict=True)
    neurons = jnp.concatenate([p.first + train.neurons for p, train in pairs])
    order = by_time(times, neurons)[: settings.max_events]
    return _as_run(times.time[order], neurons[order])


def _as_run(times: Array, neurons: Array) -> Run:
    none = times == jnp.inf
    under_way = jnp.where(none, -1, 0)
    return Run(times, jnp.where(none, -1, neurons), under_way, None, None, [])
