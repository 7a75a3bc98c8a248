"""What a picture of states shows: from a network, or from arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._networks import EvNN
from .._networks._groups import by_neuron
from .._networks._views import with_all_outputs, with_bound
from .._neurons import LI, PQIF, QIF, NeuronModel
from .._neurons._columns import ColumnModel
from ..encoding import pad_spikes
from ._arrays import as_array, as_indices, check_length, with_gaps

N_TIMES = 1001
FAR = 1e3  # of the potential of a QIF neuron next to a spike, where it is infinite


class States(NamedTuple):
    """One channel of n neurons at T times."""

    neurons: np.ndarray  # (n,)
    times: np.ndarray  # (T,) ascending
    values: np.ndarray  # (n, T)
    spikes: list[np.ndarray]  # of each neuron
    threshold: np.ndarray  # (n, T), NaN where there is none
    inputs: np.ndarray  # (k,) times of input spikes
    infinite: bool  # whether potentials are infinite at spikes


def by_channel(net: EvNN, inputs: Any) -> np.ndarray:
    """Times of input spikes, a row per channel, padded with inf."""
    events = net._inputs_at(inputs).spikes
    times, channels = np.asarray(events.times), np.asarray(events.channels)
    return np.asarray(pad_spikes(times, channels, net.in_size))


def of_network(
    net: EvNN, inputs: Any, neurons: Any, channel: int, times: Any, bound: int | None
) -> States:
    """By two simulations: one for spikes, one for states."""
    seen = with_bound(with_all_outputs(net), bound)
    who = _chosen(net.output_indices if neurons is None else neurons, net.n_neurons)
    if times is None:
        times = np.linspace(net.t0, net.max_solver_time, N_TIMES)
    times = np.sort(as_array("times", times, 1))
    states = np.asarray(seen.state_at_t(inputs, times))
    at, by, _ = (np.asarray(x) for x in seen.record(inputs))
    arriving = np.asarray(net._inputs_at(inputs).spikes.times)
    values = _channel(states, channel)[who]
    threshold, infinite = np.full_like(values, np.nan), np.zeros(len(who), bool)
    if channel == 0:
        model, n = net.neuron_model, net.n_neurons
        threshold = by_neuron(model, n, lambda m, k: _threshold(m, states[k])).T[who]
        infinite = by_neuron(model, n, lambda m, _: isinstance(m, QIF | PQIF))[who]
        values = np.where(infinite[:, None] & (abs(values) > FAR), np.nan, values)
    return States(
        who,
        times,
        values,
        [at[by == k] for k in who],
        threshold,
        arriving[np.isfinite(arriving)],
        bool(infinite.any()),
    )


def _threshold(model: NeuronModel, states: np.ndarray) -> Any:
    """(T, n) potential at which a neuron would fire, NaN where nothing tells it.

    From states (n, T, channels) of all neurons of the model.
    """
    none = np.full((states.shape[1], len(states)), np.nan)
    if not isinstance(model, ColumnModel) or isinstance(model, LI):
        return none
    if model._overrides("observe", "spike_condition"):
        return none
    # The distance to threshold is one of the potential, the first channel.
    n_channels = model.init_state(len(states)).shape[1]
    y = jnp.swapaxes(states[..., :n_channels], 0, 1)
    return y[..., 0] - jax.vmap(lambda y: model.spike_condition(0.0, y))(y)


def of_array(
    states: Any,
    inputs: Any,
    neurons: Any,
    channel: int,
    times: Any,
    spikes: Any,
    threshold: Any,
) -> States:
    """Of the user's arrays, whose rows are neurons."""
    values = as_array("states", states, 2, 3)
    if values.ndim == 3:
        values = _channel(values, channel)
    n = len(values)
    if times is None:
        raise ValueError("`times` must be given for an array of `states`.")
    times = as_array("times", times, 1)
    check_length("times", times, values.shape[1], "the columns of `states`")
    order = np.argsort(times)
    trains = np.zeros((n, 0))
    if spikes is not None:
        trains = with_gaps(as_array("spikes", spikes, 2), None)
        check_length("spikes", trains, n, "the rows of `states`")
    levels = as_array("threshold", np.nan if threshold is None else threshold, 0, 1)
    if levels.ndim:
        check_length("threshold", levels, n, "the rows of `states`")
    arriving = np.zeros((0, 0))
    if inputs is not None:
        arriving = with_gaps(as_array("in_spike_times", inputs, 2), None)
    who = _chosen(np.arange(n) if neurons is None else neurons, n)
    return States(
        who,
        times[order],
        values[who][:, order],
        [trains[k][np.isfinite(trains[k])] for k in who],
        np.broadcast_to(levels.reshape(-1, 1), values.shape)[who],
        arriving[np.isfinite(arriving)],
        infinite=False,
    )


def _chosen(neurons: Any, n: int) -> np.ndarray:
    who = as_indices("neurons", np.atleast_1d(neurons), "neuron")
    wrong = who[(who < 0) | (who >= n)]
    if wrong.size:
        raise ValueError(f"`neurons` must lie between 0 and {n - 1}; got {wrong[0]}.")
    return who


def _channel(states: np.ndarray, channel: int) -> np.ndarray:
    n = states.shape[2]
    if channel not in range(n):
        raise ValueError(
            f"`channel` must lie between 0 and {n - 1}, as states have {n} channels; "
            f"got {channel!r}."
        )
    return states[..., channel]
