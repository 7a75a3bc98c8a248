"""A refractory period after each spike."""

from __future__ import annotations

import functools
from typing import Any

import equinox as eqx
import numpy as np

from .._arguments import as_flag
from .._static import Constant
from ._base import NeuronModel, check_model_class
from ._parameters import constant
from ._pausing import Pausing, check_held, named


def Refractory(Cls: type[NeuronModel]) -> type[NeuronModel]:
    """A neuron model that rests for `t_refrac` after each spike.

    During the period a neuron does not fire, its channels are held at the values that
    they have after the reset, and spikes that arrive are lost. The end of the period is
    landed on exactly; it is over for a spike that arrives at that very time. A neuron
    that is at threshold then fires at once.

    The class returned takes three keywords, then those of `Cls`:

    - `t_refrac`: length of the period, a scalar or (N,), not negative, default 0: no
      period at all.
    - `block_input_during_refrac`: whether spikes that arrive are lost, default True.
    - `refrac_mask`: which channels are held, True or 1 for held: a scalar or one per
      channel, default all.

    Arguments:
        Cls: the neuron model inside, wrapped itself or not; `.neuron` of an instance.

    Returns:
        A `NeuronModel` class, the same one for the same `Cls`. A model that is
        simulated in closed form stays so, unless a channel that is held drives one
        that is not (as with the mask (0, 1) of `LIF`): it is integrated then.

    Raises:
        TypeError: `Cls` is not a neuron model class, or an argument not a bool or
            number where it should be.
        ValueError: `t_refrac` is negative or of a wrong shape, or `refrac_mask` does
            not fit the state.

    Reference:
        Gerstner et al., Neuronal Dynamics (2014), section 1.3.1 (absolute refractory
        period).

    Example:
        >>> from eventax import EvNN
        >>> from eventax.neuron_models import LIF, Refractory
        >>> net = EvNN(
        ...     Refractory(LIF), 1, 50.0, in_size=0, t_refrac=2.0, thresh=1.0, tsyn=5.0,
        ...     tmem=10.0, init_weights=0.0, init_bias=2.0,
        ... )
        >>> times = net.spikes_until_t(None, 50.0, max_spikes=2)
        >>> times.round(2)  # 6.93, and 8.93 later
        Array([[ 6.93, 15.86]], dtype=float32)
    """
    check_model_class("Cls", Cls)
    return _resting(Cls)


@functools.cache
def _resting(cls: type[NeuronModel]) -> type[NeuronModel]:
    class Resting(Pausing):
        t_refrac: Constant = eqx.field(static=True)
        block_input_during_refrac: bool = eqx.field(static=True)
        refrac_mask: bool | tuple[bool, ...] = eqx.field(static=True)
        per_neuron = ("t_refrac",)
        _wrapping = (Refractory, cls, {})

        def __init__(
            self,
            *args: Any,
            t_refrac: Any = 0.0,
            block_input_during_refrac: bool = True,
            refrac_mask: Any = None,
            **keywords: Any,
        ):
            self.neuron = cls(*args, **keywords)
            super().__init__(dtype=self.neuron.dtype)
            n_neurons = args[1] if len(args) > 1 else keywords["n_neurons"]
            self.t_refrac = constant("t_refrac", t_refrac, n_neurons, self.dtype)
            if not np.all(self.t_refrac.value >= 0):
                raise ValueError(
                    "`t_refrac` is the length of the refractory period and must not "
                    f"be negative; got {t_refrac!r}."
                )
            self.block_input_during_refrac = as_flag(
                "block_input_during_refrac", block_input_during_refrac
            )
            self.refrac_mask = check_held(refrac_mask, self.neuron, n_neurons)

        def _held(self) -> np.ndarray:
            return np.asarray(self.refrac_mask)

        def _deaf(self) -> bool:
            return self.block_input_during_refrac

        def _duration(self) -> Any:
            return self.t_refrac.value

    own = ("t_refrac", "block_input_during_refrac", "refrac_mask")
    return named(Resting, "Refractory", cls, own)
