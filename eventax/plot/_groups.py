"""The parts of a network: layers, or hidden and output neurons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._networks import EvNN
from .._neurons import MultiNeuronModel, NeuronModel


class Group(NamedTuple):
    """Neurons with a common name."""

    name: str
    neurons: np.ndarray  # ascending


def groups_of(net: EvNN) -> list[Group]:
    """The layers; of a network without any, hidden and output neurons."""
    everyone = np.arange(net.n_neurons)
    sizes = getattr(net, "layers", None)
    if sizes is None:
        hidden = np.setdiff1d(everyone, net.output_indices)
        if hidden.size in (0, everyone.size):
            return [Group("neurons", everyone)]
        return [Group("hidden", hidden), Group("output", net.output_indices)]
    parts = np.split(everyone, np.cumsum(sizes)[:-1])
    hidden = [f"layer {k}" for k in range(len(parts) - 1)]
    names = [*(["hidden"] if len(hidden) == 1 else hidden), "output"]
    return [Group(*pair) for pair in zip(names, parts, strict=True)]


def choose(groups: list[Group], layer: Any) -> list[int]:
    """Numbers of the groups to show: one of them, or all if None."""
    known = range(len(groups))
    if layer is None:
        return list(known)
    whole = isinstance(layer, int | np.integer) and not isinstance(layer, bool)
    if not whole or not -len(groups) <= layer < len(groups):
        listed = ", ".join(f"{k} ({groups[k].name})" for k in known)
        raise ValueError(
            f"`layer` must be the number of one of the network's layers, {listed}, or "
            f"None for all; got {layer!r}."
        )
    return [known[layer]]


def by_neuron(
    model: NeuronModel, n_neurons: int, read: Callable[[NeuronModel, np.ndarray], Any]
) -> np.ndarray:
    """Values (..., N), of each neuron from the model that it is of.

    `read` gets a model without wrappers and the numbers of its neurons, and returns an
    array with these as the last axis, or one value for all of them.
    """

    def parts(model: NeuronModel, neurons: np.ndarray) -> list[Any]:
        if isinstance(model, MultiNeuronModel):
            pairs = zip(model.submodels, model.split(neurons), strict=True)
            return [part for pair in pairs for part in parts(*pair)]
        inner = getattr(model, "neuron", None)
        if isinstance(inner, NeuronModel):
            return parts(inner, neurons)
        return [(neurons, np.asarray(read(model, neurons)))]

    read_parts = parts(model, np.arange(n_neurons))
    lead = max((values.shape[:-1] for _, values in read_parts), key=len)
    result = np.empty((*lead, n_neurons), np.result_type(*(v for _, v in read_parts)))
    for neurons, values in read_parts:
        result[..., neurons] = values
    return result
