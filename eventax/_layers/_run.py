"""Running a feed-forward network, layer after layer."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

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
from .._flows import AbstractFlow
from .._spikes import Spikes
from ._arrivals import in_order
from ._back import Outcome
from ._gauges import Gauge
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

    times: Float[Array, " spikes"]
    neurons: Int[Array, " spikes"]  # from 0 within the layer


def run_layers(
    settings: Settings,
    plans: tuple[LayerPlan, ...],
    model: Any,
    inputs: Spikes,
    delays: tuple[Array | None, Array | None],
    *,
    t_end: Float[Array, ""] | None = None,
    observe_at: Float[Array, " observations"] | None = None,
    gauges: tuple[Gauge, ...] = (),
    once: bool = False,
    record: bool = False,
) -> Layered:
    """Simulate a network whose layers are all in closed form, from t0 to `t_end`.

    `delays` are synaptic and axonal ones. With `once` only first spikes of the last
    layer are asked for, and events after the latest of them do not count.
    """
    dtype = inputs.times.dtype
    t0 = jnp.asarray(settings.t0, dtype)
    if t_end is None:
        t_end = jnp.asarray(settings.max_time, dtype)
    if observe_at is None:
        observe_at = jnp.zeros((0,), dtype)
    fault = faults(settings, inputs, observe_at, t_end, *delays)
    # A sample at fault has no events.
    usable = (fault == OK) & (inputs.times >= t0) & (inputs.times <= t_end)
    times = jnp.where(usable, inputs.times, jnp.inf)
    n_senders, n_neurons = settings.wmask.shape
    train = _in_order(times, jnp.asarray(inputs.channels), n_senders - n_neurons)
    nothing = jnp.zeros((0,), dtype)
    outcomes, trains = [], []
    limit = jnp.full((), jnp.inf, dtype)
    for number, plan in enumerate(plans):
        last = number == len(plans) - 1
        part = model.part(settings.wmask.shape[1], plan.neurons)
        synaptic, axonal = (None if d is None else d[plan.senders] for d in delays)
        outcome = _run_layer(
            settings,
            plan,
            part,
            [_rows(leaf, plan.senders) for leaf in part.sender_leaves()],
            train,
            (None if synaptic is None else synaptic[:, plan.neurons], axonal),
            t0,
            t_end,
            observe_at if last else nothing,
            gauges if last else (),
            once=once and last,
            together=number > 0 and synaptic is None and axonal is None,
        )
        if not (once and last):
            train, limit = _sorted(outcome, plan.size, settings.max_events, limit)
        outcomes.append(outcome)
        trains.append(train)
    spikes, fired = outcomes[-1].spikes, outcomes[-1].tally.fired > 0
    first = jnp.where(fired, spikes.times[spikes.first], jnp.inf)
    stop = jnp.asarray(t_end)
    if once:
        stop = jnp.where(jnp.all(fired), jnp.max(first), stop)
    status = _verdict(settings, fault, times, outcomes, trains, limit, stop, once)
    run = _joined(settings, plans, trains) if record else _last(plans, trains)
    seen = jax.tree.map(lambda x: x[:-1], outcomes[-1].seen)
    flow, part = plans[-1].flow, model.part(settings.wmask.shape[1], plans[-1].neurons)
    run = run._replace(states=jax.vmap(lambda z: flow.leave(part, z))(seen))
    messages = messages_by_status(settings)
    # All of it: a program may use any part alone.
    done = Layered(first, run, outcomes[-1].gauges)
    activity = _activity(plans, trains, outcomes, times)
    return checked(done, status, messages, activity, settings.max_events)


def run_readout(
    settings: Settings,
    flow: AbstractFlow,
    model: Any,
    mask: Bool[np.ndarray, "senders readouts"],
    inputs: Spikes,
    spikes: Run,
    delays: Float[Array, "senders readouts"] | None,
    gauges: tuple[Gauge, ...],
) -> list[Float[Array, " readouts"]]:
    """Gauges of some neurons of any network, all of whose spikes are known.

    `model` is the population of these neurons.
    """
    dtype = inputs.times.dtype
    n_senders, n_readouts = mask.shape
    n_neurons = settings.wmask.shape[1]
    times = jnp.concatenate([spikes.times, inputs.times])
    senders = jnp.concatenate(
        [jnp.maximum(spikes.neurons, 0), n_neurons + inputs.channels]
    )
    order = by_time(times, senders, n_senders)
    t0, t_end = jnp.asarray([settings.t0, settings.max_time], dtype)
    plan = LayerPlan(0, n_readouts, 0, n_senders, flow)
    outcome = _run_layer(
        settings,
        plan,
        model,
        [jnp.where(mask, leaf, 0) for leaf in model.sender_leaves()],
        Train(times[order], senders[order]),
        (delays, None),
        t0,
        t_end,
        jnp.zeros((0,), dtype),
        gauges,
        once=False,
        together=False,
    )
    status = jnp.where(outcome.broken, NOT_FINITE, OK)
    messages = messages_by_status(settings)
    return checked(outcome.gauges, status, messages)


def _run_layer(
    settings: Settings,
    plan: LayerPlan,
    model: Any,
    rows: list[Float[Array, "senders neurons"]],
    train: Train,
    delays: tuple[Array | None, Array | None],
    t0: Array,
    t_end: Array,
    observe_at: Array,
    gauges: tuple[Gauge, ...],
    once: bool,
    together: bool,
) -> Outcome:
    """Simulate the population `model` of one layer; `delays` are from its senders."""
    synaptic, axonal = delays
    times, senders = train
    if axonal is not None:
        times = times + axonal[senders]
        if synaptic is None:
            order = by_time(times, senders, plan.n_senders)
            times, senders = times[order], senders[order]
    n_known = times.shape[0] + observe_at.shape[0] + 1
    window = _window(n_known)
    arrivals = in_order(
        times, senders, observe_at, synaptic, t0, t_end, window, together
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
        observations=observe_at.shape[0],
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


def _in_order(
    times: Float[Array, " spikes"], channels: Int[Array, " spikes"], in_size: int
) -> Train:
    order = by_time(times, channels, in_size)
    return Train(times[order], channels[order])


def _sorted(
    outcome: Outcome, n_neurons: int, most: int, limit: Array
) -> tuple[Train, Array]:
    """The earliest spikes in order, no more than `most`, and up to when all are known.

    One more tells that there are too many.
    """
    tally, spikes = outcome.tally, outcome.spikes
    times, neurons = spikes.times[:-1], spikes.neurons[:-1]
    senders = jnp.maximum(neurons, 0)
    order = by_time(times, senders, n_neurons, tally.number)[: most + 1]
    limit = jnp.minimum(limit, tally.limit)
    if order.shape[0] > most:
        limit = jnp.minimum(limit, lax.stop_gradient(times[order[-1]]))
        order = order[:-1]
    return Train(times[order], neurons[order]), limit


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
        events = events + jnp.sum(train.times <= stop)
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
) -> Activity:
    """All spikes that were found."""
    known = [*trains[:-1], outcomes[-1].spikes]
    times = jnp.concatenate([train.times for train in known])
    pairs = zip(plans, known, strict=True)
    neurons = [jnp.where(t.neurons < 0, -1, p.first + t.neurons) for p, t in pairs]
    return Activity(times, jnp.concatenate(neurons), inputs)


def _last(plans: tuple[LayerPlan, ...], trains: list[Train]) -> Run:
    return _as_run(trains[-1].times, plans[-1].first + trains[-1].neurons)


def _joined(
    settings: Settings, plans: tuple[LayerPlan, ...], trains: list[Train]
) -> Run:
    """All layers' spikes in order of time."""
    times = jnp.concatenate([train.times for train in trains])
    pairs = zip(plans, trains, strict=True)
    neurons = jnp.concatenate([p.first + train.neurons for p, train in pairs])
    order = by_time(times, jnp.maximum(neurons, 0), settings.wmask.shape[1])
    order = order[: settings.max_events]
    return _as_run(times[order], neurons[order])


def _as_run(times: Array, neurons: Array) -> Run:
    none = times == jnp.inf
    under_way = jnp.where(none, -1, 0)
    return Run(times, jnp.where(none, -1, neurons), under_way, None, None)
