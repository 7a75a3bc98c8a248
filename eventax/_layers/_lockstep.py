"""A layer in closed form, window by window through its arrivals, and its gradient.

In a window lanes go on in rounds: all travel to where something happens to them, and
land there; so many rounds as the busiest neuron needs. A *stretch* is what is kept for
the way back: one window, or some rounds of it if there are many. Only the start of each
stretch is kept, and its rounds are run again when their turn comes; those of the last
one serve directly.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .. import _stack
from .._engine import IDLE
from .._flows import AbstractFlow
from ._arrivals import Arrivals, Window, rows_of, window_at
from ._derivative import Operation, add, add_in_batch
from ._gauges import Gauge
from ._lanes import Halt, Lanes, Layer, find, land, travel

Column = Float[Array, " neurons"]

ROUNDS = 32  # of a stretch, at most
ALL = 2**31 - 1


class Sizes(NamedTuple):
    """Static numbers of a simulation."""

    window: int  # entries of a window
    room: int  # spikes that are kept
    spikes: int  # that one neuron may fire
    observations: int
    once: bool  # whether only first spikes are asked for


class Given(NamedTuple):
    """What a layer is a differentiable function of, and integer companions."""

    params: PyTree  # arrays of the model, sender leaves left out
    senders: list[Float[Array, "senders neurons"]]
    z0: PyTree
    arrivals: Arrivals


class Spikes(NamedTuple):
    """Spikes in the order in which they were found; the last slot is scrap."""

    times: Float[Array, " slots"]  # inf where there is none
    neurons: Int[Array, " slots"]
    number: Int[Array, ""]
    fired: Int[Array, " neurons"]  # how often each neuron fired
    first: Int[Array, " neurons"]  # slot of its first spike
    limit: Float[Array, ""]  # spikes are complete up to this time


class Outcome(NamedTuple):
    """All that is known of a layer after a simulation."""

    spikes: Spikes
    seen: PyTree  # states at the observation times, with a scrap entry
    gauges: list[Column]
    broken: Bool[Array, ""]  # a state became NaN, or a limit was reached
    full: Bool[Array, ""]  # too many stretches for a gradient


class Entry(NamedTuple):
    """A round as it has to be remembered to go back through it."""

    lanes: Lanes
    halt: Halt
    slot: Int[Array, " neurons"]  # of the spike


class Start(NamedTuple):
    """Where a stretch began."""

    lanes: Lanes
    number: Int[Array, ""]
    fired: Int[Array, " neurons"]
    limit: Float[Array, ""]


class Gradient(NamedTuple):
    """By where lanes stand, and by what the layer was given."""

    t: Column
    z: PyTree
    gauges: list[Column]
    params: PyTree
    senders: list[Float[Array, "senders neurons"]]
    times: Float[Array, "entries ..."]


def simulate_layer(
    flow: AbstractFlow,
    static: Any,
    given: Given,
    gauges: tuple[Gauge, ...],
    sizes: Sizes,
) -> Outcome:
    """Run all neurons of a layer to the end; differentiable in reverse mode.

    The code is that of one sample; under `jax.vmap` every loop stays one loop for the
    whole batch.
    """
    layer = Layer(flow, gauges)
    n_entries = given.arrivals.senders.shape[0]
    # A neuron's spikes bound the rounds of a sample; a batch may need more than any
    # sample of it, for which a margin is made.
    n_starts = 2 * (n_entries // sizes.window) + sizes.spikes // ROUNDS + 2

    def at_start(given: Given) -> tuple[Lanes, Spikes, PyTree]:
        model = eqx.combine(given.params, static)
        first = given.arrivals.times[0]
        n = given.senders[0].shape[1]
        t = jnp.broadcast_to(first, (n,))
        marks = [gauge.start(flow, model, given.z0) for gauge in gauges]
        lanes = Lanes(t, given.z0, jnp.full((n,), -1, jnp.int32), marks)
        zero = jnp.zeros((n,), jnp.int32)
        spikes = Spikes(
            times=jnp.full((sizes.room + 1,), jnp.inf, t.dtype),
            neurons=jnp.full((sizes.room + 1,), -1, jnp.int32),
            number=jnp.zeros((), jnp.int32),
            fired=zero,
            first=zero + sizes.room,
            limit=jnp.full((), jnp.inf, t.dtype),
        )
        seen = jax.tree.map(
            lambda x: jnp.zeros((sizes.observations + 1, *x.shape), x.dtype), given.z0
        )
        return lanes, spikes, seen

    def load(given: Given, number: Any) -> tuple[Window, list[Array]]:
        window = window_at(given.arrivals, number, sizes.window)
        return window, rows_of(given.senders, window.senders)

    def more(given: Given, spikes: Spikes, number: Any) -> Bool[Array, ""]:
        """Whether a sample has not come to its end before this window."""
        on = number * sizes.window < given.arrivals.length
        return on & ~jnp.all(spikes.fired > 0) if sizes.once else on

    def stretch(
        given: Given,
        number: Any,
        lanes: Lanes,
        spikes: Spikes,
        seen: Any,
        stack: Any,
        busy: Any,
    ) -> tuple[Lanes, Spikes, Any, Any, Any, Any]:
        """Rounds in one window, until it is done or no room for them is left."""
        model = eqx.combine(given.params, static)
        window, rows = load(given, number)

        def body(carry: Any) -> Any:
            lanes, spikes, seen, stack, k, _ = carry
            live = lanes.t <= spikes.limit
            live = live & (spikes.fired < (1 if sizes.once else sizes.spikes + 1))
            there, passed = travel(layer, model, window, rows, lanes, live)
            busy = eqxi.unvmap_any(there.entry < sizes.window)

            def happens(there: Lanes, spikes: Spikes) -> Any:
                halt = find(layer, model, window, there, live)
                new = land(layer, model, window, there, halt)
                return new, halt, *_append(spikes, new.t, halt.fires)

            def nothing(there: Lanes, spikes: Spikes) -> Any:
                halt = nowhere(there)
                return there, halt, spikes, jnp.full_like(halt.kind, sizes.room)

            new, halt, spikes, slot = lax.cond(busy, happens, nothing, there, spikes)
            if seen is not None and window.seen is not None:
                seen = _see(seen, window.seen, passed)
            if stack is not None:
                stack = _stack.put(stack, k, Entry(lanes, halt, slot))
            if sizes.once:
                # Where it goes after that does not matter.
                entry = jnp.where(spikes.fired > 0, sizes.window, new.entry)
                new = new._replace(entry=entry)
            return new, spikes, seen, stack, k + 1, busy

        def cond(carry: Any) -> Any:
            return carry[-1] & (carry[-2] < ROUNDS)

        k = jnp.zeros((), jnp.int32)
        carry = (lanes, spikes, seen, stack, k, busy)
        return lax.while_loop(cond, body, carry)

    def next_window(
        lanes: Lanes, spikes: Spikes, number: Any, busy: Any
    ) -> tuple[Lanes, Any]:
        """On to the next one where nobody is left in this one."""
        stays = busy | (spikes.fired > 0) if sizes.once else busy
        entry = jnp.where(stays, lanes.entry, -1)
        return lanes._replace(entry=entry), number + jnp.where(busy, 0, 1)

    def outcome(lanes: Lanes, spikes: Spikes, seen: Any, full: Any) -> Outcome:
        lost = [jnp.any(jnp.isnan(x)) for x in jax.tree.leaves(lanes.z)]
        broken = jnp.any(jnp.stack(lost))
        return Outcome(spikes, seen, lanes.gauges, broken, full)

    def run(given: Given) -> Outcome:
        def body(carry: Any) -> Any:
            lanes, spikes, seen, number = carry
            lanes, spikes, seen, _, _, busy = stretch(
                given, number, lanes, spikes, seen, None, jnp.asarray(True)
            )
            lanes, number = next_window(lanes, spikes, number, busy)
            return lanes, spikes, seen, number

        def cond(carry: Any) -> Any:
            return eqxi.unvmap_any(more(given, carry[1], carry[-1]))

        carry = (*at_start(given), jnp.zeros((), jnp.int32))
        lanes, spikes, seen, _ = lax.while_loop(cond, body, carry)
        # One value for each sample of a batch, as when gradients are wanted.
        return outcome(lanes, spikes, seen, spikes.number < 0)

    def nowhere(lanes: Lanes) -> Halt:
        return Halt(lanes.entry, jnp.full_like(lanes.entry, IDLE), 0 * lanes.t)

    def entry_like(lanes: Lanes) -> Entry:
        return Entry(lanes, nowhere(lanes), lanes.entry)

    def forth(given: Given) -> Any:
        lanes, spikes, seen = at_start(given)
        stack = _stack.room(entry_like(lanes), ROUNDS)
        begin = Start(lanes, spikes.number, spikes.fired, spikes.limit)
        starts = _stack.room(begin, n_starts)
        numbers = jnp.zeros((n_starts,), jnp.int32)
        zero = jnp.zeros((), jnp.int32)

        def body(carry: Any) -> Any:
            lanes, spikes, seen, stack, _, starts, numbers, count, number = carry
            begin = Start(lanes, spikes.number, spikes.fired, spikes.limit)
            starts = _stack.put(starts, count, begin)
            numbers = numbers.at[count].set(number)
            lanes, spikes, seen, stack, k, busy = stretch(
                given, number, lanes, spikes, seen, stack, jnp.asarray(True)
            )
            lanes, number = next_window(lanes, spikes, number, busy)
            return lanes, spikes, seen, stack, k, starts, numbers, count + 1, number

        def cond(carry: Any) -> Any:
            on = eqxi.unvmap_any(more(given, carry[1], carry[-1]))
            return on & (carry[-2] < n_starts)

        carry = (lanes, spikes, seen, stack, zero, starts, numbers, zero, zero)
        carry = lax.while_loop(cond, body, carry)
        lanes, spikes, seen, stack, k, starts, numbers, count, number = carry
        full = more(given, spikes, number)
        history = (stack, k, starts, numbers, count)
        return outcome(lanes, spikes, seen, full), history

    def back(given: Given, history: Any, by: Outcome, summed: bool) -> Any:
        stack, k, starts, numbers, count = history
        asked = _last_asked(by)

        def body(carry: Any) -> Any:
            grad, stack, s = carry
            number, begin = numbers[s], _stack.at(starts, s)
            _, spikes, _ = at_start(given)
            spikes = spikes._replace(
                number=begin.number, fired=begin.fired, limit=begin.limit
            )
            # Rounds of the last stretch are there: it is gone through in no rounds.
            known = s == count - 1
            *_, stack, again, _ = stretch(
                given, number, begin.lanes, spikes, None, stack, ~known
            )
            rounds = jnp.where(known, k, again)
            grad = pull(given, number, stack, rounds, grad, by, asked, summed)
            return grad, stack, s - 1

        zeros = jax.tree.map(jnp.zeros_like, given)
        t = jnp.zeros_like(by.gauges[0] if by.gauges else given.senders[0][0])
        # Of the weights' batch, if they have one.
        senders = [jnp.where(jnp.zeros_like(w, bool), w, 0) for w in given.senders]
        grad = Gradient(
            t, zeros.z0, by.gauges, zeros.params, senders, zeros.arrivals.times
        )
        # Stretches at the end of which nothing is asked have no derivative.
        s = lax.while_loop(
            lambda s: (s >= 0) & ~eqxi.unvmap_any(asked >= _stack.at(starts, s).number),
            lambda s: s - 1,
            count - 1,
        )
        carry = (grad, stack, s)
        grad, *_ = lax.while_loop(lambda carry: carry[-1] >= 0, body, carry)
        times = grad.times
        times = times.at[0].add(jnp.sum(grad.t) if times.ndim == 1 else grad.t)
        model = lambda z0: [  # noqa: E731
            g.start(flow, eqx.combine(given.params, static), z0) for g in gauges
        ]
        _, start = jax.vjp(model, given.z0)
        (by_z0,) = start(grad.gauges)
        z0 = jax.tree.map(jnp.add, grad.z, by_z0)
        return grad.senders, (grad.params, z0, times)

    def pull(
        given: Given,
        number: Any,
        stack: Any,
        k: Any,
        grad: Gradient,
        by: Outcome,
        asked: Int[Array, ""],
        summed: bool,
    ) -> Gradient:
        """Back through the rounds of a stretch."""
        window, rows = load(given, number)

        def body(carry: Any) -> Any:
            t, z, gauges, params, by_rows, by_times, k = carry
            lanes, halt, slot = _stack.at(stack, k)

            def again(params: Any, rows: Any, times: Any, t: Any, z: Any, gauges: Any):
                model = eqx.combine(params, static)
                here = window._replace(times=times)
                start = lanes._replace(t=t, z=z, gauges=gauges)
                there, passed = travel(
                    layer, model, here, rows, start, None, halt.entry
                )
                new = land(layer, model, here, there, halt)
                return new.t, new.z, new.gauges, passed

            start = (lanes.t, lanes.z, lanes.gauges)
            _, transposed = jax.vjp(again, given.params, rows, window.times, *start)
            t = t + jnp.where(halt.fires, by.spikes.times[slot], 0)
            seen = None
            if window.seen is not None:
                seen = _unsee(by.seen, window.seen)
            more = transposed((t, z, gauges, seen))
            sums = jax.tree.map(jnp.add, (params, by_rows, by_times), more[:3])
            return *more[3:], *sums, k - 1

        def nothing(k: Any) -> Any:
            """Whether nothing is asked of a round and of those after it."""
            entry = _stack.at(stack, k)
            wanted = entry.halt.fires & (entry.slot <= asked)
            return (k >= 0) & ~eqxi.unvmap_any(later | jnp.any(wanted))

        moved = [jnp.any(x != 0) for x in jax.tree.leaves((grad.t, grad.z))]
        later = jnp.any(jnp.stack(moved)) | (asked == ALL)
        k = lax.while_loop(nothing, lambda k: k - 1, k - 1)
        zero = jax.tree.map(jnp.zeros_like, (rows, window.times))
        carry = (grad.t, grad.z, grad.gauges, grad.params, *zero, k)
        carry = lax.while_loop(lambda carry: carry[-1] >= 0, body, carry)
        t, z, gauges, params, by_rows, by_times, _ = carry
        start = number * sizes.window
        old = lax.dynamic_slice_in_dim(grad.times, start, sizes.window + 1)
        times = lax.dynamic_update_slice_in_dim(grad.times, old + by_times, start, 0)
        places = jnp.maximum(window.senders, 0)
        pairs = zip(grad.senders, by_rows, strict=True)
        # Rows of nobody are 0.
        put = add_in_batch if summed else add
        senders = [put(total, places, rows) for total, rows in pairs]
        return Gradient(t, z, gauges, params, senders, times)

    def whole(weights: list[Array], inputs: Any, fixed: Any) -> Given:
        params, z0, times = inputs
        return Given(params, weights, z0, fixed._replace(times=times))

    def flat(outcome: Outcome) -> list[Array]:
        return jax.tree.leaves(outcome)

    def unflat(leaves: list[Any]) -> Outcome:
        return jax.tree.unflatten(form, leaves)

    def with_history(*args: Any) -> Any:
        outcome, history = forth(whole(*args))
        return flat(outcome), history

    def pulled(weights: Any, inputs: Any, fixed: Any, history: Any, by: Any, s: bool):
        # Whole numbers have no cotangent.
        by = iter(by)
        leaves = [
            next(by) if jnp.issubdtype(x.dtype, jnp.inexact) else None for x in shapes
        ]
        given = whole(weights, inputs, fixed)
        return back(given, history, unflat(leaves), s)

    shape = jax.eval_shape(run, given)
    shapes, form = jax.tree.flatten(shape)
    operation = Operation(
        lambda *args: flat(run(whole(*args))),
        shapes,
        with_history,
        (0, None, 0, None, None),
        pulled,
    )
    inputs = (given.params, given.z0, given.arrivals.times)
    fixed = given.arrivals._replace(times=None)
    return unflat(operation(given.senders, inputs, fixed))


def _last_asked(by: Outcome) -> Int[Array, ""]:
    """The last slot whose spike time has a cotangent; `ALL` if more is asked for."""
    if by.gauges or any(x.shape[0] > 1 for x in jax.tree.leaves(by.seen)):
        return jnp.asarray(ALL, jnp.int32)
    slots = jnp.arange(by.spikes.times.shape[0] - 1, dtype=jnp.int32)
    return jnp.max(slots, where=by.spikes.times[:-1] != 0, initial=-1)


def _append(
    spikes: Spikes, t: Column, fires: Bool[Array, " neurons"]
) -> tuple[Spikes, Int[Array, " neurons"]]:
    """Write spikes to the next slots, and return which ones."""
    room = spikes.times.shape[0] - 1
    slot = spikes.number + jnp.cumsum(fires, dtype=jnp.int32) - 1
    lost = fires & (slot >= room)
    slot = jnp.where(fires & ~lost, slot, room)
    neurons = jnp.arange(t.shape[0], dtype=jnp.int32)
    # The scrap slot is written by many; nobody reads it.
    return (
        Spikes(
            times=spikes.times.at[slot].set(t),
            neurons=spikes.neurons.at[slot].set(neurons),
            number=jnp.minimum(spikes.number + jnp.sum(fires, dtype=jnp.int32), room),
            fired=spikes.fired + fires,
            first=jnp.where(fires & (spikes.fired == 0), slot, spikes.first),
            limit=jnp.minimum(spikes.limit, jnp.min(jnp.where(lost, t, jnp.inf))),
        ),
        slot,
    )


def _see(seen: PyTree, which: Int[Array, "entries ..."], passed: PyTree) -> PyTree:
    """Add states that were passed to the observations that they are."""

    def add(seen: Array, passed: Array) -> Array:
        there = jnp.where(which >= 0, which, seen.shape[0] - 1)
        if which.ndim == 1:
            return seen.at[there].add(passed)
        return seen.at[there, jnp.arange(passed.shape[1])].add(passed)

    return jax.tree.map(add, seen, passed)


def _unsee(by: PyTree, which: Int[Array, "entries ..."]) -> PyTree:
    """The transpose of `_see`, without what is no observation."""

    def take(by: Array) -> Array:
        there = jnp.maximum(which, 0)
        if which.ndim == 1:
            return jnp.where((which >= 0)[:, None], by[there], 0)
        return jnp.where(which >= 0, jnp.take_along_axis(by, there, axis=0), 0)

    return jax.tree.map(take, by)
