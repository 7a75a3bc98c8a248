"""What the event loop asks of a network: a flow between events, and jumps at them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Hold:
    """What happens to a neuron for a while after each of its spikes.

    Meanwhile it does not fire. The period is half open: where it ends the neuron is
    free, before anything else of that instant happens.

    Attributes:
        duration: (N,) time from the spike on; 0 for no hold, `inf` for ever.
        still: (N, S) bool, channels whose time derivative is 0 meanwhile.
        deaf: (N,) bool, whether what arrives meanwhile is lost.
    """

    duration: np.ndarray
    still: np.ndarray
    deaf: np.ndarray


@dataclass(frozen=True)
class Mode:
    """All holds in force, together.

    Attributes:
        mute: (N,) bool, neurons that cannot fire.
        still: (N, S) bool, channels that do not move.
        deaf: (N,) bool, neurons that receive nothing.
    """

    mute: np.ndarray
    still: np.ndarray
    deaf: np.ndarray


@dataclass(frozen=True)
class Segment:
    """The flow from one event to the next.

    Attributes:
        end: time of the first threshold crossing, else the end that was asked for.
        state: (N, S) state at `end`, before any jump.
        crossed: neurons that reach threshold at `end`.
        at: state at any time of the segment.
    """

    end: float
    state: np.ndarray
    crossed: tuple[int, ...]
    at: Callable[[float], np.ndarray]


class Network(Protocol):
    """`N` neurons with `S` state channels; a sender is a neuron or `N` + a channel."""

    tie: float
    """Relative time within which two crossings are one instant (the precision)."""

    holds: Sequence[Hold]
    """What follows each spike, besides the reset."""

    def gap(self, t: float, state: np.ndarray) -> np.ndarray:
        """(N,) distance above threshold; a neuron fires when it rises through 0."""
        ...

    def flow(
        self, t: float, state: np.ndarray, t_end: float, tie: float, mode: Mode
    ) -> Segment:
        """Follow the flow to the first crossing, or to `t_end`; `mode` holds till then.

        Crossings up to `tie` after the first one belong to it, and crossings up to
        `tie` after `t_end` happen at `t_end`.
        """
        ...

    def reset(self, state: np.ndarray, neuron: int) -> np.ndarray:
        """State after `neuron` fired; `state` is the callee's to change."""
        ...

    def arrive(self, state: np.ndarray, sender: int) -> np.ndarray:
        """State after a spike of `sender` reached every neuron; may change `state`."""
        ...
