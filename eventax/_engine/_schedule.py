"""Events known before the simulation starts: input spikes and observation times."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._spikes import Spikes


class Schedule(NamedTuple):
    """Known events in time order, ending with one that never comes.

    `ids` is the sender (neurons first, then inputs) of an input spike, and -1 - j for
    observation j. At one time inputs come in ascending order of the sender, then
    observations. `delays` tells which neurons an input spike reaches then.
    """

    times: Float[Array, " known"]
    ids: Int[Array, " known"]
    delays: Float[Array, " known"] | None


def schedule(
    inputs: Spikes,
    observe_at: Float[Array, " observations"],
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
    arrivals, waits = jnp.where(heard[senders], inputs.times[:, None], jnp.inf), None
    if delays is not None:
        waits = _distinct(delays[n_neurons:], wmask[n_neurons:])[inputs.channels]
        arrivals = arrivals + waits
    senders = jnp.broadcast_to(senders, arrivals.shape).reshape(-1)
    n_seen, dtype = observe_at.shape[0], inputs.times.dtype
    ids = [senders, -1 - np.arange(n_seen), np.array([senders.size])]
    # What comes first at one time.
    ranks = jnp.concatenate([senders, n_senders + np.arange(n_seen + 1)])
    times = [arrivals.reshape(-1), observe_at, jnp.full((1,), jnp.inf, dtype)]
    times, ids = jnp.concatenate(times), jnp.concatenate(ids).astype(jnp.int32)
    order = jnp.lexsort((ranks, times))
    if waits is not None:
        none = jnp.zeros((n_seen + 1,), dtype)
        waits = jnp.concatenate([waits.reshape(-1), none])[order]
    return Schedule(times[order], ids[order], waits)


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
