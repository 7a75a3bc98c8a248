"""Leaky integrate-and-fire neurons with exponential synaptic current."""

# A model names its columns, of which ColumnModel knows only that there are some.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._static import Constant
from ._columns import Column, Columns
from ._exponentials import first_crossing
from ._li import AbstractLI
from ._parameters import (
    FanIn,
    check_reset,
    constant,
    draw_weights_and_bias,
    time_constant,
)


class AbstractLIF(AbstractLI):
    """The LIF equations: leaky integrators with a threshold and a reset."""

    thresh: eqx.AbstractVar[Constant]
    vreset: eqx.AbstractVar[Constant]
    reset_grad_preserve: eqx.AbstractVar[bool]

    per_neuron: ClassVar[tuple[str, ...]] = ("thresh", "vreset")

    def _distance(self, v: Column, i: Column) -> Column:
        return v - self.thresh.value

    def _reset(self, fired: Any, v: Column, i: Column) -> Columns:
        if self.reset_grad_preserve:
            drop = self.thresh.value - self.vreset.value
            return jnp.where(fired, v - drop, v), i
        return jnp.where(fired, self.vreset.value, v), i

    def _crossing(self, z: Columns, horizon: Float[Array, "*shape"]) -> Column:
        """Time until v first rises through threshold, inf if not within `horizon`."""
        tau_m, leak, tau_s = self._membrane()
        a, b = leak / tau_m, 1 / tau_s
        ic, thresh = self.ic, self.thresh.value

        def gap_then(step: Column) -> tuple[Column, Column, Column]:
            v, i = self._decayed(z, self._decay(step))
            u = i + ic - leak * v
            return v - thresh, u / tau_m, -(u * a + i * b) / tau_m

        rises, turn = self._extremum(z)
        gap, limit = z[0] - thresh, self._limit(z) - thresh
        return first_crossing(gap_then, gap, rises, turn, limit, horizon)


class LIF(AbstractLIF):
    r"""Leaky integrate-and-fire neuron with exponential synaptic current.

    $$\tau_m \dot v = -v + i + ic, \qquad \tau_s \dot i = -i$$

    Fires when v reaches `thresh`; then v goes to `vreset`. A spike that arrives adds
    its weight to i. State (v, i), starting at 0. Simulated in closed form, for every
    ratio of the time constants, equal ones included.

    Arguments:
        key: random key; needed where weights or biases are drawn.
        n_neurons: N.
        in_size: number of input channels M.
        wmask: connectivity (N+M, N), rows are senders: neurons first, then inputs.
        thresh: threshold, a scalar or (N,).
        tsyn: synaptic time constant τs > 0, a scalar or (N,), in the user's time unit.
        tmem: membrane time constant τm > 0, a scalar or (N,). Infinity is no leak, the
            integrate-and-fire neuron: the first equation is v' = i + ic then, in the
            user's time unit.
        vreset: value after a spike, below `thresh`.
        blim: width of the uniform distribution of biases.
        bmean: its mean.
        init_bias: biases themselves, a scalar or (N,).
        wlim: width of the uniform distribution of weights.
        wmean: its mean.
        init_weights: weights themselves, a scalar or (N+M, N), multiplied by `wmask`.
        fan_in_mode: scale of drawn weights: "linear" for 1/fan-in, "sqrt" for
            1/√fan-in, None for 1.
        dtype: floating-point type.
        reset_grad_preserve: subtract the drop (True) or write `vreset` (False); the
            same value and gradient.

    Trainable leaves: `weights` (N+M, N) and `ic` (N,).

    Raises:
        ValueError: a shape is wrong, a time constant is not positive, or
            `vreset >= thresh`.

    Reference:
        Gerstner et al., Neuronal Dynamics (2014), eq. 1.5 and 1.20.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax import EvNN
        >>> from eventax.neuron_models import LIF
        >>> net = EvNN(
        ...     LIF, 1, 60.0, in_size=1, wmask=[[0], [1]], init_weights=8.0,
        ...     init_bias=0.0, thresh=1.0, tsyn=5.0, tmem=20.0,
        ... )
        >>> net.spikes_until_t(jnp.array([[5.0, 30.0]]), 60.0, max_spikes=3)
        Array([[ 9.117, 32.06,  inf]], dtype=float32)
    """

    weights: Float[Array, "senders neurons"]
    ic: Float[Array, " neurons"]
    thresh: Constant = eqx.field(static=True)
    vreset: Constant = eqx.field(static=True)
    tsyn: Constant = eqx.field(static=True)
    tmem: Constant = eqx.field(static=True)
    reset_grad_preserve: bool = eqx.field(static=True)

    per_neuron: ClassVar[tuple[str, ...]] = ("tsyn", "tmem")

    def __init__(
        self,
        key: Array | None,
        n_neurons: int,
        in_size: int,
        wmask: Any,
        thresh: Any,
        tsyn: Any,
        tmem: Any,
        vreset: Any = 0.0,
        blim: Any = None,
        bmean: Any = 0.0,
        init_bias: Any = None,
        wlim: Any = None,
        wmean: Any = 0.0,
        init_weights: Any = None,
        fan_in_mode: FanIn = None,
        dtype: Any = jnp.float32,
        reset_grad_preserve: bool = True,
    ):
        # NeuronModel's, which equinox lets subclasses inherit.
        super().__init__(dtype=dtype)  # pyright: ignore[reportCallIssue]
        self.thresh = constant("thresh", thresh, n_neurons, dtype)
        self.vreset = constant("vreset", vreset, n_neurons, dtype)
        self.tsyn = constant("tsyn", tsyn, n_neurons, dtype, positive=True)
        self.tmem = time_constant("tmem", tmem, n_neurons, dtype)
        check_reset(self.vreset.value, self.thresh.value)
        self.reset_grad_preserve = reset_grad_preserve
        self.weights, self.ic = draw_weights_and_bias(
            key,
            wmask,
            dtype,
            init_weights=init_weights,
            wlim=wlim,
            wmean=wmean,
            fan_in_mode=fan_in_mode,
            init_bias=init_bias,
            blim=blim,
            bmean=bmean,
        )

    def _time_constants(self) -> tuple[Any, Any]:
        return self.tmem.value, self.tsyn.value
