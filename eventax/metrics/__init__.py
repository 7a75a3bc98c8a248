"""Measures of what a network does: accuracy and activity. None has a gradient."""

from ._accuracy import first_spike_accuracy, largest_output_accuracy
from ._activity import dead_fraction, silent_fraction, spikes_per_neuron

__all__ = [
    "dead_fraction",
    "first_spike_accuracy",
    "largest_output_accuracy",
    "silent_fraction",
    "spikes_per_neuron",
]
