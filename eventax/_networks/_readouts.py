"""Output neurons as a population of their own, for readouts in closed form."""

from __future__ import annotations

import numpy as np

from .._flows import AbstractFlow
from .._neurons import NeuronModel

REMEDY = (
    "Use output neurons that are all `LI`, `LIF`, `PLIF` or `ALIF`, wrapped or not; or "
    "take the maximum or a sum over `state_at_t` at many times."
)


def readouts(model: NeuronModel, n_neurons: int, chosen: np.ndarray) -> NeuronModel:
    """The population of the output neurons."""
    kinds = np.unique(model.kinds(n_neurons)[chosen])
    if len(kinds) != 1 or not model.is_independent():
        raise ValueError(
            "`max_over_time` and `integral` need output neurons that are of one model "
            "and do not depend on each other but for their spikes; got "
            f"{type(model).__name__} with {len(kinds)} models among them. {REMEDY}"
        )
    return model.part(n_neurons, chosen)


def readout_flow(model: NeuronModel) -> AbstractFlow:
    """The flow of that population."""
    flow = model.flow()
    if flow is None or not flow.closed:
        raise ValueError(
            "`max_over_time` and `integral` need output neurons in closed form; got "
            f"{type(model).__name__}. {REMEDY}"
        )
    return flow
