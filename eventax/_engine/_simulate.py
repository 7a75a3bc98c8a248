"""The loop over events, and its gradient backwards through the same events.

While gradients are wanted, the start of every segment is kept in a history of fixed
length. A simulation longer than that runs in chunks: only the start of each chunk is
kept, the history of the last one serves directly, and earlier ones are run again when
their turn comes. So memory is bounded, and a short simulation runs once.

A chunk that is run again is other code to XLA and may be rounded in another way, and a
solver that rejects one step more takes more steps. So it does not end after as many
segments as it had, but where the next chunk begins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .. import _stack
from .._flows import Clock
from .._largest import largest
from .._once import undifferentiated
from .._varying import varying
from . import _event as ev
from ._iterate import (
    Core,
    Entry,
    Inputs,
    Problem,
    Results,
    counted,
    entry_like,
    iterate,
    observation,
    receivers,
    start,
    store,
)
from ._readout import Numbers
from ._status import NOT_FINITE, OK, QUEUE_FULL, TOO_MANY_STEPS, Activity


class Outcome(NamedTuple):
    """All that is known after a simulation."""

    results: Results
    first: Int[Array, " neurons"]  # slot of a neuron's first spike, max_events if none
    numbers: Numbers  # of the readout
    status: Int[Array, ""]


class History(NamedTuple):
    """What was kept for the way back."""

    entries: Entry  # the segments of the last chunk
    starts: Core  # where each chunk began


class Counts(NamedTuple):
    """How much of the history was used."""

    chunks: Int[Array, ""]  # by the batch
    length: Int[Array, ""]  # entries of the last chunk


class Gradient(NamedTuple):
    """By where the simulation stands, and by what it was given."""

    t: Float[Array, ""]
    z: PyTree
    late: Float[Array, " neurons"] | None  # see `land`
    numbers: Numbers
    params: PyTree
    senders: list[Float[Array, "senders ..."]]
    delays: Float[Array, "senders neurons"] | None
    known_times: Float[Array, " known"]
    spike_times: Float[Array, " spikes"]


def simulate(
    problem: Problem,
    inputs: Inputs,
    chunk_length: int,
    n_chunks: int,
    check: Callable[..., PyTree],
) -> Outcome:
    """Run from t0 to t_end; differentiable in reverse mode.

    Gradients are available over `chunk_length * n_chunks` entries, of which no more
    than `chunk_length + n_chunks` states are held at once. An entry is a segment, or
    all segments up to an event if the problem has a flow of its own for the way back.

    This is the code of one sample. Under `jax.vmap` every loop stays one loop for the
    whole batch, since its predicate is reduced over the batch; samples that are done
    idle.
    """

    @jax.custom_vjp
    def run(inputs: Inputs) -> Outcome:
        def body(carry):
            core, results = carry
            core, entry, _ = iterate(problem, inputs, core)
            return core, store(problem, inputs, results, entry, core)

        core, results = lax.while_loop(
            lambda carry: _any_running(carry[0]), body, start(problem, inputs)
        )
        return Outcome(results, core.first, core.numbers, _verdict(problem, core))

    def forth(inputs: Inputs):
        inputs = undifferentiated(inputs)
        core, results = start(problem, inputs)
        entry = entry_like(problem, core)
        # Who goes again may take some steps more, but has the same events.
        several = n_chunks > 1 and problem.backward is None
        room = chunk_length + (chunk_length // 8 + 8 if several else 0)
        history = History(_stack.room(entry, room), _stack.room(core, n_chunks))
        history = varying(history, core)

        def body(carry):
            core, results, history, counts = carry
            starts = _stack.put(history.starts, counts.chunks, core)
            core, results, entries, length = _run_chunk(
                problem, inputs, core, results, history.entries, chunk_length
            )
            counts = Counts(counts.chunks + 1, length)
            return core, results, History(entries, starts), counts

        def cond(carry):
            core, _, _, counts = carry
            return _any_running(core) & (counts.chunks < n_chunks)

        zero = jnp.zeros((), jnp.int32)
        # Samples that keep events only are not equally far in their entries.
        length = zero if problem.backward is None else 0 * core.known
        carry = (core, results, history, varying(Counts(zero, length), core))
        core, results, history, counts = lax.while_loop(cond, body, carry)
        status = jnp.where(core.running, TOO_MANY_STEPS, _verdict(problem, core))
        # A gradient may need nothing of the outcome: what it does need is checked too.
        known = jnp.where(inputs.known_ids >= 0, inputs.known.time, jnp.inf)
        activity = Activity(
            results.times[:-1],
            results.neurons[:-1],
            known,
            inputs.start.time,
            inputs.end.time,
        )
        counts = check(counts, status, activity=activity, most=problem.max_events)
        outcome = Outcome(results, core.first, core.numbers, status)
        return outcome, (inputs, history, counts)

    def back(residuals, gradient: Outcome):
        inputs, history, counts = residuals
        gradient = undifferentiated(gradient)
        n_used = largest(counts.chunks)

        def body(carry):
            grad, entries, length, lost, chunk = carry

            def again(entries: Entry) -> tuple[Entry, Any, Bool[Array, ""]]:
                core, end = (_stack.at(history.starts, chunk + k) for k in (0, 1))
                room = jax.tree.leaves(entries)[0].shape[0]
                core, _, entries, length = _run_chunk(
                    problem, inputs, core, None, entries, room, end
                )
                return entries, length, lost | core.running

            if n_chunks > 1:
                last = chunk == n_used - 1
                entries, length, lost = lax.cond(
                    last, lambda entries: (entries, length, lost), again, entries
                )
            grad = _pull_chunk(problem, inputs, gradient.results, entries, length, grad)
            return grad, entries, length, lost, chunk - 1

        zeros = jax.tree.map(jnp.zeros_like, inputs)
        grad = Gradient(
            t=zeros.start.time,
            z=zeros.z0,
            late=_nobody_late(problem, inputs),
            numbers=gradient.numbers,
            params=zeros.params,
            senders=zeros.senders,
            delays=zeros.delays,
            known_times=zeros.known.time,
            spike_times=gradient.results.times,
        )
        lost = jnp.zeros_like(inputs.fault, bool)
        grad, lost = varying((grad, lost), inputs, gradient, history)
        carry = (grad, history.entries, counts.length, lost, n_used - 1)
        grad, *_, lost, _ = lax.while_loop(lambda carry: carry[-1] >= 0, body, carry)
        if n_chunks > 1:
            grad = check(grad, jnp.where(lost, TOO_MANY_STEPS, OK))
        model = eqx.combine(inputs.params, problem.static)
        _, start = jax.vjp(lambda z: problem.readout.start(model, z), inputs.z0)
        (by_start,) = start(grad.numbers)
        # None where there is no gradient.
        return (
            Inputs(
                params=grad.params,
                senders=grad.senders,
                delays=grad.delays,
                z0=jax.tree.map(jnp.add, grad.z, by_start),
                known=Clock(grad.known_times, None),  # pyright: ignore[reportArgumentType]
                known_ids=None,  # pyright: ignore[reportArgumentType]
                known_delays=None,
                start=Clock(grad.t, None),  # pyright: ignore[reportArgumentType]
                end=None,  # pyright: ignore[reportArgumentType]
                fault=None,  # pyright: ignore[reportArgumentType]
            ),
        )

    run.defvjp(forth, back)
    return run(varying(inputs, inputs))


def _run_chunk(
    problem: Problem,
    inputs: Inputs,
    core: Core,
    results: Results | None,
    entries: Entry,
    room: int,
    end: Core | None = None,
) -> tuple[Core, Any, Entry, Int[Array, ""]]:
    """Go on until all samples are done, at `end` or have no room for entries left.

    `end` is where the next chunk began: after as many events, and at that time.
    """
    every = problem.backward is None

    def body(carry):
        core, results, entries, k, since = carry
        if end is None:
            new, entry, _ = iterate(problem, inputs, core)
        else:
            never = Clock(
                jnp.full_like(core.quiet, jnp.inf), jnp.zeros_like(core.quiet)
            )
            until = _select(core.passed >= end.passed, end.now, never)
            new, entry, _ = iterate(problem, inputs, core, until)
            there = (new.passed >= end.passed) & ~new.now.before(end.now)
            new = new._replace(running=new.running & ~there)
        kept = True
        if not every:
            # A sample without room waits for the others.
            waits = k >= room
            new = _select(waits, core, new)
            entry, kept = _since(problem, since, entry, new.now, waits)
            since = _select(kept, (new.now, new.z, new.numbers), since)
        if results is not None:
            results = store(problem, inputs, results, entry, new)
        put = _stack.put if every else _put_if_room
        return new, results, put(entries, k, entry), k + kept, since

    def cond(carry):
        core, _, _, k, _ = carry
        return eqxi.unvmap_any(core.running & (k < room))

    # One number for the batch if all samples keep everything.
    k = jnp.zeros((), jnp.int32) if every else 0 * core.known
    k = varying(k, core)
    since = None if every else (core.now, core.z, core.numbers)
    carry = (core, results, entries, k, since)
    core, results, entries, k, _ = lax.while_loop(cond, body, carry)
    return core, results, entries, k


def _since(
    problem: Problem, since: Any, entry: Entry, now: Clock, waits: Bool[Array, ""]
) -> tuple[Entry, Bool[Array, ""]]:
    """The entry from the last event on, and whether it is to be kept."""
    assert problem.backward is not None
    then, z, numbers = since
    event = entry.event
    kind = jnp.where(waits, ev.IDLE, event.kind)
    still = (kind == ev.IDLE) | event.stays
    length = jnp.where(still, 0, then.until(now))
    event = event._replace(kind=kind, route=problem.backward.route(length))
    entry = entry._replace(t=then.time, z=z, event=event, numbers=numbers)
    return entry, kind > ev.PAUSE


def _pull_chunk(
    problem: Problem,
    inputs: Inputs,
    results: Results,
    entries: Entry,
    length: Int[Array, ""],
    grad: Gradient,
) -> Gradient:
    """Back through the entries of a chunk; `results` is the gradient by the results."""

    def body(carry):
        grad, k = carry
        entry = _stack.at(entries, k)
        if problem.backward is not None:
            # Others in the batch may have more entries.
            event = entry.event
            used = k < length
            kind = jnp.where(used, event.kind, ev.IDLE)
            route = jax.tree.map(lambda x: jnp.where(used, x, 0), event.route)
            entry = entry._replace(event=event._replace(kind=kind, route=route))
        return _pull(problem, inputs, results, entry, grad), k - 1

    last = largest(length) - 1
    grad, _ = lax.while_loop(lambda carry: carry[1] >= 0, body, (grad, last))
    return grad


def _pull(
    problem: Problem, inputs: Inputs, results: Results, entry: Entry, grad: Gradient
) -> Gradient:
    """Back through one iteration."""
    event, alive = entry.event, jnp.asarray(problem.alive)
    rows = [leaf[event.sender] for leaf in inputs.senders]
    delays = None if inputs.delays is None else inputs.delays[event.sender]
    reached = receivers(problem, inputs, event.sender, event.delay)
    counts = counted(problem, inputs, entry.known, event)
    flow = problem.backward or problem.flow

    def land(t, z, late, numbers, params, rows, delays, source):
        model = eqx.combine(params, problem.static)
        landed = ev.land(
            flow,
            model,
            rows,
            delays,
            late,
            reached,
            alive,
            t,
            z,
            source,
            event,
            problem.readout,
            numbers,
            counts=counts,
        )
        return landed.time, landed.after, landed.late, landed.numbers

    late = None if grad.late is None else jnp.zeros_like(grad.late)
    start = (entry.t, entry.z, late, entry.numbers)
    given = (*start, inputs.params, rows, delays, event.time)
    _, pull = jax.vjp(land, *given)
    spiked = jnp.where(event.is_spike, grad.spike_times[entry.slot], 0)
    by_state = grad.z
    if problem.n_observations:
        j = observation(problem, entry, inputs.known_ids)
        made = event.kind == ev.OBSERVATION
        by_state = jax.tree.map(
            lambda g, seen: g + jnp.where(made, seen[j], 0), by_state, results.seen
        )
    by_end = (grad.t + spiked, by_state, grad.late, grad.numbers)
    t, z, late, numbers, params, rows, delays, source = pull(by_end)
    known = jnp.where(event.is_known, source, 0)
    new = grad._replace(
        t=t,
        z=z,
        late=late,
        numbers=numbers,
        params=jax.tree.map(jnp.add, grad.params, params),
        senders=[
            leaf.at[event.sender].add(row)
            for leaf, row in zip(grad.senders, rows, strict=True)
        ],
        known_times=grad.known_times.at[entry.known].add(known),
    )
    if grad.delays is None:
        return new
    # The time of a delivery is that of its spike, whose turn is yet to come.
    return new._replace(
        delays=grad.delays.at[event.sender].add(delays),
        spike_times=grad.spike_times.at[event.origin].add(
            jnp.where(event.kind == ev.DELIVERY, source, 0)
        ),
    )


def _nobody_late(problem: Problem, inputs: Inputs) -> Float[Array, " neurons"] | None:
    """0 for each neuron; None where all that is due at one time moves together."""
    model = eqx.combine(inputs.params, problem.static)
    alarms = problem.flow.alarm(model, inputs.z0)
    if alarms is None and inputs.delays is None:
        return None
    return jnp.zeros(problem.alive.shape, inputs.start.time.dtype)


def _verdict(problem: Problem, core: Core) -> Int[Array, ""]:
    """The final status.

    What is not finite in a state stays there, so a look at the end suffices.
    """
    status = core.status
    lost = [~jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(core.z)]
    status = jnp.where((status == OK) & jnp.any(jnp.stack(lost)), NOT_FINITE, status)
    if core.longest is None:
        return status
    # Beyond the room the number is not known: one message says "more than".
    most = max(problem.room - problem.capacity, 0) + 1
    needed = jnp.clip(core.longest - problem.capacity, 0, most)
    return jnp.where((needed > 0) & (status == OK), QUEUE_FULL + needed, status)


def _select(chosen: Bool[Array, ""], one: PyTree, other: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(chosen, a, b), one, other)


def _any_running(core: Core) -> Bool[Array, ""]:
    return eqxi.unvmap_any(core.running)


def _put_if_room(stack: PyTree, k: Int[Array, ""], item: PyTree) -> PyTree:
    return jax.tree.map(lambda x, new: x.at[k].set(new, mode="drop"), stack, item)
