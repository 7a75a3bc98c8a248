"""A layer in closed form, window by window through its arrivals."""

from __future__ import annotations

from typing import Any

import equinox.internal as eqxi
import jax
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from .._flows import Clock
from ._back import History, Outcome, no_history, pull_back
from ._rounds import Given, Progress, Task, begin, run_stretch, unfinished
from ._samples import Sample


def simulate_layer(task: Task, given: Given) -> Outcome:
    """Run all neurons of a layer to the end; differentiable in reverse mode."""
    times = given.arrivals.times
    fixed = given.arrivals._replace(times=times._replace(time=None))
    inputs = (given.params, given.z0, times.time)
    flat, tree = jax.tree.flatten((given.senders, inputs, fixed))
    forms: dict[str, Any] = {}  # of what is returned flat

    def whole(arrays: Any) -> Given:
        weights, (params, z0, times), fixed = jax.tree.unflatten(tree, arrays)
        rest = fixed.times.rest
        return Given(params, weights, z0, fixed._replace(times=Clock(times, rest)))

    def run(*arrays: Array) -> list[Array]:
        return jax.tree.leaves(_run(task, whole(arrays)))

    def forth(*arrays: Array) -> tuple[list[Array], list[Array]]:
        outcome, history = _forth(task, whole(arrays))
        results, forms["outcome"] = jax.tree.flatten(outcome)
        kept, forms["history"] = jax.tree.flatten(history)
        return results, kept

    def pull(arrays: Any, kept: Any, by: Any, summed: bool) -> list[Array]:
        # Whole numbers have no cotangent.
        by_place = dict(zip(operation.reads, by, strict=True))
        leaves = [by_place.get(k) for k in range(len(operation.results))]
        outcome = jax.tree.unflatten(forms["outcome"], leaves)
        history = jax.tree.unflatten(forms["history"], kept)
        return jax.tree.leaves(pull_back(task, whole(arrays), history, outcome, summed))

    n_weights, n_inputs = len(given.senders), len(jax.tree.leaves(inputs))
    operation = Sample(run, forth, pull, n_weights, n_inputs, flat)
    return jax.tree.unflatten(forms["outcome"], operation(*flat))


def _run(task: Task, given: Given) -> Outcome:
    """Without a gradient."""

    def body(progress: Progress) -> Progress:
        return run_stretch(task, given, progress)[0]

    def cond(progress: Progress) -> Bool[Array, ""]:
        return eqxi.unvmap_any(unfinished(task, given, progress))

    return _outcome(lax.while_loop(cond, body, begin(task, given)))


def _forth(task: Task, given: Given) -> tuple[Outcome, History]:
    """The same, and what the way back needs."""

    def body(carry: Any) -> Any:
        progress, history = carry
        history = history.put_start(progress)
        first = history.notes.n_kept
        progress, rounds, n = run_stretch(task, given, progress, history.rounds, first)
        return progress, history.put_rounds(rounds, n)

    def cond(carry: Any) -> Bool[Array, ""]:
        return eqxi.unvmap_any(unfinished(task, given, carry[0]))

    carry = (begin(task, given), no_history(task, given))
    progress, history = lax.while_loop(cond, body, carry)
    return _outcome(progress), history


def _outcome(progress: Progress) -> Outcome:
    lanes = progress.lanes
    lost = [~jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(lanes.z)]
    broken = jnp.any(jnp.stack(lost))
    _, _, tally, spikes, seen = progress
    return Outcome(tally, spikes, seen, lanes.gauges, broken)
