from ._event import (
    ALARM,
    CROSSING,
    IDLE,
    JUMPED,
    PAUSE,
    newton_step,
    without_value,
)
from ._readout import Readout
from ._run import Run, run
from ._sender_rows import split_senders
from ._settings import Settings
from ._spikes import first_spikes, spike_trains, spikes_in_order
from ._status import (
    NOT_FINITE,
    OK,
    TOO_MANY_EVENTS,
    TOO_MANY_STEPS,
    Activity,
    SimulationError,
    checked,
    faults,
    messages_by_status,
    told,
)

__all__ = [
    "ALARM",
    "CROSSING",
    "IDLE",
    "JUMPED",
    "NOT_FINITE",
    "OK",
    "PAUSE",
    "TOO_MANY_EVENTS",
    "TOO_MANY_STEPS",
    "Activity",
    "Readout",
    "Run",
    "Settings",
    "SimulationError",
    "checked",
    "faults",
    "first_spikes",
    "messages_by_status",
    "newton_step",
    "run",
    "spike_trains",
    "spikes_in_order",
    "split_senders",
    "told",
    "without_value",
]
