from ._base import AbstractFlow, Segment, rounding, weighted_time
from ._closed_form import ClosedForm
from ._eventprop import EventProp, EventPropAdjoint
from ._numerical import Numerical
from ._pauses import Parallel, Pauses
from ._riccati import Riccati
from ._roots import first_rise, rising_root

__all__ = [
    "AbstractFlow",
    "ClosedForm",
    "EventProp",
    "EventPropAdjoint",
    "Numerical",
    "Parallel",
    "Pauses",
    "Riccati",
    "Segment",
    "first_rise",
    "rising_root",
    "rounding",
    "weighted_time",
]
