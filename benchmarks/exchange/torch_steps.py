"""What both clients on PyTorch share: spikes in steps."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch


def frames(inputs: list[list[float]], dt: float, t_max: float) -> torch.Tensor:
    """(steps, 1, channels) of 0 and 1; input times are multiples of dt."""
    steps = round(t_max / dt)
    x = torch.zeros(steps, 1, len(inputs))
    for channel, times in enumerate(inputs):
        for t in times:
            x[round(t / dt), 0, channel] = 1
    return x


def record(
    step: Callable[[torch.Tensor], list[torch.Tensor]], x: torch.Tensor, dt: float
) -> dict[str, Any]:
    """Spike times of each neuron: the ends of the steps in which it fired.

    `step` returns the spikes of each layer, (1, n).
    """
    trains: list[list[float]] = []
    with torch.no_grad():
        for k, frame in enumerate(x):
            fired = torch.cat(step(frame), dim=1)[0]
            trains = trains or [[] for _ in fired]
            for neuron in torch.nonzero(fired)[:, 0].tolist():
                trains[neuron].append((k + 1) * dt)
    return {str(k): np.array(train) for k, train in enumerate(trains)}
