"""Spikes under way: those that have yet to arrive at some neuron.

One entry is one spike, not one synapse: it holds the delay of its next arrival, and the
next one after that is looked up in the sender's row of delays when its turn comes.
Entries fill a table from the front, and the first arrival of each of its rows is kept
beside it, so that finding the next arrival and changing an entry cost the square root
of the capacity.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._flows import Clock


class Pending(NamedTuple):
    """A spike under way, or many of them as a table."""

    since: Clock  # when it was fired; inf for an empty place
    delay: Float[Array, "*table"]  # of its next arrival
    sender: Int[Array, "*table"]
    slot: Int[Array, "*table"]  # number of the spike

    @property
    def arrival(self) -> Clock:
        return self.since.later(self.delay)


class Queue(NamedTuple):
    table: Pending  # (rows, width)
    heads: Clock  # (rows,) the earliest arrival in each row, and of
    head_senders: Int[Array, " rows"]  # those at that time the lowest sender
    length: Int[Array, ""]


class Next(NamedTuple):
    """The earliest arrival and its place."""

    spike: Pending
    place: Int[Array, ""]


def empty(capacity: int, dtype: jnp.dtype) -> Queue:
    """Room for `capacity` spikes."""
    width = max(math.isqrt(capacity), 1)
    shape = (-(-capacity // width), width)
    none = jnp.zeros(shape, jnp.int32)
    zero = jnp.zeros(shape, dtype)
    never = Clock(jnp.full(shape, jnp.inf, dtype), zero)
    table = Pending(never, zero, none, none)
    return Queue(table, never.at((slice(None), 0)), none[:, 0], none[0, 0])


def first(queue: Queue) -> Next:
    """The next arrival, the lowest sender's of several at one time."""
    width = queue.table.delay.shape[1]
    row = _earliest(queue.heads, queue.head_senders)
    entries = jax.tree.map(lambda x: x[row], queue.table)
    column = _earliest(entries.arrival, entries.sender)
    spike = jax.tree.map(lambda x: x[column], entries)
    return Next(spike, row * width + column)


def update(
    queue: Queue,
    arrived: Next,
    delivered: Bool[Array, ""],
    sent: Bool[Array, ""],
    spike: Pending,
) -> Queue:
    """The queue after `arrived` was delivered, or a neuron sent a spike, or neither.

    `spike` is what follows: the same spike with its next arrival, or the new one. One
    that will not arrive at all (since = inf) takes no place.
    """
    width = queue.table.delay.shape[1]
    stays = jnp.isfinite(spike.since.time)
    ends, joins = delivered & ~stays, sent & stays
    last = jnp.maximum(queue.length - 1, 0)
    # The last entry fills the gap that another one leaves.
    moved = jax.tree.map(lambda x: x[last // width, last % width], queue.table)
    follows = delivered | sent
    here = jax.tree.map(
        lambda new, old, end: jnp.where(ends, end, jnp.where(follows, new, old)),
        spike,
        arrived.spike,
        moved,
    )
    queue = _write(queue, jnp.where(sent, queue.length, arrived.place), here)
    left = jax.tree.map(lambda x: x[last // width, last % width], queue.table)
    since = left.since._replace(time=jnp.where(ends, jnp.inf, left.since.time))
    left = left._replace(since=since)
    queue = _write(queue, last, left)
    return queue._replace(length=queue.length + joins - ends)


def _write(queue: Queue, place: Int[Array, ""], spike: Pending) -> Queue:
    width = queue.table.delay.shape[1]
    row, column = place // width, place % width
    table = jax.tree.map(
        lambda x, new: x.at[row, column].set(new, mode="drop"), queue.table, spike
    )
    entries = jax.tree.map(lambda x: x[row], table)
    arrivals = entries.arrival
    head = _earliest(arrivals, entries.sender)
    return queue._replace(
        table=table,
        heads=jax.tree.map(
            lambda x, new: x.at[row].set(new[head], mode="drop"), queue.heads, arrivals
        ),
        head_senders=queue.head_senders.at[row].set(entries.sender[head], mode="drop"),
    )


def _earliest(times: Clock, senders: Int[Array, " k"]) -> Int[Array, ""]:
    """The earliest, of several at one time the lowest sender."""
    first = times.time == jnp.min(times.time)
    rests = jnp.where(first, times.rest, jnp.inf)
    first = first & (rests == jnp.min(rests))
    return jnp.argmin(jnp.where(first, senders, jnp.iinfo(senders.dtype).max))
