"""What arrives at a layer, in order of time."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


class Arrivals(NamedTuple):
    """Spikes that arrive at a layer, and times at which it is to be observed.

    The first entry is the start, where nothing arrives; entries that are not used are
    at the end. Senders are rows of the layer's weights, -1 where nobody sends. With
    synaptic delays each neuron has an order of its own, a further axis.
    """

    times: Float[Array, "entries ..."]
    senders: Int[Array, "entries ..."]
    seen: Int[Array, "entries ..."] | None  # number of the observation, or -1
    joined: Bool[Array, " entries"] | None  # the next one comes before anything else
    length: Int[Array, ""]  # entries up to the last one used, of any neuron


class Window(NamedTuple):
    """Some consecutive entries, with the time at which the next one comes."""

    times: Float[Array, "entries_and_next ..."]
    senders: Int[Array, "entries ..."]
    seen: Int[Array, "entries ..."] | None
    joined: Bool[Array, " entries"] | None


def in_order(
    times: Float[Array, " spikes"],
    senders: Int[Array, " spikes"],
    observe_at: Float[Array, " observations"],
    delays: Float[Array, "senders neurons"] | None,
    t0: Float[Array, ""],
    t_end: Float[Array, ""],
    window: int,
    together: bool,
) -> Arrivals:
    """Arrivals of spikes that are in order of time, and of the sender at one time.

    They are padded to whole windows and to one entry more. What arrives at one time
    comes before an observation then, and all of it comes before a receiver may fire if
    it comes `together`: neurons that fire at one time do so in order of their index,
    and receivers have higher ones.
    """
    if delays is not None:
        times = times[:, None] + delays[senders]
        senders = jnp.broadcast_to(senders[:, None], times.shape)
    used = times <= t_end
    senders = jnp.where(used, senders, -1)
    times = jnp.where(used, times, t_end)

    def like(column: Any, dtype: Any) -> Array:
        """The same for each neuron, where each has an order of its own."""
        column = jnp.asarray(column, dtype)
        column = column.reshape(-1, *[1] * (times.ndim - 1))
        return jnp.broadcast_to(column, (column.shape[0], *times.shape[1:]))

    n_seen, seen = observe_at.shape[0], None
    if n_seen:
        numbers = like(np.arange(n_seen), jnp.int32)
        seen = jnp.concatenate([jnp.full(senders.shape, -1, jnp.int32), numbers])
        used = jnp.concatenate([used, like(np.ones(n_seen), bool)])
        times = jnp.concatenate([times, like(observe_at, times.dtype)])
        nobody = like(np.full(n_seen, -1), senders.dtype)
        senders = jnp.concatenate([senders, nobody])
    if n_seen or delays is not None:
        keys = jnp.where(used, lax.stop_gradient(times), jnp.inf)
        order = jnp.argsort(keys, axis=0, stable=True)
        times, senders = (jnp.take_along_axis(x, order, 0) for x in (times, senders))
        seen = None if seen is None else jnp.take_along_axis(seen, order, 0)
    length = 1 + jnp.max(jnp.sum(used, axis=0, dtype=jnp.int32))
    n_rest = -(1 + times.shape[0]) % window

    def framed(x: Array, start: Any, end: Any, extra: int = 0) -> Array:
        rest = jnp.broadcast_to(jnp.asarray(end, x.dtype), (n_rest + extra,))
        return jnp.concatenate([like(start, x.dtype), x, like(rest, x.dtype)])

    times = framed(times, t0, t_end, extra=1)
    senders = framed(senders, -1, -1)
    joined = None
    if together:
        then = jnp.concatenate([senders[1:], senders[-1:]])
        joined = (times[1:] == times[:-1]) & (senders >= 0) & (then >= 0)
    return Arrivals(
        times=times,
        senders=senders,
        seen=None if seen is None else framed(seen, -1, -1),
        joined=joined,
        length=length,
    )


def window_at(arrivals: Arrivals, number: Int[Array, ""], size: int) -> Window:
    """The window of that number."""
    start = number * size

    def cut(x: Array, length: int) -> Array:
        return lax.dynamic_slice_in_dim(x, start, length, axis=0)

    return Window(
        cut(arrivals.times, size + 1),
        cut(arrivals.senders, size),
        None if arrivals.seen is None else cut(arrivals.seen, size),
        None if arrivals.joined is None else cut(arrivals.joined, size),
    )


def rows_of(
    leaves: list[Float[Array, "senders neurons"]], senders: Int[Array, "entries ..."]
) -> list[Float[Array, "entries neurons"]]:
    """What each entry brings to each neuron."""
    there = jnp.maximum(senders, 0)
    if senders.ndim == 1:
        # One after the other, so that in a batch the entries stay the first axis, along
        # which they are gone through; otherwise each pass would begin with a transpose.
        return lax.map(lambda k: [leaf[k] for leaf in leaves], there)
    return [jnp.take_along_axis(leaf, there, axis=0) for leaf in leaves]


def pick(times: Float[Array, "entries ..."], k: Int[Array, " neurons"]) -> Array:
    """The time of entry k, for each neuron its own."""
    if times.ndim == 1:
        return times[k]
    return jnp.take_along_axis(times, k[None], axis=0)[0]
