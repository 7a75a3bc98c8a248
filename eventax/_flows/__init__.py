from ._base import AbstractFlow, Limits, Segment, rounding, weighted_time
from ._clock import Clock, Events
from ._closed_form import ClosedForm
from ._eventprop import EventProp, EventPropAdjoint
from ._gauges import Gauge, Highest, Integral
from ._numerical import Numerical
from ._pauses import Parallel, Pauses
from ._riccati import Riccati
from ._roots import first_rise, rising_root

__all__ = [
    "AbstractFlow",
    "Clock",
    "ClosedForm",
    "EventProp",
    "EventPropAdjoint",
    "Events",
    "Gauge",
    "Highest",
    "Integral",
    "Limits",
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
