"""Running a model: the engine as networks see it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._flows import AbstractFlow
from ._iterate import (
    EARLY_INPUT,
    NAN_INPUT,
    NOT_FINITE,
    OK,
    OUTSIDE_END,
    OUTSIDE_OBSERVATION,
    TOO_MANY_EVENTS,
    TOO_MANY_STEPS,
    Inputs,
    Problem,
)
from ._schedule import schedule
from ._sender_rows import split_senders
from ._simulate import simulate

# A queue too short is given more places than it was asked to have, up to this number,
# so that the error can tell how many are needed.
COUNTED = 256


class Settings(NamedTuple):
    """What a run needs besides model and inputs; hashable."""

    flow: AbstractFlow
    backward: AbstractFlow | None  # of gradients, if it goes from event to event
    wmask: np.ndarray  # (N+M, N) bool
    t0: float
    max_time: float
    max_events: int
    capacity: int
    checkpoints: int | None


class Run(NamedTuple):
    """Spikes in order of time, and states at the observation times."""

    times: Float[Array, " spikes"]  # inf beyond the last spike
    neurons: Int[Array, " spikes"]  # -1 beyond the last spike
    pending: Int[Array, " spikes"]  # spikes under way after each; -1 beyond the last
    first: Int[Array, " neurons"]  # a neuron's first spike; len(times) if none
    states: PyTree  # with leading axis observations


def run(
    settings: Settings,
    model: Any,
    in_spike_times: Float[Array, "inputs spikes"],
    delays: Float[Array, "senders neurons"] | None,
    *,
    t_end: Float[Array, ""] | None = None,
    observe_at: Float[Array, " observations"] | None = None,
    awaited: Bool[np.ndarray, " neurons"] | None = None,
) -> Run:
    """Simulate `model` from t0 to `t_end`, default the longest time allowed.

    `delays` are not negative. Stops early once all neurons in `awaited` have fired.
    """
    flow, dtype = settings.flow, in_spike_times.dtype
    n_neurons = settings.wmask.shape[1]
    t0 = jnp.asarray(settings.t0, dtype)
    if t_end is None:
        t_end = jnp.asarray(settings.max_time, dtype)
    if observe_at is None:
        observe_at = jnp.zeros((0,), dtype)
    problems = _problems_with_times(settings, in_spike_times, observe_at, t_end)
    # How delays move arrivals is differentiated where a spike arrives.
    fixed = None if delays is None else lax.stop_gradient(delays)
    in_spike_times = jnp.where(jnp.isnan(in_spike_times), jnp.inf, in_spike_times)
    known = schedule(in_spike_times, observe_at, settings.wmask, fixed)
    width = model.padded_size(n_neurons)
    padding = [(0, 0), (0, width - n_neurons)]
    if width > n_neurons:
        model = model.padded(n_neurons, width)
        delays = None if delays is None else jnp.pad(delays, padding)
    if awaited is not None:
        awaited = np.pad(awaited, (0, width - n_neurons))
    z0 = flow.enter(model, model.init_state(width))
    params, static = eqx.partition(model, eqx.is_array)
    params, senders = split_senders(flow, model, params, z0, width)
    problem = Problem(
        flow=flow,
        backward=settings.backward,
        static=static,
        wmask=np.pad(settings.wmask, padding),
        n_neurons=n_neurons,
        max_events=settings.max_events,
        capacity=settings.capacity,
        room=_queue_room(settings),
        n_observations=observe_at.shape[0],
        awaited=awaited,
    )
    inputs = Inputs(
        params=params,
        senders=senders,
        delays=delays,
        z0=z0,
        known_times=known.times,
        known_ids=known.ids,
        known_delays=known.delays,
        t0=t0,
        t_end=t_end,
        fault=problems,
    )
    chunk_length, n_chunks = _gradient_room(settings, known.times.shape[0])
    messages = _messages(settings, chunk_length * n_chunks)
    if delays is not None:
        messages += _queue_messages(settings)

    def check(tree: PyTree, status: Int[Array, ""]) -> PyTree:
        return eqxi.branched_error_if(tree, status > OK, status, messages)

    outcome = simulate(problem, inputs, chunk_length, n_chunks, check)
    results = outcome.results
    status = lax.stop_gradient(outcome.status)
    times, states = check((results.times, results.seen), status)
    neurons = results.neurons[:-1]
    pending = results.pending
    return Run(
        times=times[:-1],
        neurons=neurons,
        pending=jnp.minimum(neurons, 0) if pending is None else pending[:-1],
        first=outcome.first,
        states=jax.tree.map(
            lambda y: y[:, :n_neurons],
            jax.vmap(lambda z: flow.leave(model, z))(
                jax.tree.map(lambda x: x[:-1], states)
            ),
        ),
    )


def _problems_with_times(
    settings: Settings, in_spike_times: Array, observe_at: Array, t_end: Array
) -> Int[Array, ""]:
    t0, last = settings.t0, jnp.asarray(settings.max_time, in_spike_times.dtype)
    inside = (observe_at >= t0) & (observe_at <= last)
    end_inside = (t_end >= t0) & (t_end <= last)
    problem = jnp.where(end_inside, OK, OUTSIDE_END)
    problem = jnp.where(jnp.all(inside), problem, OUTSIDE_OBSERVATION)
    problem = jnp.where(jnp.any(in_spike_times < t0), EARLY_INPUT, problem)
    return jnp.where(jnp.any(jnp.isnan(in_spike_times)), NAN_INPUT, problem)


def _gradient_room(settings: Settings, n_known: int) -> tuple[int, int]:
    """Length and number of the chunks through which a gradient can be taken.

    Room is memory that is set aside, so it is made for what is likely, with a margin:
    for every event, and for the steps that the flow makes between them.
    """
    if settings.checkpoints is not None:
        return settings.checkpoints, settings.checkpoints
    if settings.backward is not None:
        # Entries are events only, and memory is what this way is chosen for.
        events = 2 * settings.max_events + n_known
        return math.isqrt(events) + 1, math.isqrt(events) + 1
    steps = settings.flow.likely_steps(settings.max_time - settings.t0)
    segments = 4 * (settings.max_events + n_known) + 2 * steps
    # One chunk is the common case, since earlier ones are run twice: long enough for
    # hundreds of segments and two spikes per neuron, but no more than some megabytes
    # per sample, which take time to be set up.
    n_neurons = settings.wmask.shape[1]
    likely = min(max(512, 2 * n_neurons), 2**20 // n_neurons)
    chunk_length = max(256, min(likely, segments), math.isqrt(segments))
    return chunk_length, -(-segments // chunk_length)


def _queue_room(settings: Settings) -> int:
    """Places in the queue. A spike takes one, so there are never more than spikes."""
    return min(settings.max_events, max(settings.capacity, COUNTED))


def _messages(settings: Settings, segments: int) -> list[str]:
    """By status."""
    t0, last = settings.t0, settings.max_time
    messages = {
        OK: "no error",
        TOO_MANY_EVENTS: (
            f"`max_event_steps` = {settings.max_events} was reached: a sample has more "
            "events (spikes and arriving inputs) than that before its end. Raise "
            "`max_event_steps`, shorten the simulation, or reduce the activity of the "
            "network."
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
    }
    return [messages[k] for k in sorted(messages)]


def _queue_messages(settings: Settings) -> list[str]:
    """By the number of places that are missing, from 1 on."""
    capacity, room = settings.capacity, _queue_room(settings)
    full = (
        f"`buffer_capacity` = {capacity} was reached: {{}} spikes were under way at "
        "once, delayed and yet to arrive. Set `buffer_capacity={}`, shorten the "
        "delays, or reduce the activity of the network."
    )
    missing = [full.format(n, n) for n in range(capacity + 1, room + 1)]
    most = max(room, capacity)
    return [*missing, full.format(f"more than {most}", settings.max_events)]
