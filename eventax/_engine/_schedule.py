"""Events known before the simulation starts: input spikes and observation times."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


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
    in_spike_times: Float[Array, "inputs spikes"],
    observe_at: Float[Array, " observations"],
    wmask: np.ndarray,
    delays: Float[Array, "senders neurons"] | None,
) -> Schedule:
    """Sort input spikes and observations into one list.

    Inputs that no neuron hears are dropped: they cannot matter. With delays an input
    spike stands in the list once for each of the different delays of its receivers.
    """
    n_neurons = wmask.shape[1]
    heard = wmask[n_neurons:].any(axis=1)
    listened = np.flatnonzero(heard)
    arrivals, waits = in_spike_times[listened][:, :, None], None
    if delays is not None:
        waits = _distinct(delays[n_neurons + listened], wmask[n_neurons + listened])
        waits = jnp.broadcast_to(waits[:, None], (*arrivals.shape[:2], waits.shape[1]))
        arrivals = arrivals + waits
    per_input = arrivals.shape[1] * arrivals.shape[2]
    senders = np.repeat(n_neurons + listened, per_input)
    ids = np.concatenate([senders, -1 - np.arange(observe_at.shape[0]), [senders.size]])
    dtype = in_spike_times.dtype
    times = [arrivals.reshape(-1), observe_at, jnp.full((1,), jnp.inf, dtype)]
    times = jnp.concatenate(times)
    order = jnp.argsort(times, stable=True)
    if waits is not None:
        none = jnp.zeros((observe_at.shape[0] + 1,), dtype)
        waits = jnp.concatenate([waits.reshape(-1), none])[order]
    return Schedule(times[order], jnp.asarray(ids, jnp.int32)[order], waits)


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
