"""The parts of a network: layers, populations, or hidden and output neurons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .._arguments import check_count
from .._neurons import LI, MultiNeuronModel, NeuronModel
from ._evnn import EvNN


class Group(NamedTuple):
    """Neurons with a common name."""

    name: str
    neurons: np.ndarray  # ascending


def groups_of(
    net: EvNN, populations: Any = None, name: str = "populations"
) -> list[Group]:
    """The populations given, by name or as sizes; by default what the network tells.

    That are its layers; of a network without any, hidden and output neurons. `name` is
    that of the user's argument.
    """
    everyone = np.arange(net.n_neurons)
    if populations is not None:
        return _named(name, populations, everyone)
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


def _named(name: str, populations: Any, everyone: np.ndarray) -> list[Group]:
    """What a builder has made tells sizes by name."""
    given = getattr(populations, "sizes", populations)
    if isinstance(given, Mapping):
        names, numbers = [str(key) for key in given], list(given.values())
    else:
        numbers = list(given)
        names = [f"layer {k}" for k in range(len(numbers))]
    sizes = [check_count(name, size, 0) for size in numbers]
    if sum(sizes) != everyone.size:
        raise ValueError(
            f"`{name}` must be the sizes of the network's populations, in sum its "
            f"{everyone.size} neurons; got {given!r}. Give what `eventax.connectivity` "
            "made, a dictionary of sizes by name, or a list of sizes."
        )
    parts = np.split(everyone, np.cumsum(sizes)[:-1])
    return [Group(*pair) for pair in zip(names, parts, strict=True)]


def may_fire(net: EvNN) -> np.ndarray:
    """(N,) False for neurons of the model that never fires."""
    return by_neuron(
        net.neuron_model, net.n_neurons, lambda model, _: not isinstance(model, LI)
    )


def by_neuron(
    model: NeuronModel, n_neurons: int, read: Callable[[NeuronModel, np.ndarray], Any]
) -> np.ndarray:
    """Values (..., N), of each neuron from the model that it is of.

    `read` gets a model without wrappers and the numbers of its neurons, and returns an
    array with these as the last axis, or one value for all of them.
    """

    def parts(model: NeuronModel, neurons: np.ndarray) -> list[Any]:
        if isinstance(model, MultiNeuronModel):
            pairs = zip(model.submodels, model._split(neurons), strict=True)
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
