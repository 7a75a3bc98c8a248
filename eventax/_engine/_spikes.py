"""Spike trains in the forms that networks return, from the list of all spikes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ._run import Run


def first_spikes(
    run: Run, neurons: Int[Array, " chosen"], no_spike: float
) -> Float[Array, " chosen"]:
    """First spike time of each of `neurons`."""
    slots = run.first[neurons]
    return run.times.at[slots].get(mode="fill", fill_value=no_spike)


def spike_trains(
    run: Run, neurons: Int[Array, " chosen"], max_spikes: int, no_spike: float
) -> Float[Array, "chosen max_spikes"]:
    """First `max_spikes` spike times of each of `neurons`."""
    rank = jnp.arange(1, max_spikes + 1)

    def train(neuron: Int[Array, ""]) -> Float[Array, " max_spikes"]:
        counts = jnp.cumsum(run.neurons == neuron)
        slots = jnp.searchsorted(counts, rank)
        return run.times.at[slots].get(mode="fill", fill_value=no_spike)

    return jax.vmap(train)(neurons)


def spikes_in_order(
    run: Run, no_spike: float
) -> tuple[Float[Array, " spikes"], Int[Array, " spikes"]]:
    """Times and neurons of all spikes, then fill."""
    return jnp.where(run.neurons >= 0, run.times, no_spike), run.neurons
