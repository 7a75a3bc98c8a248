"""At most one spike per neuron."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._arguments import as_flag
from ._base import NeuronModel, check_model_class
from ._pausing import Pausing, named


def AMOS(
    Cls: type[NeuronModel],
    freeze_dynamics: bool = False,
    stop_incoming: bool = False,
) -> type[NeuronModel]:
    """A neuron model of which each neuron spikes at most once.

    After its spike a neuron is reset as usual and never fires again. Its state goes on
    moving unless `freeze_dynamics`, and spikes go on arriving unless `stop_incoming`.

    Arguments:
        Cls: the neuron model inside, wrapped itself or not; `.neuron` of an instance.
        freeze_dynamics: whether the state stands still after the spike.
        stop_incoming: whether spikes that arrive after it are lost.

    Returns:
        A `NeuronModel` class with the constructor of `Cls`, the same one for the same
        arguments. A model that is simulated in closed form stays so.

    Raises:
        TypeError: `Cls` is not a neuron model class, or another argument not a bool.

    Reference:
        The one-spike regime of Göltz et al., Fast and energy-efficient neuromorphic
        deep learning with first-spike times, Nat Mach Intell 3 (2021) 823.

    Example:
        >>> from eventax import EvNN
        >>> from eventax.neuron_models import AMOS, LIF
        >>> net = EvNN(
        ...     AMOS(LIF), 1, 50.0, in_size=0, thresh=1.0, tsyn=5.0, tmem=10.0,
        ...     init_weights=0.0, init_bias=2.0,
        ... )
        >>> net.spikes_until_t(None, 50.0, max_spikes=2)
        Array([[6.93,  inf]], dtype=float32)
    """
    check_model_class("Cls", Cls)
    freeze = as_flag("freeze_dynamics", freeze_dynamics)
    return _once(Cls, freeze, as_flag("stop_incoming", stop_incoming))


@functools.cache
def _once(cls: type[NeuronModel], freeze: bool, stop: bool) -> type[NeuronModel]:
    class Once(Pausing):
        _wrapping = (
            AMOS,
            cls,
            {"freeze_dynamics": freeze, "stop_incoming": stop},
        )

        def __init__(self, *args: Any, **keywords: Any):
            self.neuron = cls(*args, **keywords)
            super().__init__(dtype=self.neuron.dtype)

        def _held(self) -> np.ndarray:
            return np.asarray(freeze)

        def _deaf(self) -> bool:
            return stop

        def _duration(self) -> None:
            return None

    return named(Once, "AMOS", cls)
