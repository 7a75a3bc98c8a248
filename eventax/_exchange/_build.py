"""The network of a traced graph."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .. import _native as native
from .._networks import EvNN, FFEvNN
from .._networks._connectivity import layered
from .._neurons import LI, LIF, PLIF, MultiNeuronModel, NeuronModel
from ._populations import ranks
from ._signals import Signal
from ._trace import Layer, Traced

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


class Synapses(NamedTuple):
    """All connections, each between its own two: numbers in the network."""

    sender: np.ndarray
    receiver: np.ndarray
    weight: np.ndarray
    axonal: np.ndarray
    synaptic: np.ndarray


def build(
    traced: Traced, note: dict[str, Any], scale: float, keywords: dict[str, Any]
) -> EvNN:
    """The network, with settings from the graph's note where none are given."""
    for name in SETTLED:
        if name in keywords:
            raise TypeError(f"`{name}` must not be given: the graph settles it.")
    trainable = _check_model(keywords.pop("neuron_model", None))
    settings = {**_noted_settings(note, scale), **keywords}
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
    synapses = _synapses(traced, numbers, n)
    outputs = _outputs(traced, numbers, n)
    mask = np.zeros((n + m, n), bool)
    weights = np.zeros((n + m, n), dtype)
    mask[synapses.sender, synapses.receiver] = True
    weights[synapses.sender, synapses.receiver] = synapses.weight
    shared: dict[str, Any] = {"in_size": m, **settings}
    shared |= _delays(traced, synapses, mask.shape, dtype)
    model, model_keywords, logs = _models(
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
    return _with_logs(network, logs)


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
    if note.get("engine") == "native" and native.load() is not None:
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


# Neurons ---------------------------------------------------------------------------


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


def _models(
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


def _with_logs(network: EvNN, logs: list[dict[str, np.ndarray]]) -> EvNN:
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


# Synapses --------------------------------------------------------------------------


def _synapses(traced: Traced, numbers: list[np.ndarray], n: int) -> Synapses:
    sender_of = _senders(traced, numbers, n)
    parts = []
    for layer, own in zip(traced.layers, numbers, strict=True):
        signal = layer.signal
        if signal is None:
            continue
        sender = _resolve(signal, sender_of)
        receiver = own[signal.channel]
        weight = signal.weight * layer.neurons.gain[signal.channel]
        part = Synapses(sender, receiver, weight, signal.axonal, signal.synaptic)
        _check_single(layer, part, traced)
        parts.append(part)
    if not parts:
        none = np.zeros(0, int)
        return Synapses(none, none, np.zeros(0), np.zeros(0), np.zeros(0))
    return Synapses(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _senders(traced: Traced, numbers: list[np.ndarray], n: int) -> list[np.ndarray]:
    """For each source of signals, the network's numbers of its channels."""
    starts = n + np.cumsum([0, *traced.inputs.values()])
    inputs = [np.arange(a, b) for a, b in itertools.pairwise(starts)]
    return [*inputs, *numbers]


def _resolve(signal: Signal, sender_of: list[np.ndarray]) -> np.ndarray:
    starts = np.cumsum([0, *(x.size for x in sender_of)])
    return np.concatenate(sender_of)[starts[signal.source] + signal.number]


def _check_single(layer: Layer, part: Synapses, traced: Traced) -> None:
    """One delay between two neurons: what is alike has been added up already."""
    pairs = np.stack([part.sender, part.receiver])
    order = np.lexsort(pairs)
    twice = np.flatnonzero(np.all(np.diff(pairs[:, order], axis=1) == 0, axis=0))
    if not twice.size:
        return
    assert layer.signal is not None
    both = order[twice[0] : twice[0] + 2]
    names = {number: name for name, number in traced.source_of.items()}
    total = (part.axonal + part.synaptic)[both]
    raise ValueError(
        f"Two ways from node '{names[int(layer.signal.source[both[0]])]}' to node "
        f"'{layer.name}' must have the same delay where they join the same two "
        f"neurons; got {total[0]} and {total[1]}."
    )


def _delays(
    traced: Traced, synapses: Synapses, shape: tuple[int, int], dtype: np.dtype
) -> dict[str, Any]:
    """Keywords for delays: of a sender where all its ways have the same."""
    kinds = {
        kind
        for layer in traced.layers
        if layer.signal is not None
        for kind in layer.signal.delayed
    }
    if not kinds:
        return {}
    sender, receiver, _, axonal, synaptic = synapses
    of_sender = np.full(shape[0], np.inf)
    np.minimum.at(of_sender, sender, axonal)
    differ = np.zeros(shape[0], bool)
    np.logical_or.at(differ, sender, axonal != of_sender[sender])
    of_sender[differ | np.isinf(of_sender)] = 0
    keywords = {}
    if "axonal" in kinds and not np.all(differ[sender]):
        keywords["init_axonal_delays"] = of_sender.astype(dtype)
    rest = synaptic + (axonal - of_sender[sender])
    if "synaptic" in kinds or np.any(differ):
        matrix = np.zeros(shape, dtype)
        matrix[sender, receiver] = rest
        keywords["init_delays"] = matrix
    return keywords


# Outputs ---------------------------------------------------------------------------


def _outputs(traced: Traced, numbers: list[np.ndarray], n: int) -> np.ndarray:
    """The neurons that reach an Output, each as it is."""
    sender_of = _senders(traced, numbers, n)
    chosen = np.zeros(n, bool)
    for name, signal in traced.outputs:
        counts = signal.weight != 0
        sender = _resolve(signal, sender_of)[counts]
        order = np.argsort(signal.channel[counts], kind="stable")
        plain = np.all(signal.weight[counts] == 1) and not np.any(
            (signal.axonal + signal.synaptic)[counts]
        )
        each = np.array_equal(np.sort(signal.channel[counts]), np.arange(signal.size))
        if not (plain and each and not np.any(signal.bias) and np.all(sender < n)):
            raise ValueError(
                f"What reaches node '{name}' (Output) must be neurons as they are, one "
                "for each channel, since outputs here are neurons; it is a weighted "
                "sum, late, or an input. End the graph in a CubaLI or CubaLIF node."
            )
        ids = sender[order]
        if np.any(np.diff(ids) <= 0) or np.any(chosen[ids]):
            raise ValueError(
                f"Node '{name}' (Output) must have its channels in the order of the "
                f"neurons, each once; got neurons {ids.tolist()}."
            )
        chosen[ids] = True
    return chosen


# Layers ----------------------------------------------------------------------------


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
