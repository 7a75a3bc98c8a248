"""The parameters of a network's connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._arguments import as_numbers
from .._networks import EvNN
from .._networks._delays import total_delays
from .._networks._groups import Group, by_neuron, groups_of
from .._neurons import NeuronModel
from ._groups import choose

Pair = tuple[np.ndarray, np.ndarray]


def weights_of(net: EvNN) -> Pair:
    """(N+M, N) weights, and which connections exist."""
    weights = by_neuron(net.neuron_model, net.n_neurons, lambda m, _: _weights(m))
    return weights, np.asarray(net.get_wmask()) > 0


def _weights(model: NeuronModel) -> Any:
    weights = getattr(model, "weights", None)
    if weights is None:
        raise ValueError(
            f"{type(model).__name__} has no leaf `weights`: give an array of shape "
            "(senders, receivers) instead of the network, one of the model's own or "
            "the mask `net.get_wmask()`."
        )
    return weights


def delays_of(net: EvNN) -> Pair:
    """(N+M, N) delays in force, and which connections exist."""
    total = total_delays(net.delays, net.axonal_delays, net.n_neurons)
    if total is None:
        raise ValueError(
            "The network has no delays to show: build it with `init_delays`, `dlim`, "
            "`init_axonal_delays` or `axonal_dlim`."
        )
    return np.asarray(total), np.asarray(net.get_wmask()) > 0


def parts_of(
    name: str, synapses: Any, layer: int | None, read: Callable[[EvNN], Pair]
) -> list[tuple[str, np.ndarray]]:
    """Name and values of the connections between each two parts of a network.

    `layer` is the receiver, None for all. An array is one part without a name.
    """
    if not isinstance(synapses, EvNN):
        if layer is not None:
            raise ValueError(
                f"`layer` is a part of a network, and `{name}` is an array: choose "
                "from it instead."
            )
        return [("", np.asarray(as_numbers(name, synapses, float)))]
    values, exist = read(synapses)
    groups = groups_of(synapses)
    senders = len(exist)
    inputs = Group("input", np.arange(synapses.n_neurons, senders))
    parts = []
    for to in (groups[k] for k in choose(groups, layer)):
        for sender in (inputs, *groups):
            block = np.ix_(sender.neurons, to.neurons)
            found = values[block][exist[block]]
            if found.size:
                parts.append((f"{sender.name} → {to.name}", found))
    return parts
