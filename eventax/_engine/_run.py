"""Running a model: the engine as networks see it."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._spikes import Spikes
from ._iterate import Inputs, Problem
from ._schedule import schedule
from ._sender_rows import split_senders
from ._settings import Settings
from ._simulate import simulate
from ._status import (
    OK,
    Activity,
    checked,
    faults,
    messages_by_status,
    queue_messages,
    queue_room,
)


class Run(NamedTuple):
    """Spikes in order of time, and states at the observation times."""

    times: Float[Array, " spikes"]  # inf beyond the last spike
    neurons: Int[Array, " spikes"]  # -1 beyond the last spike
    pending: Int[Array, " spikes"]  # spikes under way after each; -1 beyond the last
    # A neuron's first spike, len(times) if none; None where it was not kept.
    first: Int[Array, " neurons"] | None
    states: PyTree  # with leading axis observations


def run(
    settings: Settings,
    model: Any,
    inputs: Spikes,
    delays: Float[Array, "senders neurons"] | None,
    *,
    t_end: Float[Array, ""] | None = None,
    observe_at: Float[Array, " observations"] | None = None,
    awaited: Bool[np.ndarray, " neurons"] | None = None,
) -> Run:
    """Simulate `model` from t0 to `t_end`, default the longest time allowed.

    `delays` are not negative. Stops early once all neurons in `awaited` have fired.
    """
    flow, dtype = settings.flow, inputs.times.dtype
    n_neurons = settings.wmask.shape[1]
    t0 = jnp.asarray(settings.t0, dtype)
    if t_end is None:
        t_end = jnp.asarray(settings.max_time, dtype)
    if observe_at is None:
        observe_at = jnp.zeros((0,), dtype)
    fault = faults(settings, inputs, observe_at, t_end, delays)
    # How delays move arrivals is differentiated where a spike arrives.
    fixed = None if delays is None else lax.stop_gradient(delays)
    # A sample at fault has no events.
    inputs = inputs._replace(times=jnp.where(fault == OK, inputs.times, jnp.inf))
    known = schedule(inputs, observe_at, settings.wmask, fixed)
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
        room=queue_room(settings),
        n_observations=observe_at.shape[0],
        awaited=awaited,
    )
    given = Inputs(
        params=params,
        senders=senders,
        delays=delays,
        z0=z0,
        known_times=known.times,
        known_ids=known.ids,
        known_delays=known.delays,
        t0=t0,
        t_end=t_end,
        fault=fault,
    )
    chunk_length, n_chunks = _gradient_room(settings, known.times.shape[0])
    messages = messages_by_status(settings, chunk_length * n_chunks)
    if delays is not None:
        messages += queue_messages(settings)

    check = partial(checked, messages=messages)
    outcome = simulate(problem, given, chunk_length, n_chunks, check)
    results = outcome.results
    status = lax.stop_gradient(outcome.status)
    # All of it: a program may use any part alone.
    times, neurons, pending, states, first = check(
        (results.times, results.neurons, results.pending, results.seen, outcome.first),
        status,
        activity=Activity(
            results.times[:-1], results.neurons[:-1], jnp.asarray(inputs.times)
        ),
        most=settings.max_events,
    )
    neurons = neurons[:-1]
    return Run(
        times=times[:-1],
        neurons=neurons,
        pending=jnp.minimum(neurons, 0) if pending is None else pending[:-1],
        first=first,
        states=jax.tree.map(
            lambda y: y[:, :n_neurons],
            jax.vmap(lambda z: flow.leave(model, z))(
                jax.tree.map(lambda x: x[:-1], states)
            ),
        ),
    )


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
