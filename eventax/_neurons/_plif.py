"""Leaky integrate-and-fire neurons with trainable time constants."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._static import Constant
from ._lif import AbstractLIF
from ._parameters import (
    FanIn,
    check_reset,
    constant,
    draw_log_time_constants,
    draw_weights_and_bias,
)


class PLIF(AbstractLIF):
    r"""`LIF` whose time constants are trained too ("parametric").

    $$\tau_m \dot v = -v + i + ic, \qquad \tau_s \dot i = -i, \qquad
      \tau_m = e^{\mathtt{log\_tmem}}, \quad \tau_s = e^{\mathtt{log\_tsyn}}$$

    Fires when v reaches `thresh`; then v goes to `vreset`. A spike that arrives adds
    its weight to i. State (v, i), starting at 0. Simulated in closed form; gradients by
    the time constants are exact, at equal ones too.

    Arguments:
        key: random key; needed where weights, biases or time constants are drawn.
        n_neurons: N.
        in_size: number of input channels M.
        wmask: connectivity (N+M, N), rows are senders: neurons first, then inputs.
        thresh: threshold, a scalar or (N,).
        vreset: value after a spike, below `thresh`.
        wlim: width of the uniform distribution of weights.
        init_weights: weights themselves, a scalar or (N+M, N), multiplied by `wmask`.
        positive_weights: draw from [0, wlim] (True) or ±wlim/2 (False).
        blim: width of the uniform distribution of biases.
        init_bias: biases themselves, a scalar or (N,).
        positive_bias: draw from [0, blim] (True) or ±blim/2 (False).
        init_tmem: membrane time constant τm > 0, in the user's time unit: a scalar, or
            (N,) if not shared. Infinity is no leak, as in `LIF`, and stays so: its
            gradient is 0.
        init_tsyn: synaptic time constant τs > 0, likewise.
        tmem_low, tmem_high: where `init_tmem` is None, τm is uniform in this range.
        tsyn_low, tsyn_high: where `init_tsyn` is None, τs is uniform in this range.
        shared_time_constants: one τm and one τs for all neurons (True), or one for each
            (False).
        fan_in_mode: scale of drawn weights: "linear" for 1/fan-in, "sqrt" for
            1/√fan-in, None for 1.
        dtype: floating-point type.
        reset_grad_preserve: subtract the drop (True) or write `vreset` (False); the
            same value and gradient.
        wmean: mean of the weights, default as `positive_weights` says.
        bmean: mean of the biases, default as `positive_bias` says.

    Trainable leaves: `weights` (N+M, N), `ic` (N,), and `log_tmem` and `log_tsyn`, (1,)
    if shared, else (N,).

    Raises:
        ValueError: a shape is wrong, a time constant is not positive or not given
            either way, or `vreset >= thresh`.

    Reference:
        Fang et al., Incorporating learnable membrane time constant to enhance learning
        of spiking neural networks, ICCV (2021), has a trainable τm; τs and continuous
        time are as in `LIF`.

    Example:
        >>> import equinox as eqx
        >>> import jax.numpy as jnp
        >>> from eventax import EvNN
        >>> from eventax.neuron_models import PLIF
        >>> net = EvNN(
        ...     PLIF, 1, 50.0, in_size=1, wmask=[[0], [1]], thresh=1.0,
        ...     init_tmem=10.0, init_tsyn=5.0, init_weights=5.0, init_bias=0.0,
        ... )
        >>> spike = lambda net: net.ttfs(jnp.array([[1.0]]))[0]
        >>> spike(net)
        Array(4.235071, dtype=float32)

        A slower membrane fires later:

        >>> eqx.filter_grad(spike)(net).neuron_model.log_tmem
        Array([5.127], dtype=float32)
    """

    weights: Float[Array, "senders neurons"]
    ic: Float[Array, " neurons"]
    log_tmem: Float[Array, " constants"]
    log_tsyn: Float[Array, " constants"]
    thresh: Constant = eqx.field(static=True)
    vreset: Constant = eqx.field(static=True)
    reset_grad_preserve: bool = eqx.field(static=True)

    per_neuron: ClassVar[tuple[str, ...]] = ("log_tmem", "log_tsyn")

    def __init__(
        self,
        key: Array | None,
        n_neurons: int,
        in_size: int,
        wmask: Any,
        thresh: Any,
        vreset: Any = 0.0,
        wlim: Any = None,
        init_weights: Any = None,
        positive_weights: bool = True,
        blim: Any = None,
        init_bias: Any = None,
        positive_bias: bool = True,
        init_tmem: Any = None,
        init_tsyn: Any = None,
        tmem_low: Any = None,
        tmem_high: Any = None,
        tsyn_low: Any = None,
        tsyn_high: Any = None,
        shared_time_constants: bool = True,
        fan_in_mode: FanIn = None,
        dtype: Any = jnp.float32,
        reset_grad_preserve: bool = True,
        wmean: Any = None,
        bmean: Any = None,
    ):
        # NeuronModel's, which equinox lets subclasses inherit.
        super().__init__(dtype=dtype)  # pyright: ignore[reportCallIssue]
        self.thresh = constant("thresh", thresh, n_neurons, dtype)
        self.vreset = constant("vreset", vreset, n_neurons, dtype)
        check_reset(self.vreset.value, self.thresh.value)
        self.reset_grad_preserve = reset_grad_preserve
        self.log_tmem, self.log_tsyn = draw_log_time_constants(
            key,
            n_neurons,
            dtype,
            tmem=(init_tmem, tmem_low, tmem_high),
            tsyn=(init_tsyn, tsyn_low, tsyn_high),
            shared=shared_time_constants,
            infinite=("tmem",),
        )
        self.weights, self.ic = draw_weights_and_bias(
            key,
            wmask,
            dtype,
            init_weights=init_weights,
            wlim=wlim,
            wmean=wmean,
            positive_weights=positive_weights,
            fan_in_mode=fan_in_mode,
            init_bias=init_bias,
            blim=blim,
            bmean=bmean,
            positive_bias=positive_bias,
        )

    def _time_constants(self) -> tuple[Any, Any]:
        tau_m, leaks, tau_s = self._membrane()
        return jnp.where(leaks > 0, tau_m, jnp.inf), tau_s

    def _membrane(self) -> tuple[Any, Any, Any]:
        # An infinite one is selected before the exponential, whose derivative it has.
        leaks = self.log_tmem < jnp.log(jnp.finfo(self.dtype).max)
        tau_m = jnp.exp(jnp.where(leaks, self.log_tmem, 0))
        return tau_m, leaks.astype(self.dtype), jnp.exp(self.log_tsyn)
