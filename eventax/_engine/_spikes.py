"""Spike trains in the forms that networks return, from the list of all spikes."""

from __future__ import annotations

import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._largest import largest
from .._varying import varying
from ._run import Run


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
    """Where the spikes of each of `neurons` are in the list; its length for none.

    Spike by spike, which takes as long as there are spikes. Counting those of every
    neuron at once takes as long as the list has room, for each of them.
    """
    n_chosen, room = neurons.shape[0], run.neurons.shape[0]
    n_spikes = largest(jnp.sum(run.neurons >= 0))
    # The last row is for all who are not chosen, the last column for what is left out.
    rows = jnp.full((n_neurons,), n_chosen).at[neurons].set(jnp.arange(n_chosen))
    counts = jnp.zeros(n_chosen + 1, jnp.int32)
    slots = jnp.full((n_chosen + 1, max_spikes + 1), room, jnp.int32)

    def body(carry):
        k, counts, slots = carry
        # Others in the batch may have more spikes.
        row = jnp.where(run.neurons[k] >= 0, rows[run.neurons[k]], n_chosen)
        slots = slots.at[row, jnp.minimum(counts[row], max_spikes)].set(k)
        return k + 1, counts.at[row].add(1), slots

    carry = jnp.zeros((), jnp.int32), *varying((counts, slots), run.neurons)
    _, _, slots = lax.while_loop(lambda carry: carry[0] < n_spikes, body, carry)
    return slots[:-1, :-1]


def spikes_in_order(
    run: Run, no_spike: float
) -> tuple[Float[Array, " spikes"], Int[Array, " spikes"]]:
    """Times and neurons of all spikes, then fill."""
    return jnp.where(run.neurons >= 0, run.times, no_spike), run.neurons
