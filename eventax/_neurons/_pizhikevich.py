"""Izhikevich's neurons with trainable constants."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._arguments import visible
from .._static import Constant
from ._izhikevich import AbstractIzhikevich
from ._parameters import (
    FanIn,
    check_reset,
    constant,
    draw_weights_and_bias,
    trainable_constant,
)


class pIzhikevich(AbstractIzhikevich):
    r"""`Izhikevich` whose constants a, b, c and d are trained too ("parametric").

    $$\dot v = 0.04 v^2 + 5 v + 140 - u + ic + i, \qquad \dot u = a (b v - u), \qquad
      \tau_s \dot i = -i, \qquad a = e^{\mathtt{log\_a}}, \quad
      b = e^{\mathtt{log\_b}}, \quad d = e^{\mathtt{log\_d}}$$

    Fires when v reaches `v_thresh`; then v goes to c, and u rises by d. A spike that
    arrives adds its weight to i. State (v, u, i), starting at (c, b·c, 0).

    Arguments:
        key: random key; needed where weights or biases are drawn.
        n_neurons: N.
        in_size: number of input channels M.
        wmask: connectivity (N+M, N), rows are senders: neurons first, then inputs.
        a: rate of the recovery u, > 0, 1/ms: a scalar, or (N,) if not shared.
        b: sensitivity of u to v, > 0, likewise.
        c: value of v after a spike, below `v_thresh`, mV, likewise.
        d: jump of u at a spike, > 0, likewise.
        v_thresh: threshold, a scalar or (N,), mV; readable as `thresh`.
        tau_syn: synaptic time constant τs > 0, a scalar or (N,), ms.
        shared_izhi_params: one a, b, c and d for all neurons (True), or one for each
            (False).
        wlim: width of the uniform distribution of weights.
        init_weights: weights themselves, a scalar or (N+M, N), multiplied by `wmask`.
        positive_weights: draw from [0, wlim] (True) or ±wlim/2 (False).
        blim: width of the uniform distribution of biases.
        init_bias: biases themselves, a scalar or (N,).
        positive_bias: draw from [0, blim] (True) or ±blim/2 (False).
        fan_in_mode: scale of drawn weights: "linear" for 1/fan-in, "sqrt" for
            1/√fan-in, None for 1.
        dtype: floating-point type.
        reset_grad_preserve: subtract the drop (True) or write c (False); the same value
            and gradient.
        wmean: mean of the weights, default as `positive_weights` says.
        bmean: mean of the biases, default as `positive_bias` says.

    Trainable leaves: `weights` (N+M, N), `ic` (N,), and `log_a`, `log_b`, `c` and
    `log_d`, (1,) if shared, else (N,).

    Raises:
        ValueError: a shape is wrong, `a`, `b`, `d` or `tau_syn` is not positive, or
            `c >= v_thresh`.

    Reference:
        Izhikevich, Simple model of spiking neurons, IEEE Trans. Neural Netw. 14, 1569
        (2003), eq. 1-3.

    Example:
        >>> import equinox as eqx
        >>> from eventax import EvNN
        >>> from eventax.neuron_models import pIzhikevich
        >>> net = EvNN(
        ...     pIzhikevich, 1, 60.0, in_size=0, c=-65.0, d=8.0, init_weights=0.0,
        ...     init_bias=10.0,
        ... )
        >>> second = lambda net: net.spikes_until_t(None, 60.0)[0, 1]
        >>> second(net)
        Array(26.226, dtype=float32)

        A larger jump of u makes the second spike later:

        >>> eqx.filter_grad(second)(net).neuron_model.log_d
        Array([45.05], dtype=float32)
    """

    weights: Float[Array, "senders neurons"]
    ic: Float[Array, " neurons"]
    log_a: Float[Array, " constants"]
    log_b: Float[Array, " constants"]
    c: Float[Array, " constants"]
    log_d: Float[Array, " constants"]
    thresh: Constant = eqx.field(static=True)
    tau_syn: Constant = eqx.field(static=True)
    reset_grad_preserve: bool = eqx.field(static=True)

    per_neuron: ClassVar[tuple[str, ...]] = ("log_a", "log_b", "c", "log_d")

    def __init__(
        self,
        key: Array | None,
        n_neurons: int,
        in_size: int,
        wmask: Any,
        *,
        a: Any = 0.02,
        b: Any = 0.2,
        c: Any = -51.0,
        d: Any = 2.0,
        v_thresh: Any = 30.0,
        tau_syn: Any = 5.0,
        shared_izhi_params: bool = True,
        wlim: Any = None,
        init_weights: Any = None,
        positive_weights: bool = True,
        blim: Any = None,
        init_bias: Any = None,
        positive_bias: bool = True,
        fan_in_mode: FanIn = None,
        dtype: Any = jnp.float32,
        reset_grad_preserve: bool = False,
        wmean: Any = None,
        bmean: Any = None,
    ):
        # NeuronModel's, which equinox lets subclasses inherit.
        super().__init__(dtype=dtype)  # pyright: ignore[reportCallIssue]

        def trainable(name: str, value: Any, positive: bool = True) -> Array:
            return trainable_constant(
                name,
                value,
                n_neurons,
                dtype,
                shared=shared_izhi_params,
                positive=positive,
            )

        self.log_a = jnp.log(trainable("a", a))
        self.log_b = jnp.log(trainable("b", b))
        self.c = trainable("c", c, positive=False)
        self.log_d = jnp.log(trainable("d", d))
        self.thresh = constant("v_thresh", v_thresh, n_neurons, dtype)
        self.tau_syn = constant("tau_syn", tau_syn, n_neurons, dtype, positive=True)
        reset = visible(c)
        if reset is not None:
            check_reset(reset, self.thresh.value, "c", "v_thresh")
        self.reset_grad_preserve = reset_grad_preserve
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

    def _constants(self) -> tuple[Any, Any, Any, Any]:
        return jnp.exp(self.log_a), jnp.exp(self.log_b), self.c, jnp.exp(self.log_d)
