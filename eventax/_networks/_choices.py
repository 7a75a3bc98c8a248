"""Which flow and which gradient memory a network uses."""

from __future__ import annotations

from typing import Any

import diffrax

from .._flows import AbstractFlow
from .._neurons import NeuronModel

CHUNK_LENGTH = 256
N_CHUNKS = 1


def choose_flow(
    model: NeuronModel,
    solver: Any,
    stepsize: Any,
    controller: Any,
    root_finder: Any,
) -> AbstractFlow:
    own = model.flow()
    if own is not None and solver is None:
        return own
    raise NotImplementedError


def choose_checkpoints(adjoint: Any) -> tuple[int, int]:
    if adjoint is None:
        return CHUNK_LENGTH, N_CHUNKS
    if isinstance(adjoint, diffrax.RecursiveCheckpointAdjoint):
        n = adjoint.checkpoints
        return (CHUNK_LENGTH, N_CHUNKS) if n is None else (n, n)
    raise NotImplementedError
