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
    observations.
    """

    times: Float[Array, " known"]
    ids: Int[Array, " known"]


def schedule(
    in_spike_times: Float[Array, "inputs spikes"],
    observe_at: Float[Array, " observations"],
    n_neurons: int,
    heard: np.ndarray,
) -> Schedule:
    """Sort input spikes and observations into one list.

    Inputs that no neuron hears (`heard` is False) are dropped: they cannot matter.
    """
    per_input = in_spike_times.shape[1]
    listened = np.flatnonzero(heard)
    senders = np.repeat(n_neurons + listened, per_input)
    ids = np.concatenate([senders, -1 - np.arange(observe_at.shape[0]), [senders.size]])
    times = jnp.concatenate(
        [
            in_spike_times[listened].reshape(-1),
            observe_at,
            jnp.full((1,), jnp.inf, in_spike_times.dtype),
        ]
    )
    order = jnp.argsort(times, stable=True)
    return Schedule(times[order], jnp.asarray(ids, jnp.int32)[order])
