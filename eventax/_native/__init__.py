"""The native core: networks whose motion is known, simulated in C++."""

from ._library import Library, load, why_missing
from ._models import why_not, why_not_paused
from ._run import (
    FIRST,
    HIGHEST,
    INTEGRAL,
    READING,
    RECORD,
    STATES,
    TRAINS,
    Answer,
    Ask,
    Delays,
    ask_core,
    observed,
)

__all__ = [
    "FIRST",
    "HIGHEST",
    "INTEGRAL",
    "READING",
    "RECORD",
    "STATES",
    "TRAINS",
    "Answer",
    "Ask",
    "Delays",
    "Library",
    "ask_core",
    "load",
    "observed",
    "why_missing",
    "why_not",
    "why_not_paused",
]
