"""A layer without closed form: the general engine simulates it, group by group.

A group of neurons has a clock of its own: it stops only where something happens to one
of them. The layer is taken apart into groups, which run side by side, and their spikes
are put together again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from .._engine import (
    OK,
    TOO_MANY_EVENTS,
    Inputs,
    Problem,
    Settings,
    messages_by_status,
    simulate,
)
from .._flows import AbstractFlow
from ._lockstep import Outcome, Spikes
from ._order import by_time

# Spikes of one neuron for which there is always room, if the network may have so many.
ROOM = 256


def simulate_on_own_clocks(
    settings: Settings,
    flow: AbstractFlow,
    model: Any,
    rows: list[Float[Array, "senders neurons"]],
    times: Float[Array, " spikes"],
    senders: Int[Array, " spikes"],
    delays: Float[Array, "senders neurons"] | None,
    t0: Float[Array, ""],
    t_end: Float[Array, ""],
    observe_at: Float[Array, " observations"],
    fault: Int[Array, ""],
    *,
    once: bool,
    together: bool,
) -> Outcome:
    """Run all neurons of a layer to the end, or to their first spikes with `once`.

    `model` is the population of the layer, which hears `senders`, rows of `rows`, at
    `times`; with `delays` each neuron is a group, otherwise `group_size` chooses. What
    arrives at one time comes before a receiver may fire if it comes `together`. The
    gradient is that of the general engine.
    """
    n_senders, n_neurons = rows[0].shape
    n_known = times.shape[0] + observe_at.shape[0] + 1
    width = 1 if delays is not None else group_size(n_neurons, times.shape[0])
    most = width if once and width == 1 else _room(settings, n_neurons, width)
    join, shared, own = _apart(model, n_neurons, width)
    problem = Problem(
        flow=flow,
        backward=None,
        model=join,
        # The first senders are the neurons themselves, which nobody hears.
        wmask=np.repeat(np.arange(width + n_senders)[:, None] >= width, width, axis=1),
        n_neurons=width,
        max_events=most + n_known + 1,
        max_spikes=most,
        capacity=0,
        room=0,
        n_observations=observe_at.shape[0],
        awaited=np.ones(width, bool) if once else None,
        together=together,
    )
    steps = flow.likely_steps(settings.max_time - settings.t0)
    segments = 2 * (n_known + min(most, ROOM)) + steps
    chunk_length = math.isqrt(segments)
    n_chunks = -(-segments // chunk_length)
    messages = messages_by_status(settings, chunk_length * n_chunks)

    def check(tree: PyTree, status: Int[Array, ""]) -> PyTree:
        # Whether it matters that a neuron fired too often is decided by the network.
        wrong = (status > OK) & (status != TOO_MANY_EVENTS)
        return eqxi.branched_error_if(tree, wrong, status, messages)

    def known(column: Float[Array, " senders"] | None) -> tuple[Array, Array]:
        """Arrivals and observations, in order of time, and one that never comes."""
        arrivals = times if column is None else times + column[senders]
        never = jnp.full((1,), jnp.inf, times.dtype)
        every = jnp.concatenate([arrivals, observe_at, never])
        seen = n_senders + jnp.arange(observe_at.shape[0] + 1, dtype=jnp.int32)
        # Spikes that never come have no sender.
        who = jnp.concatenate([jnp.maximum(senders, 0), seen])
        order = by_time(every, who, n_senders + seen.shape[0])
        who = who[order]
        ids = jnp.where(who < n_senders, width + who, n_senders - 1 - who)
        return every[order], ids

    def run(own: list[Array], rows: list[Array], known_times: Array, known_ids: Array):
        params = shared, own
        group = join(params)
        inputs = Inputs(
            params=params,
            senders=[jnp.pad(leaf, [(width, 0), (0, 0)]) for leaf in rows],
            delays=None,
            z0=flow.enter(group, group.init_state(width)),
            known_times=known_times,
            known_ids=known_ids,
            known_delays=None,
            t0=t0,
            t_end=t_end,
            fault=fault,
        )
        outcome = simulate(problem, inputs, chunk_length, n_chunks, check)
        status = lax.stop_gradient(outcome.status)
        results = outcome.results
        who = results.neurons[:-1]
        fired = jnp.sum(who[:, None] == jnp.arange(width), axis=0, dtype=jnp.int32)
        found = Found(results.times[:-1], who, fired, outcome.first, results.seen)
        return check(found, status), status == TOO_MANY_EVENTS

    if delays is None:
        axis, schedule = None, known(None)
    else:
        axis, schedule = 0, jax.vmap(known, in_axes=1)(delays)
    rows = [leaf.reshape(n_senders, -1, width) for leaf in rows]
    each = jax.vmap(run, in_axes=(0, 1, axis, axis))
    found, full = each(own, rows, *schedule)
    # Neurons are the first axis of a state.
    seen = jax.tree.map(
        lambda x: jnp.swapaxes(x, 0, 1).reshape(x.shape[1], n_neurons, *x.shape[3:]),
        found.seen,
    )
    last = lax.stop_gradient(found.times[:, -1])
    limit = jnp.min(jnp.where(full, last, jnp.inf))
    nothing = jnp.zeros((), bool)
    room = n_neurons if once and width == 1 else settings.max_events + 1
    spikes = _gathered(found, room, limit)
    return Outcome(spikes, seen, [], broken=nothing, full=nothing)


class Found(NamedTuple):
    """What is known of a group of neurons."""

    times: Float[Array, "*groups spikes"]
    who: Int[Array, "*groups spikes"]
    fired: Int[Array, "*groups width"]
    first: Int[Array, "*groups width"]  # slots
    seen: PyTree


def group_size(n_neurons: int, n_arrivals: int) -> int:
    """How many neurons of a layer share a clock: all of them, or none.

    Neurons that share one also stop for each other's spikes. A group alone costs about
    as much as four neurons in a large one, for what the engine has to know of it.
    """
    return 1 if n_neurons > 4 * (n_arrivals + 1) else n_neurons


def _room(settings: Settings, n_neurons: int, width: int) -> int:
    """Spikes that a group may fire: many more than its share."""
    most = settings.max_events
    return min(most, max(ROOM, 8 * width * most // n_neurons))


def _gathered(found: Found, room: int, limit: Float[Array, ""]) -> Spikes:
    """The spikes of all groups in one list, group after group."""
    n_groups, most = found.times.shape
    width = found.fired.shape[1]
    number = jnp.sum(found.fired, axis=1)
    ends = jnp.cumsum(number)
    starts = ends - number
    slots = jnp.arange(room, dtype=jnp.int32)
    group = jnp.searchsorted(ends, slots, side="right").astype(jnp.int32)
    used = group < n_groups
    group = jnp.minimum(group, n_groups - 1)
    place = group, slots - starts[group]
    # What has no room is unknown, and with it all that comes later.
    lost = (jnp.arange(most) < number[:, None]) & (
        starts[:, None] + jnp.arange(most) >= room
    )
    lost_from = jnp.min(jnp.where(lost, lax.stop_gradient(found.times), jnp.inf))
    first = jnp.where(found.fired > 0, starts[:, None] + found.first, room)
    return Spikes(
        times=jnp.append(jnp.where(used, found.times[place], jnp.inf), jnp.inf),
        neurons=jnp.append(jnp.where(used, width * group + found.who[place], -1), -1),
        number=jnp.minimum(ends[-1], room),
        fired=found.fired.reshape(-1),
        first=jnp.minimum(first, room).reshape(-1),
        limit=jnp.minimum(limit, lost_from),
    )


def _apart(
    model: Any, n_neurons: int, width: int
) -> tuple[Callable[[PyTree], Any], PyTree, list[Array]]:
    """A model as (join, shared, own), so that `join((shared, own[i]))` is group i.

    `own` holds the arrays with a value for each neuron, in front, whether trained or
    fixed. Weights are left out: senders have them.
    """
    own, types = [], []

    def take(_: str, x: Any) -> Any:
        grouped = jnp.asarray(x, model.dtype).reshape(*x.shape[:-1], -1, width)
        own.append(jnp.moveaxis(grouped, -2, 0))
        types.append(x.dtype)
        return np.zeros(x.shape, x.dtype)

    def changed(model: Any, change: Callable[[str, Any], Any]) -> Any:
        return model.per_neuron(n_neurons, change, lambda m: changed(m, change))

    hollow = eqx.tree_at(lambda m: m.sender_leaves(), model, replace_fn=lambda _: None)
    shared, static = eqx.partition(changed(hollow, take), eqx.is_array)

    def join(params: PyTree) -> Any:
        shared, own = params
        rest = iter(zip(own, types, strict=True))

        def give(_: str, x: Any) -> Any:
            mine, kind = next(rest)
            return mine.astype(kind)

        return changed(eqx.combine(shared, static), give)

    return join, shared, own
