"""Event-driven simulation of spiking neural networks with exact gradients."""

from importlib.metadata import version

from . import (
    adjoint,
    connectivity,
    datasets,
    encoding,
    evnn,
    initialization,
    io,
    losses,
    metrics,
    monitor,
    neuron_models,
    plot,
    testing,
)
from ._spikes import PackedSpikes, Spikes
from .evnn import EvNN, FFEvNN

__version__ = version("eventax")

__all__ = [
    "EvNN",
    "FFEvNN",
    "PackedSpikes",
    "Spikes",
    "__version__",
    "adjoint",
    "connectivity",
    "datasets",
    "encoding",
    "evnn",
    "initialization",
    "io",
    "losses",
    "metrics",
    "monitor",
    "neuron_models",
    "plot",
    "testing",
]
