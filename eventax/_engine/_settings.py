"""What a simulation needs besides model and inputs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._flows import AbstractFlow


class Settings(NamedTuple):
    """Static, and the same for every sample."""

    flow: AbstractFlow
    backward: AbstractFlow | None  # of gradients, if it goes from event to event
    wmask: np.ndarray  # (N+M, N) bool
    t0: float
    max_time: float
    max_events: int
    capacity: int
    checkpoints: int | None
