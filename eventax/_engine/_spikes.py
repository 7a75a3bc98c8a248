"""Spike trains in the forms that networks return, from the list of all spikes."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ._run import Run

SIDES = ("left", "right")


def first_spikes(
    run: Run, neurons: Int[Array, " chosen"], no_spike: float
) -> Float[Array, " chosen"]:
    """First spike time of each of `neurons`."""
    assert run.first is not None
    slots = run.first[neurons]
    return run.times.at[slots].get(mode="fill", fill_value=no_spike)


def spike_trains(
    run: Run,
    n_neurons: int,
    neurons: Int[Array, " chosen"],
    max_spikes: int,
    no_spike: float,
) -> Float[Array, "chosen max_spikes"]:
    """First `max_spikes` spike times of each of `neurons`, of `n_neurons` in all."""
    slots = _slots_by_neuron(run, n_neurons, neurons, max_spikes)
    return run.times.at[slots].get(mode="fill", fill_value=no_spike)


def _slots_by_neuron(
    run: Run, n_neurons: int, neurons: Int[Array, " chosen"], max_spikes: int
) -> Int[Array, "chosen max_spikes"]:
    """Where the spikes of each of `neurons` are in the list; its length for none."""
    room = run.neurons.shape[0]
    fired = jnp.where(run.neurons >= 0, run.neurons, n_neurons)
    # By neuron, and each one's in order of time.
    order = jnp.argsort(fired, stable=True)
    by_neuron = fired[order]
    first, last = (jnp.searchsorted(by_neuron, neurons, side=s) for s in SIDES)
    places = first[:, None] + jnp.arange(max_spikes)
    slots = order[jnp.minimum(places, room - 1)]
    return jnp.where(places < last[:, None], slots, room)


def spikes_in_order(
    run: Run, no_spike: float
) -> tuple[Float[Array, " spikes"], Int[Array, " spikes"]]:
    """Times and neurons of all spikes, then fill."""
    return jnp.where(run.neurons >= 0, run.times, no_spike), run.neurons
