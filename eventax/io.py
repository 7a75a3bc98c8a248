"""Networks on disk and in the format of other tools, NIR.

`save_evnn` and `load_evnn`, the classes that a file can name, `to_nir` and `from_nir`.
"""

from ._exchange import from_nir, to_nir
from ._saving import (
    EVNN_REGISTRY,
    NEURON_MODEL_REGISTRY,
    load_evnn,
    save_evnn,
)

__all__ = [
    "EVNN_REGISTRY",
    "NEURON_MODEL_REGISTRY",
    "from_nir",
    "load_evnn",
    "save_evnn",
    "to_nir",
]
