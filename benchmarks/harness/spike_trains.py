"""Spike trains of a batch, and how far one is from another."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class SpikeTrains:
    """Every spike of every sample, in order.

    Attributes:
        times: (B, E) spike times, filled with `inf`.
        neurons: (B, E) who fired, filled with -1.
        first_output: (B, n_out) first spike times of the output neurons, if the loss
            is over those.
    """

    times: np.ndarray
    neurons: np.ndarray
    first_output: np.ndarray

    @classmethod
    def from_record(
        cls, times: Any, neurons: Any, n_neurons: int, first_output: Any
    ) -> "SpikeTrains":
        """From what `record` and `ttfs` of a batch return."""
        who = np.asarray(neurons).astype(int)
        # The older package says -1 as 255.
        who = np.where(who < n_neurons, who, -1)
        return cls(np.asarray(times), who, np.asarray(first_output))

    @classmethod
    def from_table(cls, table: np.ndarray) -> "SpikeTrains":
        """From a table (B, N, K) of spike times by neuron, filled with `inf`."""
        batch, n_neurons, count = table.shape
        who = np.repeat(np.arange(n_neurons), count)
        times = table.reshape(batch, -1)
        order = np.argsort(times, axis=1, kind="stable")
        times = np.take_along_axis(times, order, axis=1)
        neurons = np.where(np.isfinite(times), who[order], -1)
        used = np.isfinite(times).any(axis=0)
        return cls(times[:, used], neurons[:, used], np.empty((batch, 0)))

    @classmethod
    def from_traces(
        cls, traces: Iterable[Any], outputs: Sequence[int] = ()
    ) -> "SpikeTrains":
        """From the oracle's traces, one for each sample."""
        runs = list(traces)
        shape = (len(runs), max(len(run.times) for run in runs))
        times, neurons = np.full(shape, np.inf), np.full(shape, -1)
        for row, run in enumerate(runs):
            times[row, : len(run.times)] = run.times
            neurons[row, : len(run.times)] = run.neurons
        first = np.array([run.first_spikes(outputs) for run in runs])
        return cls(times, neurons, first)

    def samples(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Times and neurons of each sample, without the filling."""
        for times, neurons in zip(self.times, self.neurons, strict=True):
            fired = np.isfinite(times) & (neurons >= 0)
            yield times[fired].astype(float), neurons[fired].astype(int)

    def arrays(self) -> dict[str, np.ndarray]:
        """The attributes by name, to be stored."""
        return vars(self).copy()


@dataclass(frozen=True)
class Agreement:
    """What `compare` found.

    Attributes:
        error: largest difference of two spike times with the same neuron and number.
        unmatched: spikes that only one side has at all.
        other_number: samples with another number of spikes up to the end.
        other_order: samples with the same number in another order.
    """

    error: float
    unmatched: int
    other_number: int
    other_order: int
    spikes: int
    samples: int

    def failure(self, bound: float) -> str:
        """Why the trains do not agree within `bound`; empty if they do.

        Spikes closer together than the error may change places, also with the
        output spike that ends the comparison: within the bound that is no failure.
        """
        if self.unmatched == 0 and self.error <= bound:
            return ""
        reasons = [f"error above {bound:g} ms"] if self.error > bound else []
        if self.unmatched:
            reasons.append(f"{self.unmatched} spikes only on one side")
        if self.other_number:
            reasons.append(f"other number in {self.other_number}/{self.samples}")
        if self.other_order:
            reasons.append(f"other order in {self.other_order}/{self.samples}")
        return "; ".join(reasons)


def compare(
    reference: SpikeTrains,
    candidate: SpikeTrains,
    outputs: Sequence[int],
    end: float = np.inf,
) -> Agreement:
    """Compare all spikes until every one of the neurons `outputs` has fired.

    Where one of them is silent, or there are none, the comparison goes on to the time
    `end`. The k-th spike of a neuron is compared with the k-th spike of the same
    neuron. Both trains should go on for a while after the last spike compared, so that
    one that one side has just before the end and the other just after it finds its
    partner.
    """
    errors = [_first_output_error(reference, candidate)]
    unmatched = other_number = other_order = spikes = 0
    for exact, tried in zip(reference.samples(), candidate.samples(), strict=True):
        ends = _length(*exact, outputs, end), _length(*tried, outputs, end)
        spikes += ends[0]
        other_number += ends[0] != ends[1]
        other_order += ends[0] == ends[1] and not np.array_equal(
            exact[1][: ends[0]], tried[1][: ends[1]]
        )
        named = _by_name(*exact), _by_name(*tried)
        wanted = set(list(named[0])[: ends[0]]) | set(list(named[1])[: ends[1]])
        common = wanted & named[0].keys() & named[1].keys()
        unmatched += len(wanted) - len(common)
        errors += [abs(named[0][name] - named[1][name]) for name in common]
    return Agreement(
        error=float(np.max(errors)),
        unmatched=unmatched,
        other_number=other_number,
        other_order=other_order,
        spikes=spikes,
        samples=len(reference.times),
    )


def _first_output_error(reference: SpikeTrains, candidate: SpikeTrains) -> float:
    """Largest difference; two silent neurons agree, one silent one does not."""
    with np.errstate(invalid="ignore"):
        error = np.abs(reference.first_output - candidate.first_output)
    silent = np.isinf(reference.first_output) & np.isinf(candidate.first_output)
    return float(np.where(silent, 0.0, error).max(initial=0.0))


def _length(
    times: np.ndarray, neurons: np.ndarray, outputs: Sequence[int], end: float
) -> int:
    """Number of spikes until all `outputs` have fired, or up to `end`."""
    found = [np.flatnonzero(neurons == output) for output in outputs]
    if found and all(spikes.size for spikes in found):
        return int(max(spikes[0] for spikes in found)) + 1
    return int(np.sum(times <= end))


def _by_name(times: np.ndarray, neurons: np.ndarray) -> dict[tuple[int, int], float]:
    """Spike times by (neuron, how many spikes it had before), in order."""
    seen: dict[int, int] = {}
    named = {}
    for time, neuron in zip(times.tolist(), neurons.tolist(), strict=True):
        count = seen.get(neuron, 0)
        named[neuron, count] = time
        seen[neuron] = count + 1
    return named
