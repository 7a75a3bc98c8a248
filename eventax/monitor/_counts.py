"""Spikes and events of a batch, counted."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._networks import EvNN
from .._networks._compiled import compiled
from .._networks._delays import total_delays
from .._networks._views import with_bound
from .._spikes import PackedSpikes, Spikes

MOST = 4**4  # of the network's own bound on events, that are tried


class Counts(NamedTuple):
    """Of each sample."""

    spikes: Int[np.ndarray, "batch neurons"]
    events: Int[np.ndarray, " batch"]


def check_batch(net: EvNN, in_spike_times: Any) -> Any:
    """Input spikes of at least one sample, as arrays; None is one without input."""
    if in_spike_times is None:
        return jnp.full((1, net.in_size, 1), jnp.inf, net.dtype)
    if isinstance(in_spike_times, PackedSpikes):
        in_spike_times = in_spike_times.as_list()
    if isinstance(in_spike_times, Spikes):
        times, channels = map(jnp.asarray, in_spike_times)
        if times.ndim != 2 or channels.shape != times.shape or len(times) == 0:
            raise ValueError(
                "`in_spike_times` as `Spikes` must have times and channels of one "
                "shape (batch, E), of at least one sample; got "
                f"{times.shape} and {channels.shape}."
            )
        return Spikes(times, channels)
    times = jnp.asarray(in_spike_times, net.dtype)
    if times.ndim != 3 or times.shape[0] == 0 or times.shape[1] != net.in_size:
        raise ValueError(
            "`in_spike_times` must have shape (batch, M, K), at least one sample of "
            f"M = {net.in_size} channels, or be `Spikes` of shape (batch, E); got "
            f"shape {times.shape}."
        )
    return times


def count(net: EvNN, inputs: Any) -> Counts:
    """With a larger bound on events where the network's own is too small."""
    factor = 1
    while True:
        try:
            trains = _recorded(with_bound(net, factor * net.max_event_steps), inputs)
            break
        except (RuntimeError, ValueError) as error:
            if "max_event_steps" not in str(error) or factor >= MOST:
                raise
        factor *= 4
    times, neurons = (np.asarray(x) for x in trains)
    return Counts(_by_neuron(net, neurons), _events(net, inputs, times, neurons))


def count_within(net: EvNN, inputs: Any) -> Int[np.ndarray, "batch neurons"] | None:
    """Spikes alone; None if there are more events than are allowed."""
    try:
        return _by_neuron(net, np.asarray(_recorded(net, inputs)[1]))
    except (RuntimeError, ValueError) as error:
        if "max_event_steps" not in str(error):
            raise
        return None


def _by_neuron(
    net: EvNN, neurons: Int[np.ndarray, "batch spikes"]
) -> Int[np.ndarray, "batch neurons"]:
    counts = np.zeros((len(neurons), net.n_neurons), int)
    sample, spike = np.nonzero(neurons >= 0)
    np.add.at(counts, (sample, neurons[sample, spike]), 1)
    return counts


@compiled
def _recorded(
    net: EvNN, inputs: Any
) -> tuple[Float[Array, "batch events"], Int[Array, "batch events"]]:
    """Times and neurons of all spikes."""
    # Times are read although neurons may be enough: they carry the run's errors.
    times, neurons, _ = jax.vmap(net.record)(inputs)
    return times, jnp.where(jnp.isnan(times), -1, neurons)


def _events(
    net: EvNN, inputs: Any, times: np.ndarray, neurons: np.ndarray
) -> Int[np.ndarray, " batch"]:
    """What counts for `max_event_steps`: spikes, and what arrives until the end.

    A spike that arrives after several different delays is as many events, but layer by
    layer.
    """
    arriving = jax.vmap(lambda x: net._inputs_at(x).spikes)(inputs)
    in_times, channels = (np.asarray(x) for x in arriving)
    end = net.max_solver_time
    events = np.sum(neurons >= 0, axis=1)
    delays = total_delays(net.delays, net.axonal_delays, net.n_neurons)
    if delays is None or not net._counts_deliveries:
        heard = net._wmask.value[net.n_neurons :].any(axis=1)
        if heard.size:
            events += np.sum((in_times <= end) & heard[channels], axis=1)
        return events
    for sender, reach in enumerate(net._wmask.value):
        own = np.unique(np.asarray(delays[sender])[reach])
        channel = sender - net.n_neurons
        is_input = channel >= 0
        sent = np.where(channels == channel, in_times, np.inf) if is_input else times
        if not is_input:
            sent = np.where(neurons == sender, times, np.inf)
            own = own[own > 0]  # at once, it is the spike itself
        arrivals = sent[..., None] + own.astype(sent.dtype)
        events += np.sum(arrivals <= end, axis=(1, 2))
    return events
