from ._run import Run, run
from ._sender_rows import split_senders
from ._settings import Settings
from ._spikes import first_spikes, spike_trains, spikes_in_order

__all__ = [
    "Run",
    "Settings",
    "first_spikes",
    "run",
    "spike_trains",
    "spikes_in_order",
    "split_senders",
]
