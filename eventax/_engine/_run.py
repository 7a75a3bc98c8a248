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

from .._flows import Clock, Events
from ._iterate import Inputs, Problem
from ._readout import NO_READOUT, Numbers, Readout
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
    numbers: Numbers  # of the readout, at the end


def run(
    settings: Settings,
    model: Any,
    inputs: Events,
    delays: Float[Array, "senders neurons"] | None,
    *,
    t_end: Clock | None = None,
    observe_at: Clock | None = None,
    awaited: Bool[np.ndarray, " neurons"] | None = None,
    readout: Readout | None = None,
) -> Run:
    """Simulate `model` from t0 to `t_end`, default the longest time allowed.

    `delays` are not negative. Stops early once all neurons in `awaited` have fired.
    The way up to `t_end` counts for a `readout` if that is observed. Over a window, it
    is what lies between the first and the second observation.
    """
    flow, dtype = settings.flow, inputs.times.time.dtype
    n_neurons = settings.wmask.shape[1]
    if t_end is None:
        t_end = Clock.of(settings.max_time, dtype)
    if observe_at is None:
        observe_at = Clock.of(np.zeros(0), dtype)
    readout = readout or NO_READOUT
    fault = faults(
        settings,
        inputs.spikes,
        observe_at.time,
        t_end.time,
        delays,
        window=readout.window,
    )
    # How delays move arrivals is differentiated where a spike arrives.
    fixed = None if delays is None else lax.stop_gradient(delays)
    # A sample at fault has no events.
    times = jnp.where(fault == OK, inputs.times.time, jnp.inf)
    inputs = inputs._replace(times=inputs.times._replace(time=times))
    known = schedule(inputs, observe_at, settings.wmask, fixed)
    width = model._padded_size(n_neurons)
    padding = [(0, 0), (0, width - n_neurons)]
    if width > n_neurons:
        model = model._padded(n_neurons, width)
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
        n_observations=observe_at.time.shape[0],
        awaited=awaited,
        readout=readout._replace(width=width),
    )
    given = Inputs(
        params=params,
        senders=senders,
        delays=delays,
        z0=z0,
        known=known.times,
        known_ids=known.ids,
        known_delays=known.delays,
        start=Clock.of(settings.t0, dtype),
        end=t_end,
        fault=fault,
    )
    chunk_length, n_chunks = _gradient_room(settings, known.ids.shape[0])
    messages = messages_by_status(settings, chunk_length * n_chunks)
    if delays is not None:
        messages += queue_messages(settings)

    check = partial(checked, messages=messages)
    outcome = simulate(problem, given, chunk_length, n_chunks, check)
    results = outcome.results
    status = lax.stop_gradient(outcome.status)
    # All of it: a program may use any part alone.
    results, first, numbers = check(
        (results, outcome.first, outcome.numbers),
        status,
        activity=Activity(
            results.times[:-1],
            results.neurons[:-1],
            times,
            given.start.time,
            given.end.time,
        ),
        most=settings.max_events,
    )
    times, neurons, pending, states = results
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
        numbers=numbers,
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
