"""The way back through a layer's simulation: its gradient.

A simulation is a sequence of *stretches*: a stretch is a window, or some rounds of one
if there are many. The rounds of the first ones and of the last one are kept, as room
allows, and of the others the starts; their rounds are run again when their turn comes.
A stretch whose start found no room is reached from an earlier one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox.internal as eqxi
import jax
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._largest import of_any
from .._stack import at, put, room
from ._lanes import Lanes, land, travel
from ._rounds import (
    ROUNDS,
    Given,
    Progress,
    Spikes,
    Tally,
    Task,
    a_round,
    at_start,
    begin,
    load,
    run_stretch,
)
from ._samples import add, add_in_batch

Column = Float[Array, " neurons"]

ALL = 2**31 - 1
# Lanes that are kept for the starts of stretches that are not the first of a window.
ROOM_FOR_STARTS = 4096
# Lanes that are kept for rounds, and at most how many rounds per window. Not more than
# are of use, as the room is filled with zeros at every call.
ROOM_FOR_ROUNDS = 16384
ROUNDS_PER_WINDOW = 2


class Outcome(NamedTuple):
    """All that is known of a layer after a simulation."""

    tally: Tally
    spikes: Spikes
    seen: PyTree  # states at the observation times, with a scrap entry
    gauges: list[Column]
    broken: Bool[Array, ""]  # a state became infinite or NaN


class Start(NamedTuple):
    """Where a stretch began."""

    lanes: Lanes
    tally: Tally

    @classmethod
    def of(cls, progress: Progress) -> Start:
        return cls(progress.lanes, progress.tally)


class Notes(NamedTuple):
    """What samples that go in step share."""

    before: Int[Array, " windows_and_end"]  # stretches before each window
    last: Int[Array, ""]  # window
    stretch: Int[Array, " rounds"]  # to which a round belongs, -1 if it is none
    n_kept: Int[Array, ""]  # rounds


class History(NamedTuple):
    """Of a simulation, what is needed to go back through it.

    On the stack of starts there is a slot for the start of every window, followed by
    some for its further stretches, and a last one that is scrap. Behind the rounds that
    are kept there is room for those of one more stretch.
    """

    starts: PyTree
    rounds: PyTree
    notes: Notes

    def slot(self, window: Any, number: Any) -> tuple[Int[Array, ""], Int[Array, ""]]:
        """Of a stretch, the nearest start before it, and how many stretches between.

        `number` counts the window's stretches.
        """
        before = self.notes.before
        n_windows = before.shape[0] - 1
        n_more = _length(self.starts) - n_windows - 1
        used = before[window] - window
        kept = jnp.minimum(number, jnp.maximum(n_more - used, 0))
        slot = jnp.where(kept == 0, window, n_windows + used + kept - 1)
        return slot, number - kept

    def put_start(self, progress: Progress) -> History:
        """With the next stretch's start, in the scrap slot where there is no other."""
        window, before = progress.window, self.notes.before
        known = before[window + 1] - before[window]
        count = jnp.where(window > self.notes.last, 0, known)
        slot, missing = self.slot(window, count)
        scrap = _length(self.starts) - 1
        slot = jnp.where(missing > 0, scrap, slot)
        starts = put(self.starts, slot, Start.of(progress))
        before = before.at[window + 1].set(before[window] + count + 1)
        notes = self.notes._replace(before=before, last=window)
        return self._replace(starts=starts, notes=notes)

    def put_rounds(self, rounds: PyTree, n: Int[Array, ""]) -> History:
        """With the `n` rounds of the latest stretch, which are on the stack."""
        before, last, stretch, n_kept = self.notes
        places = jnp.arange(stretch.shape[0], dtype=jnp.int32)
        end = n_kept + n
        new = jnp.where(places < end, before[last + 1] - 1, -1)
        stretch = jnp.where(places < n_kept, stretch, new)
        fits = end <= places.shape[0] - ROUNDS
        n_kept = jnp.where(fits, end, n_kept)
        notes = self.notes._replace(stretch=stretch, n_kept=n_kept)
        return self._replace(rounds=rounds, notes=notes)

    def rounds_of(self, s: Any) -> tuple[Int[Array, ""], Int[Array, ""]]:
        """Begin and end of a stretch's rounds on the stack; equal if not there."""
        own = self.notes.stretch == s
        n = jnp.sum(own, dtype=jnp.int32)
        first = jnp.where(n > 0, jnp.argmax(own).astype(jnp.int32), self.notes.n_kept)
        return first, first + n


class Gradient(NamedTuple):
    """By where lanes stand, and by what the layer was given."""

    t: Column
    z: PyTree
    gauges: list[Column]
    params: PyTree
    senders: list[Float[Array, "senders neurons"]]
    times: Float[Array, "entries ..."]


def no_history(task: Task, given: Given) -> History:
    """Before the first stretch."""
    lanes = begin(task, given).lanes
    n, n_windows = lanes.entry.shape[0], given.n_windows(task)
    n_more = min(n_windows * task.sizes.spikes // ROUNDS, ROOM_FOR_STARTS // n)
    # What the last window needs is there in any case.
    n_kept = min((n_windows - 1) * ROUNDS_PER_WINDOW, ROOM_FOR_ROUNDS // n)
    zero = jnp.zeros((), jnp.int32)
    notes = Notes(
        before=jnp.zeros((n_windows + 1,), jnp.int32),
        last=zero - 1,
        stretch=jnp.full((n_kept + ROUNDS,), -1, jnp.int32),
        n_kept=zero,
    )
    return History(
        room(Start.of(begin(task, given)), n_windows + n_more + 1),
        room(a_round(lanes), n_kept + ROUNDS),
        notes,
    )


def pull_back(
    task: Task, given: Given, history: History, by: Outcome, summed: bool
) -> tuple[list[Array], PyTree]:
    """Cotangents of the senders' rows and of (params, z0, times), from the outcome's.

    If `summed`, those of rows may be added up over a batch.
    """
    history = history._replace(notes=jax.tree.map(of_any, history.notes))
    asked = _last_asked(by)
    before = history.notes.before

    def body(carry: Any) -> Any:
        grad, rounds, window, s = carry
        slot, between = history.slot(window, s - before[window])
        start = at(history.starts, slot)
        first, end = history.rounds_of(s)

        def again(carry: Any) -> Any:
            progress, rounds, _, times = carry
            progress, rounds, n = run_stretch(task, given, progress, rounds, first)
            return progress, rounds, first + n, times - 1

        progress = Progress(window, *start, spikes=None, seen=None)
        times = jnp.where(end > first, 0, between + 1)
        carry = (progress, rounds, end, times)
        _, rounds, end, _ = lax.while_loop(lambda carry: carry[-1] > 0, again, carry)
        kept = (rounds, first, end)
        grad = _through(task, given, window, kept, grad, by, asked, summed)
        s = s - 1
        return grad, rounds, window - jnp.where(s < before[window], 1, 0), s

    zeros = jax.tree.map(jnp.zeros_like, given)
    t = jnp.zeros_like(by.gauges[0] if by.gauges else given.senders[0][0])
    # Of the weights' batch, if they have one.
    senders = [jnp.where(jnp.zeros_like(w, bool), w, 0) for w in given.senders]
    times = zeros.arrivals.times.time
    grad = Gradient(t, zeros.z0, by.gauges, zeros.params, senders, times)

    def unasked(window: Any) -> Any:
        """Whether nothing is asked of a window and of those after it."""
        start = at(history.starts, window).tally.number
        return (window >= 0) & ~eqxi.unvmap_any(asked >= start)

    window = lax.while_loop(unasked, lambda window: window - 1, history.notes.last)
    carry = (grad, history.rounds, window, before[window + 1] - 1)
    grad, *_ = lax.while_loop(lambda carry: carry[-1] >= 0, body, carry)
    times = grad.times
    times = times.at[0].add(jnp.sum(grad.t) if times.ndim == 1 else grad.t)
    _, marks = jax.vjp(lambda z0: at_start(task, given, z0), given.z0)
    (by_z0,) = marks(grad.gauges)
    z0 = jax.tree.map(jnp.add, grad.z, by_z0)
    return grad.senders, (grad.params, z0, times)


def _through(
    task: Task,
    given: Given,
    number: Any,
    kept: tuple[PyTree, Int[Array, ""], Int[Array, ""]],
    grad: Gradient,
    by: Outcome,
    asked: Int[Array, ""],
    summed: bool,
) -> Gradient:
    """Back through the rounds of a stretch, in the window of that number.

    `kept` are a stack of rounds, and where on it those of the stretch begin and end.
    """
    layer = task.layer
    rounds, first, end = kept
    window, rows = load(task, given, number)

    def body(carry: Any) -> Any:
        t, z, gauges, params, by_rows, by_times, k = carry
        lanes, halt, slot = at(rounds, k)

        def again(params: Any, rows: Any, times: Any, t: Any, z: Any, gauges: Any):
            model = task.model(params)
            here = window._replace(times=window.times._replace(time=times))
            now = lanes.now._replace(time=t)
            start = lanes._replace(now=now, z=z, gauges=gauges)
            there, passed = travel(layer, model, here, rows, start, None, halt.entry)
            new = land(layer, model, here, there, halt)
            return new.now.time, new.z, new.gauges, passed

        start = (lanes.now.time, lanes.z, lanes.gauges)
        _, transposed = jax.vjp(again, given.params, rows, window.times.time, *start)
        t = t + jnp.where(halt.fires, by.spikes.times.time[slot], 0)
        seen = None
        if window.seen is not None:
            seen = _unsee(by.seen, window.seen)
        more = transposed((t, z, gauges, seen))
        sums = jax.tree.map(jnp.add, (params, by_rows, by_times), more[:3])
        return *more[3:], *sums, k - 1

    def nothing(k: Any) -> Any:
        """Whether nothing is asked of a round and of those after it."""
        entry = at(rounds, k)
        wanted = entry.halt.fires & (entry.slot <= asked)
        return (k >= first) & ~eqxi.unvmap_any(later | jnp.any(wanted))

    moved = [jnp.any(x != 0) for x in jax.tree.leaves((grad.t, grad.z))]
    later = jnp.any(jnp.stack(moved)) | (asked == ALL)
    k = lax.while_loop(nothing, lambda k: k - 1, end - 1)
    zero = jax.tree.map(jnp.zeros_like, (rows, window.times.time))
    carry = (grad.t, grad.z, grad.gauges, grad.params, *zero, k)
    carry = lax.while_loop(lambda carry: carry[-1] >= first, body, carry)
    t, z, gauges, params, by_rows, by_times, _ = carry
    start = number * task.sizes.window
    old = lax.dynamic_slice_in_dim(grad.times, start, by_times.shape[0])
    times = lax.dynamic_update_slice_in_dim(grad.times, old + by_times, start, 0)
    places = jnp.maximum(window.senders[:-1], 0)
    pairs = zip(grad.senders, by_rows, strict=True)
    # Rows of nobody are 0.
    add_rows = add_in_batch if summed else add
    senders = [add_rows(total, places, rows) for total, rows in pairs]
    return Gradient(t, z, gauges, params, senders, times)


def _last_asked(by: Outcome) -> Int[Array, ""]:
    """The last slot whose spike time has a cotangent; `ALL` if more is asked for."""
    if by.gauges or any(x.shape[0] > 1 for x in jax.tree.leaves(by.seen)):
        return jnp.asarray(ALL, jnp.int32)
    times = by.spikes.times.time[:-1]
    slots = jnp.arange(times.shape[0], dtype=jnp.int32)
    return jnp.max(slots, where=times != 0, initial=-1)


def _unsee(by: PyTree, which: Int[Array, "entries ..."]) -> PyTree:
    """The transpose of `_see` in `_rounds`, without what is no observation."""

    def take(by: Array) -> Array:
        there = jnp.maximum(which, 0)
        if which.ndim == 1:
            return jnp.where((which >= 0)[:, None], by[there], 0)
        return jnp.where(which >= 0, jnp.take_along_axis(by, there, axis=0), 0)

    return jax.tree.map(take, by)


def _length(stack: PyTree) -> int:
    return jax.tree.leaves(stack)[0].shape[0]
