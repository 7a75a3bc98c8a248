"""A network's questions, answered by the native core."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._engine import Settings, checked, faults, messages_by_status
from .._engine._status import OK, Counts, queue_messages
from .._flows import Clock, Events
from .._operation import apply
from ._models import Population, populations, with_states
from ._operation import Spec

# As in native/sample.h and native/meter.h.
FIRST, TRAINS, RECORD, STATES, READING = range(5)
INTEGRAL, HIGHEST = 1, 2


class Ask(NamedTuple):
    """What is asked of a simulation."""

    question: int
    outputs: np.ndarray
    max_spikes: int = 1
    reading: int = 0
    rate: float = 0.0  # of an integral's weight


class Delays(NamedTuple):
    """Delays that are in force, not negative; None where there are none."""

    synaptic: Float[Array, "senders neurons"] | None
    axonal: Float[Array, " senders"] | None


class Answer(NamedTuple):
    """What is asked for; the rest is empty."""

    times: Array
    neurons: Array
    pending: Array
    states: Array
    readouts: Array


def ask_core(
    settings: Settings,
    model: Any,
    inputs: Events,
    delays: Delays,
    ask: Ask,
    *,
    counts_deliveries: bool,
    t_end: Clock | None = None,
    observe_at: Clock | None = None,
) -> Answer:
    """Simulate `model` from t0 to `t_end`, default the longest time allowed.

    Observations of a reading are the start and the end of its window, which is `t_end`.
    Raises what the other engine raises, in the same words.
    """
    times = inputs.times.time
    dtype, n_neurons = times.dtype, settings.wmask.shape[1]
    if t_end is None:
        t_end = Clock.of(settings.max_time, dtype)
    if observe_at is None:
        observe_at = Clock.of(np.zeros(0), dtype)
    seen_at = observe_at.time
    window = ask.question == READING and seen_at.shape[0] > 0
    fault = faults(settings, inputs.spikes, seen_at, t_end.time, *delays, window=window)
    z = settings.flow.enter(model, model.init_state(n_neurons))
    parts = populations(model, n_neurons, z)
    arguments = [
        # A sample at fault has no events, and no time.
        jnp.where(fault == OK, times, jnp.inf),
        inputs.channels,
        jnp.where(fault == OK, t_end.time, settings.t0),
        jnp.where(fault == OK, seen_at, settings.t0),
        _or_nothing(delays.synaptic, 2, dtype),
        _or_nothing(delays.axonal, 1, dtype),
    ]
    for part in parts:
        arguments += [part.weights, part.bias, *part.taus, part.start]
    arguments += [settings.wmask, ask.outputs.astype(np.int32)]
    for part in parts:
        rest = np.zeros((0,), dtype) if part.rest is None else part.rest
        arguments += [part.neurons, part.fixed, rest]
    arguments += [inputs.times.rest, t_end.rest, observe_at.rest]
    spec = _spec(settings, parts, seen_at.shape[0], ask, dtype, counts_deliveries)
    status, *found = apply(spec, arguments)
    code = jnp.where(fault > OK, fault, status[0])
    messages = messages_by_status(settings)
    if counts_deliveries and (delays.synaptic is not None or delays.axonal is not None):
        # One message for each place that the queue is short of.
        more = queue_messages(settings)
        short = jnp.clip(status[3] - settings.capacity, 0, len(more))
        code = jnp.where((code == OK) & (short > 0), len(messages) - 1 + short, code)
        messages = messages + more
    bits = jax.lax.bitcast_convert_type(status[5], jnp.float32)
    counts = Counts(
        last=bits,
        spikes=status[2],
        arrivals=status[4],
        neurons=status[6:9],
        counts=status[9:12],
        inputs=times,
        start=jnp.asarray(settings.t0, dtype),
        end=t_end.time,
    )
    most = settings.max_events
    return Answer(*checked(found, code, messages, counts, most))


def observed(
    settings: Settings, model: Any, states: Float[Array, "observations neurons 2"]
) -> Float[Array, "observations neurons channels"]:
    """What users see of states."""
    n_neurons = settings.wmask.shape[1]
    z = settings.flow.enter(model, model.init_state(n_neurons))

    def show(numbers: Float[Array, "neurons 2"]) -> Array:
        return model.observe(settings.flow.leave(model, with_states(model, z, numbers)))

    return jax.vmap(show)(states)


def _or_nothing(x: Array | None, ndim: int, dtype: Any) -> Array:
    return jnp.zeros((0,) * ndim, dtype) if x is None else x


def _spec(
    settings: Settings,
    parts: list[Population],
    n_observations: int,
    ask: Ask,
    dtype: np.dtype,
    counts_deliveries: bool,
) -> Spec:
    n_senders, n_neurons = settings.wmask.shape
    room = settings.max_events
    ints = [
        n_neurons,
        n_senders - n_neurons,
        0,  # inputs come with their channels
        room,
        ask.question,
        ask.reading,
        ask.max_spikes,
        len(parts),
        counts_deliveries,
        False,
    ]
    for part in parts:
        ints += [
            part.kind,
            part.neurons.size,
            part.trains,
            np.size(part.taus[0]) > 1 or part.neurons.size == 1,
            part.pauses,
            part.first.flags,
            part.then.flags,
            len(part.fixed),
            part.rest is not None,
        ]
    n_out = ask.outputs.size
    records, trains = ask.question == RECORD, ask.question in (FIRST, TRAINS)
    times = (room,) if records else (n_out if trains else 0, ask.max_spikes)
    told = [
        ((12,), np.int32),
        (times, dtype),
        ((room if records else 0,), np.int32),
        ((room if records else 0,), np.int32),
        ((n_observations if ask.question == STATES else 0, n_neurons, 2), dtype),
        ((n_out if ask.question == READING else 0,), dtype),
    ]
    wakes = room if any(part.pauses for part in parts) else 0
    history = [
        ((room, 10), np.int32),
        ((wakes, 8), np.int32),
        ((n_neurons, 2), np.int32),
    ]
    return Spec(
        dtype=np.dtype(dtype),
        ints=tuple(int(k) for k in ints),
        reals=(settings.t0, ask.rate, float(jnp.finfo(dtype).eps)),
        linear=(0, 3, 4, 5, *range(6, 6 + 5 * len(parts))),
        results=tuple((shape, np.dtype(kind)) for shape, kind in told),
        history=tuple((shape, np.dtype(kind)) for shape, kind in history),
        reads=(1, 4, 5),
    )
