"""The connections of a graph, their delays, and the neurons that are its outputs."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from ._signals import Signal
from ._trace import Layer, Traced


class Synapses(NamedTuple):
    """All connections, each between its own two: numbers in the network."""

    sender: np.ndarray
    receiver: np.ndarray
    weight: np.ndarray
    axonal: np.ndarray
    synaptic: np.ndarray


def read_synapses(traced: Traced, numbers: list[np.ndarray], n: int) -> Synapses:
    """The connections onto all layers, whose neurons have these numbers."""
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


def read_delays(
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


def read_outputs(traced: Traced, numbers: list[np.ndarray], n: int) -> np.ndarray:
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
