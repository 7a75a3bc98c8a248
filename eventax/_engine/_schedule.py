"""Events known before the simulation starts: input spikes and observation times."""

from __future__ import annotations

from typing import NamedTuple

import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._flows import Clock, Events


class Schedule(NamedTuple):
    """Known events in time order, ending with one that never comes.

    `ids` is the sender (neurons first, then inputs) of an input spike, and -1 - j for
    observation j. At one time inputs come in ascending order of the sender, then
    observations. `delays` tells which neurons an input spike reaches then.
    """

    times: Clock  # (known,)
    ids: Int[Array, " known"]
    delays: Float[Array, " known"] | None


def schedule(
    inputs: Events,
    observe_at: Clock,
    wmask: np.ndarray,
    delays: Float[Array, "senders neurons"] | None,
) -> Schedule:
    """Sort input spikes and observations into one list.

    Inputs that no neuron hears never come: they cannot matter. With delays an input
    spike stands in the list once for each of the different delays of its receivers.
    """
    n_senders, n_neurons = wmask.shape
    heard = jnp.asarray(wmask.any(axis=1))
    senders = n_neurons + inputs.channels[:, None]
    arrivals, waits = inputs.times.at((slice(None), None)), None
    times = jnp.where(heard[senders], arrivals.time, jnp.inf)
    arrivals = arrivals._replace(time=times)
    if delays is not None:
        waits = _distinct(delays[n_neurons:], wmask[n_neurons:])[inputs.channels]
        arrivals = arrivals.later(waits)
    senders = jnp.broadcast_to(senders, arrivals.time.shape).reshape(-1)
    n_seen = observe_at.time.shape[0]
    ids = [senders, -1 - np.arange(n_seen), np.array([senders.size])]
    # What comes first at one time.
    ranks = jnp.concatenate([senders, n_senders + np.arange(n_seen + 1)])

    def joined(arrivals: Array, observe_at: Array, last: float) -> Array:
        last_one = jnp.full((1,), last, arrivals.dtype)
        return jnp.concatenate([arrivals.reshape(-1), observe_at, last_one])

    times = Clock(
        joined(arrivals.time, observe_at.time, np.inf),
        joined(arrivals.rest, observe_at.rest, 0.0),
    )
    ids = jnp.concatenate(ids).astype(jnp.int32)
    order = jnp.lexsort(lax.stop_gradient((ranks, times.rest, times.time)))
    if waits is not None:
        waits = joined(waits, jnp.zeros_like(observe_at.time), 0.0)[order]
    return Schedule(times.at(order), ids[order], waits)


def _distinct(
    delays: Float[Array, "inputs neurons"], heard: np.ndarray
) -> Float[Array, "inputs most"]:
    """Each row's different delays in ascending order, then inf."""
    most = int(heard.sum(axis=1).max(initial=0))
    ascending = jnp.sort(jnp.where(heard, delays, jnp.inf), axis=1)[:, :most]
    # Not by writing into `ascending`: XLA does that in place (CPU, jaxlib 0.10.2), and
    # so compares with what it has written already.
    before = jnp.pad(ascending[:, :-1], [(0, 0), (1, 0)], constant_values=-1)
    return jnp.where(ascending == before, jnp.inf, ascending)
