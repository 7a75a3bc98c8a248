"""Spike trains of a batch, and how far one is from another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SpikeTrains:
    """Every spike of every sample, in order.

    Attributes:
        times: (B, E) spike times, filled with `inf`.
        neurons: (B, E) who fired, filled with -1.
        first_output: (B, n_out) first spike times of the output neurons.
    """

    times: np.ndarray
    neurons: np.ndarray
    first_output: np.ndarray

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
        other_number: samples with another number of spikes until all outputs fired.
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
    reference: SpikeTrains, candidate: SpikeTrains, outputs: Sequence[int]
) -> Agreement:
    """Compare all spikes until every one of the neurons `outputs` has fired.

    The k-th spike of a neuron is compared with the k-th spike of the same neuron.
    Both trains should go on for a while after the last output spike, so that a spike
    that one side has just before it and the other just after it finds its partner.
    """
    errors = [_first_output_error(reference, candidate)]
    unmatched = other_number = other_order = spikes = 0
    for exact, tried in zip(reference.samples(), candidate.samples(), strict=True):
        ends = _length(exact[1], outputs), _length(tried[1], outputs)
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
    return float(np.where(silent, 0.0, error).max())


def _length(neurons: np.ndarray, outputs: Sequence[int]) -> int:
    """Number of spikes until all `outputs` have fired, or all if one is silent."""
    found = [np.flatnonzero(neurons == output) for output in outputs]
    if all(spikes.size for spikes in found):
        return int(max(spikes[0] for spikes in found)) + 1
    return len(neurons)


def _by_name(times: np.ndarray, neurons: np.ndarray) -> dict[tuple[int, int], float]:
    """Spike times by (neuron, how many spikes it had before), in order."""
    seen: dict[int, int] = {}
    named = {}
    for time, neuron in zip(times.tolist(), neurons.tolist(), strict=True):
        count = seen.get(neuron, 0)
        named[neuron, count] = time
        seen[neuron] = count + 1
    return named
