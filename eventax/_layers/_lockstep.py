"""A layer in closed form, window by window through its arrivals."""

from __future__ import annotations

from typing import Any

import equinox.internal as eqxi
import jax
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from .._flows import Clock
from .._varying import varying
from ._back import History, Memory, Notes, Outcome, no_history, pull_back, room_for
from ._derivative import Operation
from ._rounds import Given, Progress, Task, begin, run_stretch, unfinished


def simulate_layer(task: Task, given: Given) -> Outcome:
    """Run all neurons of a layer to the end; differentiable in reverse mode.

    The code is that of one sample; under `jax.vmap` every loop stays one loop for the
    whole batch.
    """
    given = varying(given, given)

    def whole(weights: list[Array], inputs: Any, fixed: Any) -> Given:
        params, z0, times = inputs
        rest = fixed.times.rest
        return Given(params, weights, z0, fixed._replace(times=Clock(times, rest)))

    def run(*args: Any) -> list[Array]:
        return jax.tree.leaves(_run(task, whole(*args)))

    def forth(*args: Any) -> tuple[list[Array], Memory, Notes]:
        *rest, memory, block = args
        outcome, history = _forth(task, whole(*rest), memory, block)
        return jax.tree.leaves(outcome), history.memory, history.notes

    def pull(*args: Any) -> tuple[list[Array], Any, Memory]:
        *rest, memory, block, notes, by, summed = args
        # Whole numbers have no cotangent.
        by = iter(by)
        leaves = [
            next(by) if jnp.issubdtype(x.dtype, jnp.inexact) else None for x in shapes
        ]
        outcome = jax.tree.unflatten(form, leaves)
        history = History.of(memory, block, notes)
        return pull_back(task, whole(*rest), history, outcome, summed)

    def work(weights: list[Array], inputs: Any, fixed: Any) -> Array:
        return fixed.length

    def memory(n_blocks: int) -> Memory:
        return jax.eval_shape(lambda: room_for(task, given, n_blocks))

    shapes, form = jax.tree.flatten(jax.eval_shape(lambda: _run(task, given)))
    lanes = given.senders[0].shape[1]
    operation = Operation(run, shapes, forth, memory, pull, work, lanes)
    times = given.arrivals.times
    inputs = (given.params, given.z0, times.time)
    fixed = given.arrivals._replace(times=times._replace(time=None))
    return jax.tree.unflatten(form, operation(given.senders, inputs, fixed))


def _run(task: Task, given: Given) -> Outcome:
    """Without a gradient."""

    def body(progress: Progress) -> Progress:
        return run_stretch(task, given, progress)[0]

    def cond(progress: Progress) -> Bool[Array, ""]:
        return eqxi.unvmap_any(unfinished(task, given, progress))

    return _outcome(lax.while_loop(cond, body, begin(task, given)))


def _forth(
    task: Task, given: Given, memory: Memory, block: Any
) -> tuple[Outcome, History]:
    """The same, and what the way back needs."""

    def body(carry: Any) -> Any:
        progress, history = carry
        history = history.put_start(progress)
        first = history.notes.n_kept
        progress, rounds, n = run_stretch(task, given, progress, history.rounds, first)
        return progress, history.put_rounds(rounds, n)

    def cond(carry: Any) -> Bool[Array, ""]:
        return eqxi.unvmap_any(unfinished(task, given, carry[0]))

    carry = (begin(task, given), no_history(task, given, memory, block))
    progress, history = lax.while_loop(cond, body, carry)
    return _outcome(progress), history


def _outcome(progress: Progress) -> Outcome:
    lanes = progress.lanes
    lost = [~jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(lanes.z)]
    broken = jnp.any(jnp.stack(lost))
    _, _, tally, spikes, seen = progress
    return Outcome(tally, spikes, seen, lanes.gauges, broken)
