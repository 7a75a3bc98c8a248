"""Networks on disk."""

from ._network import load_evnn, save_evnn
from ._values import EVNN_REGISTRY, NEURON_MODEL_REGISTRY

__all__ = ["EVNN_REGISTRY", "NEURON_MODEL_REGISTRY", "load_evnn", "save_evnn"]
