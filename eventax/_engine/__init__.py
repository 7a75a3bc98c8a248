from ._run import Run, Settings, run
from ._spikes import first_spikes, spike_trains, spikes_in_order

__all__ = [
    "Run",
    "Settings",
    "first_spikes",
    "run",
    "spike_trains",
    "spikes_in_order",
]
