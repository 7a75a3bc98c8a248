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

from .._engine import ALARM, CROSSING, IDLE, JUMPED, PAUSE
from .._flows import AbstractFlow, rounding
from ._arrivals import Window, pick
from ._gauges import Gauge

Column = Float[Array, " neurons"]


class Lanes(NamedTuple):
    """Where each neuron stands; entries of a window are numbered from 0."""

    t: Column
    z: PyTree
    entry: Int[Array, " neurons"]  # the last one that has been applied
    gauges: list[Column]


class Halt(NamedTuple):
    """Where each neuron stops next, and why; a constant for differentiation."""

    entry: Int[Array, " neurons"]  # the last one applied, the window's size if past it
    kind: Int[Array, " neurons"]
    step: Column  # from the entry, or from where it was if that is later

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
    flow, size = layer.flow, window.senders.shape[0]

    def stops(k: Any, t: Any, z: PyTree, end: PyTree, step: Any) -> Any:
        if stop_at is not None:
            return stop_at == k
        assert live is not None
        return live & _eventful(flow, model, t, z, end, step)

    def onward(t: Any, end: PyTree, step: Any) -> PyTree:
        """The same, with the derivative by the length of the way."""
        if stop_at is None:
            return end
        return _moving(end, flow.slope(model, t + step, end), step)

    # First alone, to the next entry; who is past the window stays there.
    inside = lanes.entry < size
    then = pick(window.times, jnp.minimum(lanes.entry + 1, size))
    step = jnp.where(inside, then - lanes.t, 0)
    end = flow.advance(model, lanes.t, lanes.z, lax.stop_gradient(step))
    end = onward(lanes.t, end, step)
    halts = inside & stops(lanes.entry, lanes.t, lanes.z, end, step)
    go = inside & ~halts
    halted = jnp.where(halts, lanes.entry, size)
    pieces = _of_pieces(layer, model, go, lanes.t, lanes.z, end, step)
    gauges = _totals(layer, lanes.gauges, [x[None] for x in pieces])
    z = _where(go, end, lanes.z)

    # Then in step with all others.
    def body(carry: Any, entry: Any) -> Any:
        z, halted = carry
        k, t, step, decay, sender, joined, own_rows = entry
        on = (k > lanes.entry) & ((halted if stop_at is None else stop_at) >= k)
        seen = None if window.seen is None else _where(on, z, _zeros(z))
        z = flow.receive(model, z, k, own_rows, on & (sender >= 0))
        end = onward(t, flow.decayed(model, z, decay), step)
        if stop_at is None:
            halts = on & stops(k, t, z, end, step)
            halts = halts if joined is None else halts & ~joined
            halted = jnp.where(halts, k, halted)
            go = on & ~halts
        else:
            go = on & (stop_at > k)
        piece = (go, t, z, end, step) if layer.gauges else None
        return (_where(go, end, _times_one(z, k)), halted), (seen, piece)

    times = window.times if window.times.ndim > 1 else window.times[:, None]
    steps = times[1:] - times[:-1]
    entries = (
        jnp.arange(size, dtype=jnp.int32),
        times[:-1],
        steps,
        flow.decay(model, lax.stop_gradient(steps)),
        window.senders,
        window.joined,
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
    t = jnp.where(halted == lanes.entry, lanes.t, pick(window.times, halted))
    return Lanes(t, z, halted, gauges), seen


def _eventful(
    flow: AbstractFlow, model: Any, t: Any, z: PyTree, end: PyTree, step: Any
) -> Bool[Array, " neurons"]:
    """Whether a neuron may reach threshold between z and `end`, or wakes up.

    The rate of a gap that has a maximum is a difference of two exponentials: until its
    zero it falls and is convex, and its zero comes before that of its chord. So the gap
    rises by less than half of rate² step / (rate - rate_end).
    """
    gap, rate = flow.gap_rate(model, t, z, flow.slope(model, t, z))
    later = t + step
    gap_end, rate_end = flow.gap_rate(model, later, end, flow.slope(model, later, end))
    ends = jnp.maximum(gap, gap_end)
    turns = (rate > 0) & (rate_end < 0) & (ends < 0)
    fall = jnp.where(turns, 2 * (rate - rate_end), 1)
    # One quotient at the end: XLA does not compute a division again for each of those
    # who use it, but would do so with all else.
    bound = jnp.where(turns, gap * fall + rate * rate * step, ends) / fall
    may = bound >= 0
    alarm = flow.alarm(model, t, z)
    return may if alarm is None else may | (alarm <= later)


def find(
    layer: Layer, model: Any, window: Window, lanes: Lanes, live: Bool[Array, ...]
) -> Halt:
    """What happens to lanes after the entry at which they were halted."""
    flow, size = layer.flow, window.senders.shape[0]
    inside = lanes.entry < size
    until = pick(window.times, jnp.minimum(lanes.entry + 1, size))
    room = jnp.where(inside, until - lanes.t, 0)
    wait = flow.waits(model, lanes.z, room + rounding(lanes.t, until))
    wait = jnp.where(inside & live, wait, jnp.inf)
    alarm = flow.alarm(model, lanes.t, lanes.z)
    rest = jnp.full_like(wait, jnp.inf) if alarm is None else alarm - lanes.t
    first = wait <= rest
    kind = jnp.where(inside, PAUSE, IDLE)
    kind = jnp.where(inside & (rest <= room), ALARM, kind)
    kind = jnp.where((wait < jnp.inf) & first, CROSSING, kind)
    kind = jnp.where(wait <= 0, JUMPED, kind)
    return Halt(lanes.entry, kind.astype(jnp.int32), jnp.minimum(wait, room))


def land(layer: Layer, model: Any, window: Window, lanes: Lanes, halt: Halt) -> Lanes:
    """Lanes after what `halt` says; the place where gradients arise.

    As in the engine's own `land`: the moment of a crossing is a constant and has one
    Newton correction, 0 in value, whose derivative is that of the spike time.
    """
    flow, size = layer.flow, window.senders.shape[0]
    t, z = lanes.t, lanes.z
    until = pick(window.times, jnp.minimum(lanes.entry + 1, size))
    crosses, wakes = halt.kind == CROSSING, halt.kind == ALARM
    step = jnp.where(crosses, halt.step, 0)
    step = jnp.where(halt.kind == PAUSE, until - t, step)
    alarm = flow.alarm(model, t, z)
    if alarm is not None:
        step = jnp.where(wakes, jnp.where(wakes, alarm, t) - t, step)
    end = flow.advance(model, t, z, step)
    slope = flow.slope(model, t + step, end)
    gap, rate = flow.gap_rate(model, t + step, end, slope)
    rate = lax.stop_gradient(rate)
    # A tangential crossing has no derivative; it counts as one that does not move.
    moves = crosses & (rate > jnp.finfo(rate.dtype).tiny ** 0.5)
    newton = jnp.where(moves, -gap / jnp.where(moves, rate, 1), 0)
    newton = newton - lax.stop_gradient(newton)
    step = step + newton
    end = jax.tree.map(lambda x, dx: x + dx * newton, end, slope)
    pieces = _of_pieces(layer, model, True, t, z, end, step)
    gauges = _totals(layer, lanes.gauges, [x[None] for x in pieces])
    end = flow.fire(model, end, halt.fires)
    if alarm is not None:
        end = flow.ring(model, end, wakes)
    return Lanes(t + step, end, lanes.entry, gauges)


def _of_pieces(layer: Layer, model: Any, go: Any, *piece: Any) -> list[Column]:
    """What a piece of the way of those who `go` adds to each gauge."""
    return [
        jnp.where(go, gauge.piece(layer.flow, model, *piece), gauge.nothing)
        for gauge in layer.gauges
    ]


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


def _times_one(z: PyTree, k: Any) -> PyTree:
    """z, but not for the compiler, which cannot know that an entry k is not below 0.

    What stays in its place would be stored around, with a mask, which some processors
    do several times slower than they store all of it.
    """
    return jax.tree.map(lambda x: x * jnp.asarray(1 + (k < 0), x.dtype), z)


def _where(who: Bool[Array, " neurons"], one: PyTree, other: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(who, a, b), one, other)


def _zeros(z: PyTree) -> PyTree:
    return jax.tree.map(jnp.zeros_like, z)
