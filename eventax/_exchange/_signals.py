"""What travels along an edge: spikes of which sender, how strong and how late."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ._maps import Map, Shape, check_size


class Signal(NamedTuple):
    """Contributions to channels, which are numbered in C order.

    Each entry says that a spike of neuron or input `number` of node `source`
    adds `weight` to `channel`, after both delays.
    """

    shape: Shape
    channel: np.ndarray
    source: np.ndarray
    number: np.ndarray
    weight: np.ndarray
    axonal: np.ndarray
    synaptic: np.ndarray
    bias: np.ndarray
    """A constant in each channel."""
    biased: tuple[str, ...]
    """The nodes that it comes from."""
    untouched: bool
    """Whether it is what one node sends, delayed at most."""
    delayed: frozenset[str]
    """Which of its delays, "axonal" and "synaptic", are there, if only as zeros."""

    @property
    def size(self) -> int:
        """Number of channels."""
        return math.prod(self.shape)


def sent_by(source: int, shape: Shape) -> Signal:
    """What a node of neurons or inputs sends."""
    channels = np.arange(math.prod(shape))
    ones, zeros = np.ones(channels.size), np.zeros(channels.size)
    sources = np.full(channels.size, source)
    nothing = (zeros, zeros, zeros, ())
    entries = (channels, sources, channels, ones)
    return Signal(shape, *entries, *nothing, untouched=True, delayed=frozenset())


def add(name: str, signals: Sequence[tuple[str, Signal]]) -> Signal:
    """The sum of what reaches a node, whose senders have names."""
    (first, signal), *others = signals
    if not others:
        return signal
    for other, more in others:
        if more.size != signal.size:
            raise ValueError(
                f"What reaches node '{name}' must have one shape; '{first}' sends "
                f"{signal.shape}, '{other}' sends {more.shape}."
            )
    parts = [s for _, s in signals]
    joined = Signal(
        signal.shape,
        *(
            np.concatenate([getattr(part, field) for part in parts])
            for field in ("channel", "source", "number", "weight", "axonal", "synaptic")
        ),
        bias=np.sum([part.bias for part in parts], axis=0),
        biased=tuple(node for part in parts for node in part.biased),
        untouched=False,
        delayed=frozenset().union(*(part.delayed for part in parts)),
    )
    return _merged(joined)


def through(name: str, signal: Signal, map_: Map) -> Signal:
    """The signal after a linear node."""
    order = np.argsort(map_.source, kind="stable")
    start = np.searchsorted(map_.source[order], np.arange(signal.size + 1))
    counts = np.diff(start)[signal.channel]
    total = int(counts.sum())
    check_size(name, total)
    # Each entry meets all entries of the map that start in its channel.
    entry = np.repeat(np.arange(counts.size), counts)
    within = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    met = order[start[signal.channel[entry]] + within]
    constant = np.zeros(math.prod(map_.shape))
    np.add.at(constant, map_.target, map_.weight * signal.bias[map_.source])
    own = (name,) if np.any(map_.bias != 0) else ()
    result = Signal(
        map_.shape,
        map_.target[met],
        signal.source[entry],
        signal.number[entry],
        signal.weight[entry] * map_.weight[met],
        signal.axonal[entry],
        signal.synaptic[entry],
        constant + map_.bias,
        signal.biased + own,
        untouched=False,
        delayed=signal.delayed,
    )
    return _merged(result)


def late(name: str, signal: Signal, delays: np.ndarray) -> Signal:
    """The signal after a delay in each channel."""
    if np.any(signal.bias != 0):
        raise ValueError(
            f"What reaches node '{name}' (Delay) must be spikes alone; the bias of "
            f"node '{signal.biased[0]}' would start late."
        )
    own = delays[signal.channel]
    kind = "axonal" if signal.untouched else "synaptic"
    delayed = signal.delayed | {kind}
    return signal._replace(**{kind: getattr(signal, kind) + own}, delayed=delayed)


def _merged(signal: Signal) -> Signal:
    """Ways of equal length from one sender to one channel become one."""
    keys = np.stack(
        [signal.synaptic, signal.axonal, signal.number, signal.source, signal.channel]
    )
    order = np.lexsort(keys)
    new = np.any(np.diff(keys[:, order], axis=1, prepend=np.nan) != 0, axis=0)
    firsts = order[new]
    if firsts.size == order.size:
        return signal
    weight = np.add.reduceat(signal.weight[order], np.flatnonzero(new))
    return signal._replace(
        channel=signal.channel[firsts],
        source=signal.source[firsts],
        number=signal.number[firsts],
        weight=weight,
        axonal=signal.axonal[firsts],
        synaptic=signal.synaptic[firsts],
    )
