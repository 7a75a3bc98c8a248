"""Networks on disk: `save_evnn`, `load_evnn`, and the classes that a file can name."""

from ._saving import (
    EVNN_REGISTRY,
    NEURON_MODEL_REGISTRY,
    load_evnn,
    save_evnn,
)

__all__ = ["EVNN_REGISTRY", "NEURON_MODEL_REGISTRY", "load_evnn", "save_evnn"]
