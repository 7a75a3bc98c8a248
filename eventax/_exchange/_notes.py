"""What a graph tells beside its equations, so that a network comes back as it was.

A note is a JSON text in a node's metadata. Another tool may lose it, and may change the
node and keep it: so a note never decides what the equations are.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from .._networks import EvNN, FFEvNN
from .._neurons import PLIF, MultiNeuronModel
from ._populations import Population

NAME = "eventax"


def as_metadata(note: dict[str, Any]) -> dict[str, Any]:
    """A note in the form of a node's metadata."""
    return {NAME: json.dumps(note)}


def read_note(node: Any) -> dict[str, Any]:
    """A node's note, empty where it has none or one that cannot be read."""
    metadata = getattr(node, "metadata", None)
    text = metadata.get(NAME) if isinstance(metadata, dict) else None
    try:
        note = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        note = None
    return note if isinstance(note, dict) else {}


def network_note(network: EvNN, scale: float) -> dict[str, Any]:
    """How a network was built, with times in the graph's unit."""
    return {
        "network": "FFEvNN" if isinstance(network, FFEvNN) else "EvNN",
        "several_models": type(network.neuron_model) is MultiNeuronModel,
        "engine": network.engine,
        "dtype": network.dtype.name,
        "t0": network.t0 / scale,
        "max_solver_time": network.max_solver_time / scale,
        "max_event_steps": network.max_event_steps,
        "buffer_capacity": network._capacity,
        "output_no_spike_value": network.output_no_spike_value,
    }


def neurons_note(group: Population) -> dict[str, Any]:
    """Where these neurons were, and how their model holds its constants."""
    model: Any = group.model
    names = ("thresh", "vreset", "tsyn", "tmem", "b0", "beta", "ta")
    constants = {name: getattr(model, name) for name in names if hasattr(model, name)}
    note: dict[str, Any] = {
        "neurons": group.neurons.tolist(),
        "submodel": group.submodel,
        "scalars": [
            k for k, constant in constants.items() if np.ndim(constant.value) == 0
        ],
    }
    if hasattr(model, "reset_grad_preserve"):
        note["reset_grad_preserve"] = bool(model.reset_grad_preserve)
    if type(model) is PLIF:
        for name in ("tmem", "tsyn"):
            logs = np.asarray(getattr(model, f"log_{name}"))
            if logs.shape != model.ic.shape:
                note["scalars"].append(name)
            whole = np.broadcast_to(logs, model.ic.shape)
            note[f"log_{name}"] = whole[group.places].tolist()
    return note
