from ._base import AbstractFlow, Segment, rounding
from ._closed_form import ClosedForm
from ._numerical import Numerical
from ._riccati import Riccati
from ._roots import rising_root

__all__ = [
    "AbstractFlow",
    "ClosedForm",
    "Numerical",
    "Riccati",
    "Segment",
    "rising_root",
    "rounding",
]
