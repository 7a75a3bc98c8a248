"""Why a simulation stopped, and what its user is told."""

from __future__ import annotations

import logging
import math
from typing import Any, NamedTuple

import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from .._devices import call_python
from .._largest import largest, of_largest
from .._spikes import Spikes
from ._settings import Settings

OK = 0
TOO_MANY_EVENTS = 1
NOT_FINITE = 2
TOO_MANY_STEPS = 3
NAN_INPUT = 4
EARLY_INPUT = 5
OUTSIDE_OBSERVATION = 6
OUTSIDE_END = 7
DELAY_NOT_FINITE = 8
NO_SUCH_INPUT = 9
OUTSIDE_WINDOW = 10
# From here on: the number of places that the queue was short of.
QUEUE_FULL = 10

# A queue too short is given more places than it was asked to have, up to this number,
# so that the error can tell how many are needed.
COUNTED = 256

# Part of the time of a simulation from which its rest is guessed.
SHORTEST = 1e-3


def faults(
    settings: Settings,
    inputs: Spikes,
    observe_at: Array,
    t_end: Array,
    *delays: Array | None,
    window: bool = False,
) -> Int[Array, ""]:
    """What is wrong with times and delays that a user gave; OK if nothing is.

    With a `window`, observations are its start and end.
    """
    t0, last = settings.t0, jnp.asarray(settings.max_time, inputs.times.dtype)
    inside = (observe_at >= t0) & (observe_at <= last)
    inside = inside & (observe_at[:1] <= observe_at) if window else inside
    end_inside = (t_end >= t0) & (t_end <= last)
    problem = jnp.where(end_inside, OK, OUTSIDE_END)
    outside = OUTSIDE_WINDOW if window else OUTSIDE_OBSERVATION
    problem = jnp.where(jnp.all(inside), problem, outside)
    problem = jnp.where(jnp.any(inputs.times < t0), EARLY_INPUT, problem)
    problem = jnp.where(jnp.any(jnp.isnan(inputs.times)), NAN_INPUT, problem)
    n_senders, n_neurons = settings.wmask.shape
    there = (inputs.channels >= 0) & (inputs.channels < n_senders - n_neurons)
    problem = jnp.where(jnp.all(there), problem, NO_SUCH_INPUT)
    for d in delays:
        if d is not None:
            problem = jnp.where(~jnp.all(jnp.isfinite(d)), DELAY_NOT_FINITE, problem)
    return problem


class SimulationError(RuntimeError):
    """A simulation failed; raised while it runs."""


class _NotTwice(logging.Filter):
    """JAX logs what a callback raises, and then raises it."""

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if record.exc_info else None
        return kind is not SimulationError


logging.getLogger("jax._src.callback").addFilter(_NotTwice())


class Activity(NamedTuple):
    """What happened until a simulation was stopped."""

    times: Float[Array, " spikes"]  # inf where there is none
    neurons: Int[Array, " spikes"]
    arrivals: Float[Array, ...]  # times of arriving inputs
    start: Float[Array, ""]
    end: Float[Array, ""]  # until which it should have gone

    def describe(self, most: int) -> str:
        """Who fired how often in the first `most` events, and how it would go on."""
        fired = np.isfinite(self.times) & (self.neurons >= 0)
        times, neurons = self.times[fired], self.neurons[fired]
        arrivals = self.arrivals[self.arrivals <= self.end]
        every = np.sort(np.concatenate([times, arrivals]))[:most]
        last = every[-1] if every.size else self.start
        neurons, n_arrived = neurons[times <= last], np.sum(arrivals <= last)
        who, counts = np.unique(neurons, return_counts=True)
        order = np.argsort(-counts, kind="stable")[:3]
        busiest = [(int(who[k]), int(counts[k])) for k in order]
        said = activity_sentence(last, neurons.size, busiest, n_arrived)
        past = (last - self.start) / (self.end - self.start)
        return said + needed_sentence(past, neurons.size, arrivals.size, most)


class Counts(NamedTuple):
    """The same, counted already."""

    last: Float[Array, ""]  # time of the last event
    spikes: Int[Array, ""]
    arrivals: Int[Array, ""]
    neurons: Int[Array, " three"]  # that fired most, -1 where there is none
    counts: Int[Array, " three"]
    inputs: Float[Array, ...]  # times of all input spikes
    start: Float[Array, ""]
    end: Float[Array, ""]

    def describe(self, most: int) -> str:
        """Who fired how often, and how it would go on."""
        pairs = zip(self.neurons, self.counts, strict=True)
        busiest = [(int(who), int(count)) for who, count in pairs if who >= 0]
        said = activity_sentence(self.last, self.spikes, busiest, self.arrivals)
        past = (self.last - self.start) / (self.end - self.start)
        # With delays an input arrives several times.
        given, so_far = (np.sum(self.inputs <= t) for t in (self.end, self.last))
        arrivals = self.arrivals * given / max(so_far, 1)
        return said + needed_sentence(past, self.spikes, arrivals, most)


def activity_sentence(
    last: Any, spikes: Any, busiest: list[tuple[int, int]], arrivals: Any
) -> str:
    """Spikes and arrivals until the time `last`, and who fired how often."""
    names = ", ".join(f"neuron {who} ({count})" for who, count in busiest)
    return (
        f"Spikes until t = {last:.4g}: {spikes}, most of them of {names or 'nobody'}; "
        f"arriving inputs: {arrivals}."
    )


def needed_sentence(past: Any, spikes: Any, arrivals: Any, most: int) -> str:
    """How many events there would be if it went on like this, in two digits.

    `past` is the part of the time in which there were so many spikes, `arrivals` those
    of all of it.
    """
    if not past > SHORTEST:
        return ""
    events = max(spikes / past + arrivals, most + 1)
    digit = 10 ** max(math.floor(math.log10(events)) - 1, 0)
    events = math.ceil(events / digit) * digit
    return f" At this rate about `max_event_steps={events}` would be enough."


def checked(
    tree: PyTree,
    status: Int[Array, ""],
    messages: list[str],
    activity: Activity | Counts | None = None,
    most: int = 0,
) -> PyTree:
    """The tree; raises the message of the status unless it is OK, also under `jit`.

    With the `activity` the message tells who fired how often, in the first `most`
    events.
    """
    status, activity = lax.stop_gradient((status, activity))
    # Of a batch, which may be empty.
    worst = largest(status)

    def say(status: Any, activity: Any) -> Any:
        message = messages[int(status)]
        if activity is not None and status == TOO_MANY_EVENTS:
            own = type(activity)(*(np.asarray(x) for x in activity))
            message = f"{message} {own.describe(most)}"
        raise SimulationError(message)

    def fails(args: Any) -> PyTree:
        tree, status, activity = args
        fine = jax.ShapeDtypeStruct((), bool)
        # Its result is needed, or it would be left out.
        go = call_python(say, fine, *of_largest(status, activity))
        return jax.tree.map(lambda x: jnp.where(go, x, jnp.zeros_like(x)), tree)

    def passes(args: Any) -> PyTree:
        return args[0]

    return lax.cond(worst > OK, fails, passes, (tree, status, activity))


def told(error: Exception) -> str | None:
    """What a simulation said before JAX wrapped it up; None if it was another error."""
    _, found, message = str(error).rpartition(f"{SimulationError.__name__}: ")
    return message.strip() if found else None


def queue_room(settings: Settings) -> int:
    """Places in the queue. A spike takes one, so there are never more than spikes."""
    return min(settings.max_events, max(settings.capacity, COUNTED))


def messages_by_status(settings: Settings, segments: int = 0) -> list[str]:
    """By status; `segments` is the limit of steps where there is one."""
    t0, last = settings.t0, settings.max_time
    messages = {
        OK: "no error",
        TOO_MANY_EVENTS: (
            f"`max_event_steps` = {settings.max_events} was reached: a sample has more "
            "events (spikes and arriving inputs) than that before its end. Raise "
            "`max_event_steps` if that is the activity you want, or reduce weights and "
            "bias currents if it is not."
        ),
        NOT_FINITE: (
            "The state became infinite or NaN during the simulation, or moves faster "
            "than time can be told apart in the network's `dtype`. Check the "
            "parameters for NaN and the neuron's dynamics for values at which they "
            "diverge; with a numerical solver, take smaller steps (`solver_stepsize`, "
            "`stepsize_controller`)."
        ),
        TOO_MANY_STEPS: (
            f"The simulation takes more than {segments} steps, the most through which "
            "a gradient is taken by default. Pass "
            "`adjoint=diffrax.RecursiveCheckpointAdjoint(checkpoints=n)` with n*n at "
            "least the number of steps, or take larger steps."
        ),
        NAN_INPUT: (
            "`in_spike_times` must not contain NaN. Pad channels with fewer spikes "
            "with `inf`."
        ),
        EARLY_INPUT: (
            f"`in_spike_times` must not lie before `t0` = {t0}. Shift the input times, "
            "or start the network earlier with `t0`."
        ),
        OUTSIDE_OBSERVATION: (
            f"`comp_times` must lie between `t0` = {t0} and `max_solver_time` = "
            f"{last}. Raise `max_solver_time` or leave those times out."
        ),
        OUTSIDE_END: (
            f"`final_time` must lie between `t0` = {t0} and `max_solver_time` = "
            f"{last}. Raise `max_solver_time` to look further."
        ),
        DELAY_NOT_FINITE: (
            "`delays` and `axonal_delays` must be finite: NaN and infinity would lose "
            "spikes. Look at what changed them last: a loss that is NaN, or a learning "
            "rate too large. To cut a connection, use `wmask`."
        ),
        NO_SUCH_INPUT: (
            "`in_spike_times.channels` must lie between 0 and "
            f"{settings.wmask.shape[0] - settings.wmask.shape[1] - 1}, the network's "
            "inputs. Where there is no spike the time is `inf`, and the channel does "
            "not matter. Those of `PackedSpikes` do where its `counts` are not "
            "negative and their sum is the number of its times without padding."
        ),
        OUTSIDE_WINDOW: (
            f"`start` and `end` must lie between `t0` = {t0} and `max_solver_time` = "
            f"{last}, and `start` not after `end`. Raise `max_solver_time`, or change "
            "the window."
        ),
    }
    return [messages[k] for k in sorted(messages)]


def queue_messages(settings: Settings) -> list[str]:
    """By the number of places that are missing, from 1 on."""
    capacity, room = settings.capacity, queue_room(settings)
    full = (
        f"`buffer_capacity` = {capacity} was reached: {{}} spikes were under way at "
        "once, delayed and yet to arrive. Set `buffer_capacity={}`, shorten the "
        "delays, or reduce the activity of the network."
    )
    missing = [full.format(n, n) for n in range(capacity + 1, room + 1)]
    most = max(room, capacity)
    return [*missing, full.format(f"more than {most}", settings.max_events)]
