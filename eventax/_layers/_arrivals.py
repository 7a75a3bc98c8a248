"""What arrives at a layer, in order of time."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._flows import Clock


class Arrivals(NamedTuple):
    """Spikes that arrive at a layer, and times at which it is to be observed.

    The first entry is the start, where nothing arrives; entries that are not used are
    at the end. Senders are rows of the layer's weights, -1 where nobody sends. With
    synaptic delays each neuron has an order of its own, a further axis.
    """

    times: Clock  # (entries_and_next, ...)
    senders: Int[Array, "entries_and_next ..."]
    seen: Int[Array, "entries ..."] | None  # number of the observation, or -1
    joined: Bool[Array, " entries"] | None  # the next one comes before anything else
    counts: Bool[Array, "entries_and_next ..."] | None  # the way there, for readouts
    length: Int[Array, ""]  # entries up to the last one used, of any neuron


class Window(NamedTuple):
    """Some consecutive entries, and the next one's time and sender."""

    times: Clock  # (entries_and_next, ...)
    senders: Int[Array, "entries_and_next ..."]
    seen: Int[Array, "entries ..."] | None
    joined: Bool[Array, " entries"] | None
    counts: Bool[Array, "entries_and_next ..."] | None


def in_order(
    times: Clock,
    senders: Int[Array, " spikes"],
    observe_at: Clock,
    delays: Float[Array, "senders neurons"] | None,
    start: Clock,
    end: Clock,
    window: int,
    together: bool,
    bounds: bool = False,
) -> Arrivals:
    """Arrivals of spikes that are in order of time, and of the sender at one time.

    They are padded to whole windows and to one entry more. What arrives at one time
    comes before an observation then, and all of it comes before a receiver may fire if
    it comes `together`: neurons that fire at one time do so in order of their index,
    and receivers have higher ones. If observations are the `bounds` of a window of
    readouts, only the ways in it count.
    """
    if delays is not None:
        times = times.at((slice(None), None)).later(delays[senders])
        senders = jnp.broadcast_to(senders[:, None], times.time.shape)
    used = ~end.before(times)
    senders = jnp.where(used, senders, -1)
    times = jax.tree.map(lambda x, last: jnp.where(used, x, last), times, end)
    own = times.time.shape[1:]  # axis of the neurons, where each has its own order

    def like(column: Any, dtype: Any) -> Array:
        """The same for each neuron, where each has an order of its own."""
        column = jnp.asarray(column, dtype)
        column = column.reshape(-1, *[1] * len(own))
        return jnp.broadcast_to(column, (column.shape[0], *own))

    n_seen, seen = observe_at.time.shape[0], None
    if n_seen:
        numbers = like(np.arange(n_seen), jnp.int32)
        seen = jnp.concatenate([jnp.full(senders.shape, -1, jnp.int32), numbers])
        used = jnp.concatenate([used, like(np.ones(n_seen), bool)])
        times = jax.tree.map(
            lambda x, more: jnp.concatenate([x, like(more, x.dtype)]), times, observe_at
        )
        nobody = like(np.full(n_seen, -1), senders.dtype)
        senders = jnp.concatenate([senders, nobody])
    if n_seen or delays is not None:
        keys = jnp.where(used, lax.stop_gradient(times.time), jnp.inf)
        order = jnp.lexsort((times.rest, keys), axis=0)
        times, senders = jax.tree.map(
            lambda x: jnp.take_along_axis(x, order, 0), (times, senders)
        )
        seen = None if seen is None else jnp.take_along_axis(seen, order, 0)
    length = 1 + jnp.max(jnp.sum(used, axis=0, dtype=jnp.int32))
    n_rest = -(1 + senders.shape[0]) % window

    def framed(x: Array, start: Any, end: Any, extra: int = 0) -> Array:
        rest = jnp.broadcast_to(jnp.asarray(end, x.dtype), (n_rest + extra,))
        return jnp.concatenate([like(start, x.dtype), x, like(rest, x.dtype)])

    times = jax.tree.map(lambda x, a, b: framed(x, a, b, extra=1), times, start, end)
    senders = framed(senders, -1, -1, extra=1)
    joined = None
    if together:
        same = (times.time[1:] == times.time[:-1]) & (times.rest[1:] == times.rest[:-1])
        joined = same & (senders[:-1] >= 0) & (senders[1:] >= 0)
    seen = None if seen is None else framed(seen, -1, -1)
    counts = None
    if bounds:
        assert seen is not None
        started, ended = (jnp.cumsum(seen == k, axis=0) > 0 for k in range(2))
        # From the entry on, up to the next one.
        counts = jnp.concatenate([jnp.zeros_like(started[:1]), started & ~ended])
    return Arrivals(
        times=times,
        senders=senders,
        seen=seen,
        joined=joined,
        counts=counts,
        length=length,
    )


def window_at(arrivals: Arrivals, number: Int[Array, ""], size: int) -> Window:
    """The window of that number."""
    start = number * size

    def cut(x: Array, length: int) -> Array:
        return lax.dynamic_slice_in_dim(x, start, length, axis=0)

    return Window(
        jax.tree.map(lambda x: cut(x, size + 1), arrivals.times),
        cut(arrivals.senders, size + 1),
        None if arrivals.seen is None else cut(arrivals.seen, size),
        None if arrivals.joined is None else cut(arrivals.joined, size),
        None if arrivals.counts is None else cut(arrivals.counts, size + 1),
    )


def rows_of(
    leaves: list[Float[Array, "senders neurons"]], senders: Int[Array, "entries ..."]
) -> list[Float[Array, "entries neurons"]]:
    """What each entry brings to each neuron."""
    there = jnp.maximum(senders, 0)
    if senders.ndim == 1:
        return [leaf[there] for leaf in leaves]
    return [jnp.take_along_axis(leaf, there, axis=0) for leaf in leaves]


def pick(entries: PyTree, k: Int[Array, " neurons"]) -> Any:
    """Entry k, for each neuron its own."""

    def own(x: Array) -> Array:
        return x[k] if x.ndim == 1 else jnp.take_along_axis(x, k[None], axis=0)[0]

    return jax.tree.map(own, entries)
