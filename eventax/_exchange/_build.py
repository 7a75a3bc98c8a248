"""The network of a traced graph."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from .._networks import EvNN, FFEvNN
from .._networks._connectivity import layered
from .._networks._engines import has_native
from .._neurons import LI, LIF, PLIF
from ._models import read_models, with_logs
from ._populations import ranks
from ._synapses import read_delays, read_outputs, read_synapses
from ._trace import Traced

MOST_WEIGHTS = 2**29
"""Of the (N+M, N) matrix: 2 GiB in single precision."""

SETTLED = (
    "n_neurons",
    "in_size",
    "layers",
    "wmask",
    "output_neurons",
    "input_neurons",
    "init_delays",
    "dlim",
    "init_axonal_delays",
    "axonal_dlim",
    "neuron_models",
    "neuron_type_ids",
    "neuron_model_kwargs",
    "init_weights",
    "init_bias",
)


def build(
    traced: Traced, note: dict[str, Any], scale: float, keywords: dict[str, Any]
) -> EvNN:
    """The network, with settings from the graph's note where none are given."""
    for name in SETTLED:
        if name in keywords:
            raise TypeError(f"`{name}` must not be given: the graph settles it.")
    trainable = _check_model(keywords.pop("neuron_model", None))
    settings = {"max_event_steps": 1000, **_noted_settings(note, scale), **keywords}
    if "max_solver_time" not in settings:
        raise ValueError(
            "`max_solver_time` must be given, the time at which simulations end: the "
            "graph does not tell."
        )
    dtype = np.dtype(settings.setdefault("dtype", jnp.float32))
    n = sum(layer.neurons.ic.size for layer in traced.layers)
    m = sum(traced.inputs.values())
    _check_weights(n, m)
    rank = _layer_ranks(traced)
    numbers = _numbering(traced, rank, n)
    synapses = read_synapses(traced, numbers, n)
    outputs = read_outputs(traced, numbers, n)
    mask = np.zeros((n + m, n), bool)
    weights = np.zeros((n + m, n), dtype)
    mask[synapses.sender, synapses.receiver] = True
    weights[synapses.sender, synapses.receiver] = synapses.weight
    shared: dict[str, Any] = {"in_size": m, **settings}
    shared |= read_delays(traced, synapses, mask.shape, dtype)
    model, model_keywords, logs = read_models(
        traced, numbers, weights, note, dtype, trainable
    )
    shared |= model_keywords
    sizes = _feed_forward(traced, rank, numbers, mask, outputs, note)
    if sizes is not None:
        network: EvNN = FFEvNN(layers=sizes, neuron_model=model, **shared)
    else:
        network = EvNN(
            neuron_model=model,
            n_neurons=n,
            wmask=mask,
            output_neurons=outputs,
            **shared,
        )
    return with_logs(network, logs)


def _check_model(model: Any) -> bool | None:
    """Whether time constants are trainable; None: as the graph's notes say."""
    if model is None:
        return None
    if model is not LIF and model is not PLIF:
        raise ValueError(
            "`neuron_model` must be LIF or PLIF, the models that CubaLIF may become; "
            f"got {model!r}."
        )
    return model is PLIF


def _noted_settings(note: dict[str, Any], scale: float) -> dict[str, Any]:
    """Keywords of the network that was written."""
    settings: dict[str, Any] = {}
    for name in ("max_event_steps", "buffer_capacity"):
        if isinstance(note.get(name), int):
            settings[name] = note[name]
    for name in ("t0", "max_solver_time"):
        if isinstance(note.get(name), float):
            settings[name] = note[name] * scale
    if isinstance(note.get("output_no_spike_value"), float):
        settings["output_no_spike_value"] = note["output_no_spike_value"]
    if note.get("engine") in ("auto", "jax"):
        settings["engine"] = note["engine"]
    if note.get("engine") == "native" and has_native():
        settings["engine"] = "native"
    if note.get("dtype") in ("float32", "float64"):
        settings["dtype"] = np.dtype(note["dtype"])
    return settings


def _check_weights(n: int, m: int) -> None:
    if (n + m) * n > MOST_WEIGHTS:
        raise ValueError(
            f"The graph must be smaller: {n} neurons and {m} inputs make a matrix of "
            f"weights of {(n + m) * n} entries, and at most {MOST_WEIGHTS} are made."
        )


def _layer_ranks(traced: Traced) -> np.ndarray:
    """How far each layer is from the inputs."""
    first = len(traced.inputs)
    sends = np.zeros((len(traced.layers),) * 2, bool)
    for k, layer in enumerate(traced.layers):
        if layer.signal is not None:
            heard = np.unique(layer.signal.source) - first
            sends[heard[heard >= 0], k] = True
    return ranks(sends)


def _numbering(traced: Traced, rank: np.ndarray, n: int) -> list[np.ndarray]:
    """The number of each neuron of each layer: the noted one, or in order."""
    sizes = [layer.neurons.ic.size for layer in traced.layers]
    noted = [layer.note.get("neurons") for layer in traced.layers]
    if all(
        isinstance(x, list) and len(x) == k for x, k in zip(noted, sizes, strict=True)
    ):
        flat = [number for x in noted for number in x]  # pyright: ignore
        whole = all(type(number) is int for number in flat)
        if whole and sorted(flat) == list(range(n)):
            return [np.array(x) for x in noted]
    numbers: list[np.ndarray] = [np.array(())] * len(sizes)
    start = 0
    for k in sorted(range(len(sizes)), key=lambda k: (rank[k], traced.layers[k].name)):
        numbers[k] = np.arange(start, start + sizes[k])
        start += sizes[k]
    return numbers


def _feed_forward(
    traced: Traced,
    rank: np.ndarray,
    numbers: list[np.ndarray],
    mask: np.ndarray,
    outputs: np.ndarray,
    note: dict[str, Any],
) -> list[int] | None:
    """Sizes of the layers, if each feeds all of the next and nothing else does."""
    if note.get("network") == "EvNN":
        return None
    n = mask.shape[1]
    layer_of = np.zeros(n, int)
    silent = np.zeros(len(mask), bool)
    for layer, own, place in zip(traced.layers, numbers, rank, strict=True):
        layer_of[own] = place
        silent[own] = layer.neurons.model is LI
    sizes = np.bincount(layer_of).tolist()
    whole = layered(sizes, len(mask) - n)
    # What never fires may be connected to anything.
    fits = np.array_equal(mask | (whole & silent[:, None]), whole)
    last = np.arange(n) >= n - sizes[-1]
    in_order = bool(np.all(np.diff(layer_of) >= 0))
    return sizes if fits and in_order and np.array_equal(outputs, last) else None
