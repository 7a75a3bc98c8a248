"""Weights of any model, by the neurons that they lead to."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import numpy as np
from jaxtyping import Array, Int

from .._networks import EvNN
from .._neurons import MultiNeuronModel, NeuronModel

Net = TypeVar("Net", bound=EvNN)


def change_weights(net: Net, change: Callable[[Array, np.ndarray], Array]) -> Net:
    """The network with `change(weights, receivers)` for each of its weight matrices."""
    leaves = net.neuron_model.sender_leaves()
    receivers = _receivers(net.neuron_model, np.arange(net.n_neurons))
    if not leaves or len(leaves) != len(receivers):
        raise ValueError(
            f"{type(net.neuron_model).__name__} does not tell which of its parameters "
            "are weights that a spike reads (`sender_leaves`), so that there are none "
            "to change. Use a built-in model."
        )
    new = [change(leaf, who) for leaf, who in zip(leaves, receivers, strict=True)]
    return eqx.tree_at(lambda n: n.neuron_model.sender_leaves(), net, new)


def _receivers(
    model: NeuronModel, neurons: Int[np.ndarray, " neurons"]
) -> list[Int[np.ndarray, " receivers"]]:
    """For each of the model's weights the neurons that its columns belong to."""
    if isinstance(model, MultiNeuronModel):
        parts = zip(model.submodels, model._split(neurons), strict=True)
        return list(itertools.chain(*(_receivers(m, part) for m, part in parts)))
    inner = getattr(model, "neuron", None)
    if isinstance(inner, NeuronModel):
        return _receivers(inner, neurons)
    return [neurons for _ in model.sender_leaves()]
