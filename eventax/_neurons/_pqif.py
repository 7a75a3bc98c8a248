"""Quadratic integrate-and-fire neurons with trainable time constants."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._flows import Riccati
from ._parameters import FanIn, draw_log_time_constants, draw_weights_and_bias
from ._qif import AbstractQIF


class PQIF(AbstractQIF):
    r"""`QIF` whose time constants are trained too ("parametric").

    $$\tau_m \dot V = V (V - 1) + i + ic, \qquad \tau_s \dot i = -i, \qquad
      \tau_m = e^{\mathtt{log\_tmem}}, \quad \tau_s = e^{\mathtt{log\_tsyn}}$$

    in the phase φ with V = π tan π(φ - 1/2), as `QIF` has it. Fires at φ = 1 (V = ∞)
    and goes on from φ = 0 (V = -∞). A spike that arrives adds its weight to i. State
    (φ, i), starting at (1/2, 0), which is V = 0; `state_at_t` shows (V, i).

    Arguments:
        key: random key; needed where weights, biases or time constants are drawn.
        n_neurons: N.
        in_size: number of input channels M.
        wmask: connectivity (N+M, N), rows are senders: neurons first, then inputs.
        blim: width of the uniform distribution of biases.
        init_bias: biases themselves, a scalar or (N,).
        positive_bias: draw from [0, blim] (True) or ±blim/2 (False).
        wlim: width of the uniform distribution of weights.
        init_weights: weights themselves, a scalar or (N+M, N), multiplied by `wmask`.
        positive_weights: draw from [0, wlim] (True) or ±wlim/2 (False).
        init_tmem: membrane time constant τm > 0, in the user's time unit: a scalar, or
            (N,) if not shared.
        init_tsyn: synaptic time constant τs > 0, likewise.
        tmem_low, tmem_high: where `init_tmem` is None, τm is uniform in this range.
        tsyn_low, tsyn_high: where `init_tsyn` is None, τs is uniform in this range.
        shared_time_constants: one τm and one τs for all neurons (True), or one for each
            (False).
        fan_in_mode: scale of drawn weights: "linear" for 1/fan-in, "sqrt" for
            1/√fan-in, None for 1.
        dtype: floating-point type.
        wmean: mean of the weights, default as `positive_weights` says.
        bmean: mean of the biases, default as `positive_bias` says.
        flow_tolerance: relative error allowed per segment, default 1e-6 in float32 and
            1e-9 in float64.

    Trainable leaves: `weights` (N+M, N), `ic` (N,), and `log_tmem` and `log_tsyn`, (1,)
    if shared, else (N,).

    Raises:
        ValueError: a shape is wrong, or a time constant is not positive or not given
            either way.

    Reference:
        Klos & Memmesheimer, Smooth exact gradient descent learning in spiking neural
        networks, Phys. Rev. Lett. 134, 027301 (2025), for the neuron.

    Example:
        >>> import equinox as eqx
        >>> import jax.numpy as jnp
        >>> from eventax import EvNN
        >>> from eventax.neuron_models import PQIF
        >>> net = EvNN(
        ...     PQIF, 1, 100.0, in_size=1, wmask=[[0], [1]], init_tmem=10.0,
        ...     init_tsyn=5.0, init_weights=20.0, init_bias=0.0,
        ... )
        >>> spike = lambda net: net.ttfs(jnp.array([[1.0]]))[0]
        >>> spike(net)
        Array(5.327, dtype=float32)
        >>> eqx.filter_grad(spike)(net).neuron_model.log_tmem
        Array([4.942], dtype=float32)
    """

    weights: Float[Array, "senders neurons"]
    ic: Float[Array, " neurons"]
    log_tmem: Float[Array, " constants"]
    log_tsyn: Float[Array, " constants"]
    series: Riccati = eqx.field(static=True)

    per_neuron: ClassVar[tuple[str, ...]] = ("log_tmem", "log_tsyn")

    def __init__(
        self,
        key: Array | None,
        n_neurons: int,
        in_size: int,
        wmask: Any,
        blim: Any = None,
        init_bias: Any = None,
        positive_bias: bool = True,
        wlim: Any = None,
        init_weights: Any = None,
        positive_weights: bool = True,
        init_tmem: Any = None,
        init_tsyn: Any = None,
        tmem_low: Any = None,
        tmem_high: Any = None,
        tsyn_low: Any = None,
        tsyn_high: Any = None,
        shared_time_constants: bool = True,
        fan_in_mode: FanIn = None,
        dtype: Any = jnp.float32,
        wmean: Any = None,
        bmean: Any = None,
        flow_tolerance: float | None = None,
    ):
        # NeuronModel's, which equinox lets subclasses inherit.
        super().__init__(dtype=dtype)  # pyright: ignore[reportCallIssue]
        self.series = Riccati.of_accuracy(flow_tolerance, dtype)
        self.log_tmem, self.log_tsyn = draw_log_time_constants(
            key,
            n_neurons,
            dtype,
            tmem=(init_tmem, tmem_low, tmem_high),
            tsyn=(init_tsyn, tsyn_low, tsyn_high),
            shared=shared_time_constants,
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
        return jnp.exp(self.log_tmem), jnp.exp(self.log_tsyn)
