"""Output neurons as readouts, whose numbers are kept track of in closed form."""

from __future__ import annotations

import numpy as np

from .._engine import Readout
from .._flows import Gauge
from .._neurons import NeuronModel
from .._neurons._base import as_slice

REMEDY = (
    "Use output neurons that are all `LI`, `LIF`, `PLIF` or `ALIF`, wrapped or not; or "
    "take the maximum or a sum over `state_at_t` at many times."
)


def readout(
    model: NeuronModel, n_neurons: int, chosen: np.ndarray, gauge: Gauge
) -> Readout:
    """What is asked of the chosen neurons, which are of one model in closed form."""
    kinds = np.unique(model._kinds(n_neurons)[chosen])
    if len(kinds) != 1 or not model._is_independent(chosen):
        raise ValueError(
            "`max_over_time` and `integral` need output neurons that are of one model "
            "and do not depend on each other but for their spikes; got "
            f"{type(model).__name__} with {len(kinds)} models among them. {REMEDY}"
        )
    part = model._part(n_neurons, chosen)
    flow = part.flow()
    if flow is None or not flow.closed:
        raise ValueError(
            "`max_over_time` and `integral` need output neurons in closed form; got "
            f"{type(part).__name__}. {REMEDY}"
        )
    return Readout(as_slice(chosen), flow, (gauge,))
