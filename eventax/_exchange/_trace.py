"""Which spikes reach which neurons: a graph followed from its inputs on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._neurons import LI
from ._conventions import Convention
from ._kinds import (
    PARAMETERS,
    STRANGE,
    Arrays,
    Neurons,
    numbers,
    parameters,
    read_neurons,
)
from ._load import Flat
from ._maps import LINEAR, Shape, read_map
from ._nir import import_nir
from ._notes import read_note
from ._signals import Signal, add, late, sent_by, through


class Layer(NamedTuple):
    """A node of neurons, and what reaches it."""

    name: str
    neurons: Neurons
    signal: Signal | None
    note: dict[str, Any]


class Traced(NamedTuple):
    """A graph without its linear nodes."""

    inputs: dict[str, int]
    """Number of channels of each input node."""
    layers: list[Layer]
    outputs: list[tuple[str, Signal]]
    source_of: dict[str, int]
    """Numbers by which signals know inputs and layers."""


def trace(flat: Flat, convention: Convention) -> Traced:
    """Inputs, layers and outputs of a graph, with the signals between them."""
    kinds = {name: _kind(name, node) for name, node in flat.nodes.items()}
    inputs = [n for n, k in kinds.items() if k == "Input" and n not in flat.passing]
    outputs = [n for n, k in kinds.items() if k == "Output" and n not in flat.passing]
    arrays = {
        name: parameters(name, flat.nodes[name])
        for name, kind in kinds.items()
        if kind in PARAMETERS
    }
    for what, found in (("Input", inputs), ("Output", outputs), ("CubaLIF", arrays)):
        if not found:
            raise ValueError(f"The graph must have a node of the kind {what}.")
    source_of = {name: k for k, name in enumerate([*inputs, *arrays])}
    senders: dict[str, list[str]] = {name: [] for name in flat.nodes}
    for source, target in flat.edges:
        senders[target].append(source)
    _check_ends(inputs, outputs, senders)
    signals: dict[str, Signal] = {}

    def send(name: str) -> Signal | None:
        """What a node sends, None as long as that is not known."""
        reached = [(s, signals[s]) for s in senders[name] if s in signals]
        if name in inputs:
            return sent_by(source_of[name], _shape_of_input(name, flat.nodes[name]))
        if name in arrays:
            shape = _shape_of_neurons(arrays[name], senders[name], reached)
            return None if shape is None else sent_by(source_of[name], shape)
        if len(reached) < len(senders[name]):
            return None
        return _pass_on(name, kinds[name], flat.nodes[name], reached, convention)

    _settle(list(flat.nodes), signals, send)
    layers = []
    for name, given in arrays.items():
        reached = [(s, signals[s]) for s in senders[name]]
        shape = signals[name].shape
        whole = {key: np.broadcast_to(a, shape) for key, a in given.items()}
        neurons = read_neurons(name, kinds[name], whole, convention)
        signal = add(name, reached) if reached else None
        layer = Layer(name, neurons, signal, read_note(flat.nodes[name]))
        layers.append(_checked(layer, math.prod(shape)))
    silent = {source_of[layer.name] for layer in layers if layer.neurons.model is LI}
    for layer in layers:
        _check_spikes_only(layer, silent, source_of)
    sizes = {name: signals[name].size for name in inputs}
    return Traced(sizes, layers, [(n, signals[n]) for n in outputs], source_of)


def _kind(name: str, node: Any) -> str:
    nir, kind = import_nir(), type(node).__name__
    if type(node) is getattr(nir, kind, None):
        if kind in ("Input", "Output", "Delay", *LINEAR, *PARAMETERS):
            return kind
        if kind in STRANGE:
            raise ValueError(
                f"Node '{name}' must have an equation that a model here has too; it is "
                f"of the kind {kind}, and none is like it: {STRANGE[kind]}."
            )
    known = ", ".join(["Input", "Output", "Delay", *LINEAR, *PARAMETERS])
    raise ValueError(
        f"Node '{name}' must be of a kind that is known here, that is {known}; got "
        f"{node!r}."
    )


def _check_ends(
    inputs: list[str], outputs: list[str], senders: dict[str, list[str]]
) -> None:
    for name in inputs:
        if senders[name]:
            raise ValueError(
                f"Node '{name}' (Input) must not be reached by an edge; one comes from "
                f"'{senders[name][0]}'."
            )
    for name in outputs:
        for node, reached_from in senders.items():
            if name in reached_from:
                raise ValueError(
                    f"Node '{name}' (Output) must not be left by an edge; one leads to "
                    f"'{node}'."
                )


def _settle(
    names: list[str],
    signals: dict[str, Signal],
    send: Callable[[str], Signal | None],
) -> None:
    """Fill `signals`, each node as soon as what it depends on is known."""
    while names:
        left = []
        for name in names:
            signal = send(name)
            if signal is None:
                left.append(name)
            else:
                signals[name] = signal
        if len(left) == len(names):
            raise ValueError(
                "Every cycle of the graph must lead through a node of neurons; one "
                f"among these nodes does not: {', '.join(repr(n) for n in left)}."
            )
        names = left


def _shape_of_input(name: str, node: Any) -> Shape:
    shape = np.asarray((node.input_type or {}).get("input"))
    whole = shape.dtype != object and np.issubdtype(shape.dtype, np.integer)
    if not whole or shape.ndim > 1 or np.any(shape < 1):
        raise ValueError(
            f"Node '{name}' (Input) must tell its shape as positive whole numbers; got "
            f"{node.input_type!r}."
        )
    return tuple(shape.reshape(-1).tolist())


def _shape_of_neurons(
    arrays: Arrays, senders: list[str], reached: list[tuple[str, Signal]]
) -> Shape | None:
    """That of the parameters; where they are numbers, of what reaches the node."""
    shape = next(iter(arrays.values())).shape
    if shape:
        return shape
    if not senders:
        return (1,)
    return reached[0][1].shape if reached else None


def _pass_on(
    name: str,
    kind: str,
    node: Any,
    reached: list[tuple[str, Signal]],
    convention: Convention,
) -> Signal:
    """What a node without neurons makes of what reaches it."""
    if not reached:
        raise ValueError(f"Node '{name}' ({kind}) must be reached by an edge; none is.")
    signal = add(name, reached)
    if kind in ("Input", "Output"):
        return signal
    if kind == "Delay":
        delays = numbers(f"`delay` of node '{name}'", node.delay).astype(np.float64)
        if delays.size != signal.size and delays.ndim:
            raise ValueError(
                f"`delay` of node '{name}' must have shape {signal.shape}, that of "
                f"what reaches it; got {delays.shape}."
            )
        if np.any(delays < 0):
            raise ValueError(
                f"`delay` of node '{name}' must not be negative; got {node.delay!r}."
            )
        whole = np.broadcast_to(delays.ravel(), signal.size)
        return late(name, signal, whole * convention.scale)
    shape = signal.shape
    while len(shape) > 1 and shape[0] == 1 and kind in ("Linear", "Affine"):
        shape = shape[1:]  # a batch of one, as some tools leave it in
    return through(name, signal, read_map(name, node, shape))


def _checked(layer: Layer, size: int) -> Layer:
    """A layer whose signal fits, and whose constant input is part of ic."""
    name, neurons, signal, _ = layer
    if signal is None:
        return layer
    if signal.size != size:
        raise ValueError(
            f"What reaches node '{name}' must have as many channels as it has neurons, "
            f"{size}; got shape {signal.shape}."
        )
    if not np.any(signal.bias != 0):
        return layer
    if neurons.bias_gain is None and np.isinf(neurons.constants["tmem"]).any():
        raise ValueError(
            f"The bias of node '{signal.biased[0]}' must be 0, since '{name}' (IF) has "
            "no leak: a constant current would move its potential, and here only "
            "spikes do."
        )
    if neurons.bias_gain is None:
        raise ValueError(
            f"The bias of node '{signal.biased[0]}' must be 0, since it reaches "
            f"'{name}' through a synapse, so that it rises with its time constant; "
            "here a constant current is there from the start. Put it into `v_leak` of "
            f"'{name}' if that is what you mean."
        )
    ic = neurons.ic + neurons.bias_gain * signal.bias
    return layer._replace(neurons=neurons._replace(ic=ic))


def _check_spikes_only(
    layer: Layer, silent: set[int], source_of: dict[str, int]
) -> None:
    if layer.signal is None:
        return
    for name, number in source_of.items():
        from_it = layer.signal.source == number
        if number in silent and np.any(layer.signal.weight[from_it] != 0):
            raise ValueError(
                f"Node '{name}' (CubaLI) must lead to an Output only, since it sends a "
                f"potential and neurons here hear spikes; it reaches '{layer.name}'."
            )
