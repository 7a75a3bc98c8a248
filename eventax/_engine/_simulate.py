"""The loop over events, and its gradient backwards through the same events.

While gradients are wanted, the start of every segment is kept in a history of fixed
length. A simulation longer than that runs in chunks: only the start of each chunk is
kept, the history of the last one serves directly, and earlier ones are run again when
their turn comes. So memory is bounded, and a short simulation runs once.
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

from . import _event as ev
from ._iterate import (
    NOT_FINITE,
    OK,
    TOO_MANY_STEPS,
    Core,
    Entry,
    Inputs,
    Problem,
    Results,
    entry_like,
    iterate,
    observation,
    start,
    store,
)


class Outcome(NamedTuple):
    """All that is known after a simulation."""

    results: Results
    first: Int[Array, " neurons"]  # slot of a neuron's first spike, max_events if none
    status: Int[Array, ""]


class History(NamedTuple):
    """What was kept for the way back."""

    entries: Entry  # the segments of the last chunk
    starts: Core  # where each chunk began


class Counts(NamedTuple):
    """Shared by all samples of a batch."""

    chunks: Int[Array, ""]
    length: Int[Array, ""]  # segments in the last chunk


class Gradient(NamedTuple):
    """By where the simulation stands, and by what it was given."""

    t: Float[Array, ""]
    z: PyTree
    params: PyTree
    senders: list[Float[Array, "senders neurons"]]
    known_times: Float[Array, " known"]


def simulate(
    problem: Problem,
    inputs: Inputs,
    chunk_length: int,
    n_chunks: int,
    check: Callable[[PyTree, Int[Array, ""]], PyTree],
) -> Outcome:
    """Run from t0 to t_end; differentiable in reverse mode.

    Gradients are available over `chunk_length * n_chunks` segments, of which no more
    than `chunk_length + n_chunks` states are held at once.

    This is the code of one sample. Under `jax.vmap` every loop stays one loop for the
    whole batch, since its predicate is reduced over the batch; samples that are done
    idle.
    """

    @jax.custom_vjp
    def run(inputs: Inputs) -> Outcome:
        def body(carry):
            core, results = carry
            core, entry, landed = iterate(problem, inputs, core)
            return core, store(problem, results, entry, landed, inputs.known_ids)

        core, results = lax.while_loop(
            lambda carry: _any_running(carry[0]), body, start(problem, inputs)
        )
        return Outcome(results, core.first, _verdict(core))

    def forth(inputs: Inputs):
        core, results = start(problem, inputs)
        history = History(_room(entry_like(core), chunk_length), _room(core, n_chunks))

        def body(carry):
            core, results, history, counts = carry
            starts = _put(history.starts, counts.chunks, core)
            core, results, entries, length = _run_chunk(
                problem, inputs, core, results, history.entries
            )
            counts = Counts(counts.chunks + 1, length)
            return core, results, History(entries, starts), counts

        def cond(carry):
            core, _, _, counts = carry
            return _any_running(core) & (counts.chunks < n_chunks)

        zero = jnp.zeros((), jnp.int32)
        carry = (core, results, history, Counts(zero, zero))
        core, results, history, counts = lax.while_loop(cond, body, carry)
        status = jnp.where(core.running, TOO_MANY_STEPS, _verdict(core))
        # A gradient may need nothing of the outcome: what it does need is checked too.
        counts = check(counts, status)
        return Outcome(results, core.first, status), (inputs, history, counts)

    def back(residuals, gradient: Outcome):
        inputs, history, counts = residuals
        counts = jax.tree.map(eqxi.unvmap_max, counts)

        def body(carry):
            grad, entries, chunk, length = carry

            def again(entries: Entry) -> Entry:
                core = _at(history.starts, chunk)
                return _run_chunk(problem, inputs, core, None, entries)[2]

            if n_chunks > 1:
                last = chunk == counts.chunks - 1
                entries = lax.cond(last, lambda entries: entries, again, entries)
            grad = _pull_chunk(problem, inputs, gradient.results, entries, length, grad)
            full = jnp.asarray(chunk_length, length.dtype)
            return grad, entries, chunk - 1, full

        zeros = jax.tree.map(jnp.zeros_like, inputs)
        grad = Gradient(
            zeros.t0, zeros.z0, zeros.params, zeros.senders, zeros.known_times
        )
        carry = (grad, history.entries, counts.chunks - 1, counts.length)
        grad, *_ = lax.while_loop(lambda carry: carry[2] >= 0, body, carry)
        # None where there is no gradient.
        return (
            Inputs(
                params=grad.params,
                senders=grad.senders,
                z0=grad.z,
                known_times=grad.known_times,
                known_ids=None,  # pyright: ignore[reportArgumentType]
                t0=grad.t,
                t_end=None,  # pyright: ignore[reportArgumentType]
                fault=None,  # pyright: ignore[reportArgumentType]
            ),
        )

    run.defvjp(forth, back)
    return run(inputs)


def _run_chunk(
    problem: Problem,
    inputs: Inputs,
    core: Core,
    results: Results | None,
    entries: Entry,
) -> tuple[Core, Any, Entry, Int[Array, ""]]:
    """Go on until all samples are done or the room for entries is full."""
    room = jax.tree.leaves(entries)[0].shape[0]

    def body(carry):
        core, results, entries, k = carry
        core, entry, landed = iterate(problem, inputs, core)
        if results is not None:
            results = store(problem, results, entry, landed, inputs.known_ids)
        return core, results, _put(entries, k, entry), k + 1

    def cond(carry):
        core, _, _, k = carry
        return _any_running(core) & (k < room)

    zero = jnp.zeros((), jnp.int32)
    return lax.while_loop(cond, body, (core, results, entries, zero))


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
        return _pull(problem, inputs, results, _at(entries, k), grad), k - 1

    grad, _ = lax.while_loop(lambda carry: carry[1] >= 0, body, (grad, length - 1))
    return grad


def _pull(
    problem: Problem, inputs: Inputs, results: Results, entry: Entry, grad: Gradient
) -> Gradient:
    """Back through one iteration."""
    event = entry.event
    rows = [leaf[event.sender] for leaf in inputs.senders]
    known_time = inputs.known_times[entry.known]

    def land(t, z, params, rows, known_time):
        model = eqx.combine(params, problem.static)
        reached = jnp.asarray(problem.wmask)[event.sender]
        landed = ev.land(problem.flow, model, rows, reached, t, z, known_time, event)
        return landed.time, landed.after

    _, pull = jax.vjp(land, entry.t, entry.z, inputs.params, rows, known_time)
    by_time = grad.t + jnp.where(event.is_spike, results.times[entry.slot], 0)
    by_state = grad.z
    if problem.n_observations:
        j = observation(problem, entry, inputs.known_ids)
        made = event.kind == ev.OBSERVATION
        by_state = jax.tree.map(
            lambda g, seen: g + jnp.where(made, seen[j], 0), by_state, results.seen
        )
    t, z, params, rows, known_time = pull((by_time, by_state))
    return Gradient(
        t=t,
        z=z,
        params=jax.tree.map(jnp.add, grad.params, params),
        senders=[
            leaf.at[event.sender].add(row)
            for leaf, row in zip(grad.senders, rows, strict=True)
        ],
        known_times=grad.known_times.at[entry.known].add(known_time),
    )


def _verdict(core: Core) -> Int[Array, ""]:
    """The final status. NaN in a state stays there, so a look at the end suffices."""
    lost = [jnp.any(jnp.isnan(x)) for x in jax.tree.leaves(core.z)]
    lost = (core.status == OK) & jnp.any(jnp.stack(lost))
    return jnp.where(lost, NOT_FINITE, core.status)


def _any_running(core: Core) -> Bool[Array, ""]:
    return eqxi.unvmap_any(core.running)


def _room(tree: PyTree, length: int) -> PyTree:
    return jax.tree.map(lambda x: jnp.zeros((length, *x.shape), x.dtype), tree)


def _put(stack: PyTree, k: Int[Array, ""], item: PyTree) -> PyTree:
    def put(stack: Array, item: Array) -> Array:
        return lax.dynamic_update_index_in_dim(stack, item, k, 0)

    return jax.tree.map(put, stack, item)


def _at(stack: PyTree, k: Int[Array, ""]) -> PyTree:
    return jax.tree.map(
        lambda x: lax.dynamic_index_in_dim(x, k, 0, keepdims=False), stack
    )
