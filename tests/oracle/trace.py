"""What a run of the oracle returns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Trace:
    """Spikes and states of one sample.

    `E` spikes, `N` neurons, `M` input channels, `S` state channels, `T` observation
    times.

    Attributes:
        times: (E,) spike times, ascending.
        neurons: (E,) who fired; the order within an instant is the order of firing.
        state: (N, S) state at `end`, every event at `end` applied.
        end: `t_max`, or the instant after which `stop_after` held.
        observed: (T, N, S) states at `observe_at`, in the order given.
        events: every spike and arrival in order. A spike of neuron k is `k`, an
            arrival from input channel m is `N + m`, an arrival of a *delayed* spike of
            neuron k is `-1 - k`, the end of a hold (refractory period) of neuron k is
            `N + M + k`. Arrivals with nothing else between them are sorted, as their
            mutual order leaves spike times differentiable.
    """

    times: np.ndarray
    neurons: np.ndarray
    state: np.ndarray
    end: float
    observed: np.ndarray
    events: tuple[int, ...]

    @property
    def spike_order(self) -> tuple[int, ...]:
        """Neuron ids in firing order, to be compared between perturbed runs."""
        return tuple(self.neurons.tolist())

    def of(self, neuron: int) -> np.ndarray:
        """Spike times of one neuron, ascending."""
        return self.times[self.neurons == neuron]

    def first_spikes(
        self, neurons: Sequence[int] | None = None, fill: float = np.inf
    ) -> np.ndarray:
        """(n,) first spike time of each listed neuron (default all), else `fill`."""
        return self.spike_table(1, neurons, fill)[:, 0]

    def spike_table(
        self,
        max_spikes: int,
        neurons: Sequence[int] | None = None,
        fill: float = np.inf,
    ) -> np.ndarray:
        """(n, max_spikes) first spikes of each listed neuron, padded with `fill`."""
        chosen = range(len(self.state)) if neurons is None else neurons
        table = np.full((len(chosen), max_spikes), fill)
        for row, neuron in zip(table, chosen, strict=True):
            spikes = self.of(neuron)[:max_spikes]
            row[: len(spikes)] = spikes
        return table
