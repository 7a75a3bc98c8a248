"""The same network, looked at otherwise: for pictures."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from .._arguments import check_count
from .._static import Constant
from ._evnn import EvNN


def with_bound(net: EvNN, max_event_steps: int | None) -> EvNN:
    """The network with another bound on events, its own if None."""
    if max_event_steps is None:
        return net
    bound = check_count("max_event_steps", max_event_steps, 1)
    return _changed(net, type(net), max_event_steps=bound)


def with_all_outputs(net: EvNN) -> EvNN:
    """The network with every neuron among its outputs."""
    # No FFEvNN, whose output is the last layer.
    everyone = Constant(np.ones(net.n_neurons, bool))
    return _changed(net, EvNN, _outputs=everyone)


def _changed(net: EvNN, cls: type[EvNN], **values: Any) -> EvNN:
    copy = object.__new__(cls)
    for field in dataclasses.fields(cls):
        value = values.get(field.name, getattr(net, field.name))
        object.__setattr__(copy, field.name, value)
    return copy
