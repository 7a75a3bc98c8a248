"""Pictures of spikes, states, networks and results. Needs matplotlib.

Each function draws one picture into matplotlib Axes, `ax`, or into a new figure, and
returns the Axes. Colours are told apart in all kinds of colour blindness.
"""

from ._confusion import confusion
from ._connectivity import connectivity
from ._decision_regions import decision_regions
from ._delays import delays
from ._latencies import latencies
from ._learning_curves import learning_curves
from ._raster import raster
from ._traces import traces
from ._weights import weights

__all__ = [
    "confusion",
    "connectivity",
    "decision_regions",
    "delays",
    "latencies",
    "learning_curves",
    "raster",
    "traces",
    "weights",
]
