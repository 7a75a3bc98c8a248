"""The models of a graph's neurons, and their constants."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._networks import EvNN
from .._neurons import LI, LIF, PLIF, MultiNeuronModel, NeuronModel
from ._trace import Layer, Traced


def read_models(
    traced: Traced,
    numbers: list[np.ndarray],
    weights: np.ndarray,
    note: dict[str, Any],
    dtype: np.dtype,
    trainable: bool | None,
) -> tuple[type[NeuronModel], dict[str, Any], list[dict[str, np.ndarray]]]:
    """Model and keywords; for each sub-model logarithms of its time constants."""
    groups = _groups(traced, trainable)
    found = []
    for (_, model), members in groups.items():
        layers = [traced.layers[k] for k in members]
        who = np.concatenate([numbers[k] for k in members])
        order = np.argsort(who)
        keywords, logs = _keywords(model, layers, order, dtype)
        keywords["init_weights"] = weights[:, who[order]]
        found.append((model, keywords, logs, who))
    logs = [entry[2] for entry in found]
    if len(found) == 1 and note.get("several_models") is not True:
        (model, keywords, _, _), *_ = found
        return model, keywords, logs
    ids = np.zeros(weights.shape[1], int)
    for k, (*_, who) in enumerate(found):
        ids[who] = k
    several = {
        "neuron_models": [entry[0] for entry in found],
        "neuron_model_kwargs": [entry[1] for entry in found],
        "neuron_type_ids": ids,
    }
    return MultiNeuronModel, several, logs


def _groups(
    traced: Traced, trainable: bool | None
) -> dict[tuple[int, type[NeuronModel]], list[int]]:
    """Layers that are of one sub-model, as noted, or those of one kind."""
    groups: dict[tuple[int, type[NeuronModel]], list[int]] = {}
    for k, layer in enumerate(traced.layers):
        model = layer.neurons.model
        was_trainable = "log_tmem" in layer.note and "log_tsyn" in layer.note
        if model is LIF and (was_trainable if trainable is None else trainable):
            model = PLIF
        noted = layer.note.get("submodel")
        number = noted if type(noted) is int else -1
        groups.setdefault((number, model), []).append(k)
    return dict(sorted(groups.items(), key=lambda g: (g[0][0], g[0][1].__name__)))


def _keywords(
    model: type[NeuronModel], layers: list[Layer], order: np.ndarray, dtype: np.dtype
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Keywords of a model whose neurons are those of some layers, put in order."""

    def joined(arrays: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(arrays)[order].astype(dtype)

    names = layers[0].neurons.constants
    constants: dict[str, Any] = {}
    for name in names:
        values = joined([layer.neurons.constants[name] for layer in layers])
        constants[name] = values[0] if _is_scalar(name, values, layers) else values
    keywords: dict[str, Any] = {
        "init_bias": joined([layer.neurons.ic for layer in layers])
    }
    if model is not LI:
        noted = [layer.note.get("reset_grad_preserve") for layer in layers]
        keywords["reset_grad_preserve"] = all(noted) and model in (LIF, PLIF)
    if model is not PLIF:
        return keywords | constants, {}
    logs = {}
    for name in ("tmem", "tsyn"):
        keywords[f"init_{name}"] = constants.pop(name)
        known = [_noted_log(layer, name) for layer in layers]
        if all(k is not None for k in known):
            logs[f"log_{name}"] = joined([k for k in known if k is not None])
    shared = np.ndim(keywords["init_tmem"]) == np.ndim(keywords["init_tsyn"]) == 0
    if not shared:
        for name in ("init_tmem", "init_tsyn"):
            keywords[name] = np.broadcast_to(keywords[name], order.shape)
    keywords["shared_time_constants"] = shared
    return keywords | constants, logs


def _is_scalar(name: str, values: np.ndarray, layers: list[Layer]) -> bool:
    """Whether a constant was one number, or could be where that is not noted."""
    noted = [layer.note.get("scalars") for layer in layers]
    wished = all(not isinstance(x, list) or name in x for x in noted)
    return wished and bool(np.all(values == values[0]))


def _noted_log(layer: Layer, name: str) -> np.ndarray | None:
    """The logarithm of a time constant as it was, where that has not changed."""
    now, noted = layer.neurons.constants[name], layer.note.get(f"log_{name}")
    try:
        logs = np.asarray(noted, np.float64)
    except (TypeError, ValueError):
        return None
    if logs.shape != now.shape or not np.allclose(np.exp(logs), now, rtol=1e-6, atol=0):
        return None
    return logs


def with_logs(network: EvNN, logs: list[dict[str, np.ndarray]]) -> EvNN:
    """Logarithms of time constants to the bit, which `log(exp(x))` does not give."""
    for number, values in enumerate(logs):
        for name, value in values.items():

            def leaf(network: EvNN, number: int = number, name: str = name) -> Any:
                model = network.neuron_model
                several = isinstance(model, MultiNeuronModel)
                return getattr(model.submodels[number] if several else model, name)

            old = leaf(network)
            network = eqx.tree_at(leaf, network, jnp.asarray(value[: old.size]))
    return network
