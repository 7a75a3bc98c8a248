"""Which neurons form a node: those of one model and one layer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._networks import EvNN, FFEvNN
from .._neurons import MultiNeuronModel, NeuronModel


class Population(NamedTuple):
    """Neurons that become one node."""

    name: str
    model: NeuronModel
    submodel: int
    neurons: np.ndarray
    """Their numbers in the network, ascending."""
    places: np.ndarray
    """Their numbers among those of the model."""


def submodels(
    model: NeuronModel, n_neurons: int
) -> list[tuple[NeuronModel, np.ndarray]]:
    """Each plain model, and the neurons that are of it."""
    if type(model) is not MultiNeuronModel:
        return [(model, np.arange(n_neurons))]
    ids = model.type_ids.value
    return [(m, np.flatnonzero(ids == k)) for k, m in enumerate(model.submodels)]


def populations(network: EvNN, mask: np.ndarray) -> list[Population]:
    """The neurons layer by layer, and where a layer has several models, by model."""
    layer = layers_of(network, mask[: network.n_neurons])
    parts = submodels(network.neuron_model, network.n_neurons)
    found: list[Population] = []
    for rank in range(int(layer.max()) + 1):
        for number, (model, neurons) in enumerate(parts):
            places = np.flatnonzero(layer[neurons] == rank)
            if places.size:
                name = f"{type(model).__name__.lower()}_{len(found)}"
                group = Population(name, model, number, neurons[places], places)
                found.append(group)
    return found


def layers_of(network: EvNN, mask: np.ndarray) -> np.ndarray:
    """The layer of each neuron; neurons of a cycle share one."""
    if isinstance(network, FFEvNN):
        return np.repeat(np.arange(len(network.layers)), network.layers)
    return ranks(mask)


def ranks(sends: np.ndarray) -> np.ndarray:
    """How many steps the longest way to each node has; nodes of a cycle are one.

    `sends[a, b]` says that a sends to b.
    """
    reaches = _closure(sends & ~np.eye(len(sends), dtype=bool))
    before = reaches & ~reaches.T
    rank = np.full(len(sends), -1)
    step = 0
    while np.any(rank < 0):
        open_ = rank < 0
        rank[open_ & ~np.any(before[open_], axis=0)] = step
        step += 1
    return rank


def _closure(sends: np.ndarray) -> np.ndarray:
    """Who reaches whom in any number of steps, by squaring."""
    reaches = sends
    while True:
        ways = reaches.astype(np.float32)  # which BLAS multiplies
        further = reaches | (ways @ ways > 0)
        if np.array_equal(further, reaches):
            return reaches
        reaches = further
