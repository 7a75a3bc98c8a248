"""Neurons of a layer, each on a clock of its own, on their way through arrivals.

Neurons of one layer do not hear each other. So each of them, a *lane*, goes through the
list of arrivals at its own pace: over segments in which nothing happens to it together
with all others, and by itself through those in which it fires or wakes from a pause.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._engine import (
    ALARM,
    CROSSING,
    IDLE,
    JUMPED,
    PAUSE,
    newton_step,
    without_value,
)
from .._flows import AbstractFlow, Clock, Gauge, rounding
from ._arrivals import Window, pick

Column = Float[Array, " neurons"]


class Lanes(NamedTuple):
    """Where each neuron stands; entries of a window are numbered from 0."""

    now: Clock  # (neurons,)
    z: PyTree
    entry: Int[Array, " neurons"]  # the last one that has been applied
    gauges: list[Column]


class Halt(NamedTuple):
    """Where each neuron stops next, and why; a constant for differentiation."""

    entry: Int[Array, " neurons"]  # the last one applied, the window's size if past it
    kind: Int[Array, " neurons"]
    step: Column  # from where it was

    @property
    def fires(self) -> Bool[Array, " neurons"]:
        return (self.kind == CROSSING) | (self.kind == JUMPED)


class Layer(NamedTuple):
    """What does not change during a simulation and is not differentiated."""

    flow: AbstractFlow
    gauges: tuple[Gauge, ...]


def travel(
    layer: Layer,
    model: Any,
    window: Window,
    rows: list[Float[Array, "entries neurons"]],
    lanes: Lanes,
    live: Bool[Array, " neurons"] | None,
    stop_at: Int[Array, " neurons"] | None = None,
) -> tuple[Lanes, PyTree]:
    """Bring lanes to the entry after which something happens to them.

    That is `stop_at` if it is known, otherwise the first one after which a neuron that
    is `live` may fire or wakes up; the window's size where there is none. Returns also
    the states before the entries that were passed on the way, 0 elsewhere, if the
    window has observations.
    """
    flow, size = layer.flow, window.senders.shape[0] - 1
    start, times = window.times.at(slice(-1)), window.times.at(slice(1, None))
    near = _blur(times.time, window.senders[1:], start.until(times))

    def stops(k: Any, t: Any, z: PyTree, end: PyTree, step: Any, near: Blur) -> Any:
        if stop_at is not None:
            return stop_at == k
        assert live is not None
        return live & _eventful(flow, model, t, z, end, step, near)

    def onward(t: Any, end: PyTree, step: Any) -> PyTree:
        """The same, with the derivative by the length of the way."""
        if stop_at is None:
            return end
        return _moving(end, flow.slope(model, t + step, end), step)

    # First alone, to the next entry; who is past the window stays there.
    t, inside = lanes.now.time, lanes.entry < size
    step, own = _ahead(window, lanes)
    end = flow.advance(model, t, lanes.z, lax.stop_gradient(step))
    end = onward(t, end, step)
    halts = inside & stops(lanes.entry, t, lanes.z, end, step, own)
    go = inside & ~halts
    halted = jnp.where(halts, lanes.entry, size)
    counted = go & _counts(window, lanes)
    pieces = _of_pieces(layer, model, counted, t, lanes.z, end, step)
    gauges = _totals(layer, lanes.gauges, [x[None] for x in pieces])
    z = _where(go, end, lanes.z)

    # Then in step with all others.
    def body(carry: Any, entry: Any) -> Any:
        z, halted = carry
        k, t, step, near, decay, sender, joined, counts, own_rows = entry
        on = (k > lanes.entry) & ((halted if stop_at is None else stop_at) >= k)
        seen = None if window.seen is None else _where(on, z, _zeros(z))
        z = flow.receive(model, z, k, own_rows, on & (sender >= 0))
        end = onward(t, flow.decayed(model, z, decay), step)
        if stop_at is None:
            halts = on & stops(k, t, z, end, step, near)
            halts = halts if joined is None else halts & ~joined
            halted = jnp.where(halts, k, halted)
            go = on & ~halts
        else:
            go = on & (stop_at > k)
        counted = go if counts is None else go & counts
        piece = (counted, t, z, end, step) if layer.gauges else None
        return (_where(go, end, z), halted), (seen, piece)

    single = window.senders.ndim == 1
    column = lambda x: x[:, None] if single else x  # noqa: E731
    steps = column(start.until(times))
    entries = (
        jnp.arange(size, dtype=jnp.int32),
        column(start.time),
        steps,
        jax.tree.map(column, near),
        flow.decay(model, lax.stop_gradient(steps)),
        window.senders[:-1],
        window.joined,
        None if window.counts is None else column(window.counts[1:]),
        rows,
    )
    if stop_at is None:
        (z, halted), (seen, ways) = lax.scan(body, (z, halted), entries)
    else:
        # To go back through a step only its start is kept.
        (z, _), (seen, ways) = lax.scan(jax.checkpoint(body), (z, None), entries)
        halted = stop_at
    if ways is not None:
        # All at once, which is faster than one at a time.
        pieces = jax.vmap(lambda way: _of_pieces(layer, model, *way))(ways)
        gauges = _totals(layer, gauges, pieces)
    still = halted == lanes.entry
    now = _where(still, lanes.now, pick(window.times, halted))
    return Lanes(now, z, halted, gauges), seen


def _counts(window: Window, lanes: Lanes) -> Any:
    """Whether the way to a lane's next entry counts for readouts."""
    if window.counts is None:
        return True
    size = window.senders.shape[0] - 1
    return pick(window.counts, jnp.minimum(lanes.entry + 1, size))


class Blur(NamedTuple):
    """How much later than an entry something may be that comes before it."""

    spike: Any
    alarm: Any


def _blur(t: Any, senders: Any, step: Any) -> Blur:
    """Before entries at t with these senders, a way of length `step` from here.

    As in the general engine: an arrival comes after what rounding cannot tell from it,
    and what the user names by one number after what this number cannot tell apart.
    """
    there = rounding(t)
    # An entry that is reached already waits for nothing that is yet to come.
    spike = jnp.where(step > 0, rounding(step) + jnp.where(senders < 0, there, 0), 0)
    return lax.stop_gradient(Blur(spike, there))


def _ahead(window: Window, lanes: Lanes) -> tuple[Column, Blur]:
    """Length of the way to the next entry, and its blur; 0 for who is past the window.

    A neuron may have come after the entry, within rounding.
    """
    size = window.senders.shape[0] - 1
    inside = lanes.entry < size
    k = jnp.minimum(lanes.entry + 1, size)
    then, sender = pick((window.times, window.senders), k)
    way = jnp.where(inside, lanes.now.until(then), 0)
    step = way + lax.stop_gradient(jnp.maximum(way, 0) - way)
    return step, _blur(then.time, sender, step)


def _eventful(
    flow: AbstractFlow,
    model: Any,
    t: Any,
    z: PyTree,
    end: PyTree,
    step: Any,
    near: Blur,
) -> Bool[Array, " neurons"]:
    """Whether a neuron may reach threshold between z and `end`, or wakes up.

    The rate of a gap that has a maximum is a difference of two exponentials: until its
    zero it falls and is convex, and its zero comes before that of its chord. So the gap
    rises by less than half of rate² step / (rate - rate_end).
    """
    gap, rate = flow.gap_rate(model, t, z, flow.slope(model, t, z))
    later = t + step
    gap_end, rate_end = flow.gap_rate(model, later, end, flow.slope(model, later, end))
    # Within rounding after the end: more than what `find` will go by.
    soon = gap_end + 2 * near.spike * jnp.maximum(rate_end, 0)
    ends = jnp.maximum(gap, soon)
    turns = (rate > 0) & (rate_end < 0) & (ends < 0)
    fall = jnp.where(turns, 2 * (rate - rate_end), 1)
    bound = jnp.where(turns, gap + rate * rate * step / fall, ends)
    may = bound >= 0
    alarm = flow.alarm(model, z)
    return may if alarm is None else may | (alarm <= step + near.alarm)


def find(
    layer: Layer, model: Any, window: Window, lanes: Lanes, live: Bool[Array, ...]
) -> Halt:
    """What happens to lanes after the entry at which they were halted."""
    flow, inside = layer.flow, lanes.entry < window.senders.shape[0] - 1
    room, near = _ahead(window, lanes)
    wait = flow.waits(model, lanes.z, room + near.spike)
    wait = jnp.where(inside & live, wait, jnp.inf)
    alarm = flow.alarm(model, lanes.z)
    rest = jnp.full_like(wait, jnp.inf) if alarm is None else alarm
    first = wait <= rest
    kind = jnp.where(inside, PAUSE, IDLE)
    rings = inside & (rest <= room + near.alarm)
    kind = jnp.where(rings, ALARM, kind)
    kind = jnp.where((wait < jnp.inf) & first, CROSSING, kind)
    kind = jnp.where(wait <= 0, JUMPED, kind)
    step = jnp.where(kind == CROSSING, wait, jnp.where(rings, rest, room))
    # Pauses of those who hear it are over for an arrival.
    step = jnp.where(kind == ALARM, jnp.minimum(rest, room), step)
    return Halt(lanes.entry, kind.astype(jnp.int32), jnp.where(wait <= 0, 0, step))


def land(layer: Layer, model: Any, window: Window, lanes: Lanes, halt: Halt) -> Lanes:
    """Lanes after what `halt` says; the place where gradients arise.

    As in the engine's own `land`: the moment of a crossing is a constant and has one
    `newton_step`.
    """
    flow, (now, z) = layer.flow, lanes[:2]
    t = now.time
    way, _ = _ahead(window, lanes)
    goes, wakes = halt.kind == PAUSE, halt.kind == ALARM
    # Whose length has a derivative by where it ends.
    step = halt.step + jnp.where(goes, without_value(way), 0)
    alarm = flow.alarm(model, z)
    if alarm is not None:
        step = step + jnp.where(wakes, without_value(jnp.where(wakes, alarm, 0)), 0)
    end = flow.advance(model, t, z, step)
    slope = flow.slope(model, t + step, end)
    gap, rate = flow.gap_rate(model, t + step, end, slope)
    newton = newton_step(halt.kind == CROSSING, gap, rate)
    step = step + newton
    end = jax.tree.map(lambda x, dx: x + dx * newton, end, slope)
    pieces = _of_pieces(layer, model, _counts(window, lanes), t, z, end, step)
    gauges = _totals(layer, lanes.gauges, [x[None] for x in pieces])
    end = flow.fire(model, end, halt.fires)
    if alarm is not None:
        end = flow.ring(model, end, wakes)
    size = window.senders.shape[0] - 1
    there = pick(window.times, jnp.minimum(lanes.entry + 1, size))
    # Exactly there, lest a rest of the way be left.
    arrives = goes & (halt.step > 0)
    now = _where(arrives, there, now.later(step))
    return Lanes(now, end, lanes.entry, gauges)


def _of_pieces(layer: Layer, model: Any, go: Any, *piece: Any) -> list[Column]:
    """What a piece of the way of those who `go`, and its start, add to each gauge."""
    _, z, *_ = piece

    def number(gauge: Gauge) -> Column:
        start = gauge.point(layer.flow, model, z)
        return gauge.add(start, gauge.piece(layer.flow, model, *piece))

    return [jnp.where(go, number(gauge), gauge.nothing) for gauge in layer.gauges]


def _totals(
    layer: Layer, before: list[Column], pieces: list[Float[Array, "pieces neurons"]]
) -> list[Column]:
    """The gauges after some pieces."""
    return [
        gauge.total(jnp.concatenate([value[None], more]))
        for gauge, value, more in zip(layer.gauges, before, pieces, strict=True)
    ]


@jax.custom_jvp
def _moving(end: PyTree, slope: PyTree, step: Any) -> PyTree:
    """`end`, with the derivative `slope` by the time `step` at the end of which it is.

    One product instead of a derivative by all that the step's length decides.
    """
    return end


@_moving.defjvp
def _moving_jvp(primals: Any, tangents: Any) -> Any:
    end, slope, _ = primals
    by_end, _, by_step = tangents
    return end, jax.tree.map(lambda x, rate: x + rate * by_step, by_end, slope)


def _where(who: Bool[Array, " neurons"], one: PyTree, other: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(who, a, b), one, other)


def _zeros(z: PyTree) -> PyTree:
    return jax.tree.map(jnp.zeros_like, z)
