"""Izhikevich's neurons with exponential synaptic current."""

# A model names its columns, of which ColumnModel knows only that there are some.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._static import Constant
from ._columns import Column, Columns
from ._coordinates import CoordinateModel
from ._parameters import FanIn, check_reset, constant, draw_weights_and_bias


class AbstractIzhikevich(CoordinateModel):
    r"""Izhikevich's equations; a subclass says where a, b, c and d come from.

    The engine carries y, with x = 0.04 v + 2.5 and x = 2 y / (1 - y²), in which v = ∞
    is y = 1 and motion is smooth. As x' = x² - 0.65 + 0.04 (i + ic - u) = x² + J,

        y' = (4 y² + J (1 - y²)²) / (2 (1 + y²)).
    """

    weights: eqx.AbstractVar[Float[Array, "senders neurons"]]
    ic: eqx.AbstractVar[Float[Array, " neurons"]]
    thresh: eqx.AbstractVar[Constant]
    tau_syn: eqx.AbstractVar[Constant]
    reset_grad_preserve: eqx.AbstractVar[bool]

    per_neuron: ClassVar[tuple[str, ...]] = ("weights", "ic", "thresh", "tau_syn")

    @abc.abstractmethod
    def _constants(self) -> tuple[Any, Any, Any, Any]:
        """(a, b, c, d), each a scalar, (1,) or (N,)."""

    # In v ------------------------------------------------------------------------

    def _start(self, n_neurons: int) -> Columns:
        _, b, c, _ = self._constants()
        zero = jnp.zeros((n_neurons,), self.dtype)
        return zero + c, zero + b * c, zero

    def _derivative(self, v: Column, u: Column, i: Column) -> Columns:
        a, b, _, _ = self._constants()
        rate = (0.04 * v + 5) * v + 140 - u + self.ic + i
        return rate, a * (b * v - u), -i / self.tau_syn.value

    def _distance(self, v: Column, u: Column, i: Column) -> Column:
        return v - self.thresh.value

    def _reset(self, fired: Any, v: Column, u: Column, i: Column) -> Columns:
        _, _, c, d = self._constants()
        after = v - (self.thresh.value - c) if self.reset_grad_preserve else c
        return jnp.where(fired, after, v), jnp.where(fired, u + d, u), i

    def _arrive(self, rows: list[Column], v: Column, u: Column, i: Column) -> Columns:
        (w,) = rows
        return v, u, i + w

    def _weight_leaves(self) -> list[Any]:
        return [self.weights]

    # In y ------------------------------------------------------------------------

    def _threshold(self) -> Any:
        return self.thresh.value

    def _reset_value(self) -> Any:
        _, _, c, _ = self._constants()
        return c

    def _coordinate(self, v: Any) -> Any:
        x = 0.04 * v + 2.5
        return x / (1 + jnp.sqrt(1 + x * x))

    def _potential(self, y: Column) -> Column:
        edge = 1 - float(jnp.finfo(self.dtype).eps)
        y = jnp.clip(y, -edge, edge)
        return (2 * y / (1 - y * y) - 2.5) / 0.04

    def _coordinate_slope(self, y: Column, u: Column, i: Column) -> Columns:
        a, b, _, _ = self._constants()
        # A neuron that may not fire goes beyond infinity, at a constant rate, and its
        # u stays finite. Well above threshold, for steps that end near it.
        v = self._potential(
            jnp.minimum(y, (1 + self._coordinate(self._threshold())) / 2)
        )
        y = jnp.clip(y, -1, 1)
        square = y * y
        left = 1 - square
        drive = 0.04 * (i + self.ic - u) - 0.65
        rate = (4 * square + drive * left * left) / (2 + 2 * square)
        return rate, a * (b * v - u), -i / self.tau_syn.value


class Izhikevich(AbstractIzhikevich):
    r"""Izhikevich's neuron with exponential synaptic current.

    $$\dot v = 0.04 v^2 + 5 v + 140 - u + ic + i, \qquad \dot u = a (b v - u), \qquad
      \tau_s \dot i = -i$$

    Fires when v reaches `v_thresh`; then v goes to c, and u rises by d. A spike that
    arrives adds its weight to i. State (v, u, i), starting at (c, b·c, 0). Potentials
    are in mV and times in ms, as the numbers in the equation are. Simulated
    numerically, in a coordinate in which v = ∞ is an ordinary point, so that the
    upstroke is not stiff.

    Arguments:
        key: random key; needed where weights or biases are drawn.
        n_neurons: N.
        in_size: number of input channels M.
        wmask: connectivity (N+M, N), rows are senders: neurons first, then inputs.
        a: rate of the recovery u, a scalar or (N,), 1/ms.
        b: sensitivity of u to v, a scalar or (N,).
        c: value of v after a spike, below `v_thresh`, a scalar or (N,), mV.
        d: jump of u at a spike, a scalar or (N,).
        v_thresh: threshold, a scalar or (N,), mV; readable as `thresh`.
        tau_syn: synaptic time constant τs > 0, a scalar or (N,), ms.
        wlim: width of the uniform distribution of weights.
        wmean: its mean.
        init_weights: weights themselves, a scalar or (N+M, N), multiplied by `wmask`.
        blim: width of the uniform distribution of biases.
        bmean: its mean.
        init_bias: biases themselves, a scalar or (N,).
        fan_in_mode: scale of drawn weights: "linear" for 1/fan-in, "sqrt" for
            1/√fan-in, None for 1.
        dtype: floating-point type.
        reset_grad_preserve: subtract the drop (True) or write c (False); the same value
            and gradient.

    Trainable leaves: `weights` (N+M, N) and `ic` (N,).

    Raises:
        ValueError: a shape is wrong, `tau_syn` is not positive, or `c >= v_thresh`.

    Reference:
        Izhikevich, Simple model of spiking neurons, IEEE Trans. Neural Netw. 14, 1569
        (2003), eq. 1-3.

    Example:
        A neuron that its bias current drives:

        >>> from eventax import EvNN
        >>> from eventax.neuron_models import Izhikevich
        >>> net = EvNN(
        ...     Izhikevich, 1, 100.0, in_size=0, c=-65.0, d=8.0, init_weights=0.0,
        ...     init_bias=10.0,
        ... )
        >>> net.spikes_until_t(None, 100.0, max_spikes=4).round()
        Array([[ 3., 26., 71., inf]], dtype=float32)
    """

    weights: Float[Array, "senders neurons"]
    ic: Float[Array, " neurons"]
    a: Constant = eqx.field(static=True)
    b: Constant = eqx.field(static=True)
    c: Constant = eqx.field(static=True)
    d: Constant = eqx.field(static=True)
    thresh: Constant = eqx.field(static=True)
    tau_syn: Constant = eqx.field(static=True)
    reset_grad_preserve: bool = eqx.field(static=True)

    per_neuron: ClassVar[tuple[str, ...]] = ("a", "b", "c", "d")

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
        wlim: Any = None,
        wmean: Any = 0.0,
        init_weights: Any = None,
        blim: Any = None,
        bmean: Any = 0.0,
        init_bias: Any = None,
        fan_in_mode: FanIn = None,
        dtype: Any = jnp.float32,
        reset_grad_preserve: bool = True,
    ):
        # NeuronModel's, which equinox lets subclasses inherit.
        super().__init__(dtype=dtype)  # pyright: ignore[reportCallIssue]
        self.a = constant("a", a, n_neurons, dtype)
        self.b = constant("b", b, n_neurons, dtype)
        self.c = constant("c", c, n_neurons, dtype)
        self.d = constant("d", d, n_neurons, dtype)
        self.thresh = constant("v_thresh", v_thresh, n_neurons, dtype)
        self.tau_syn = constant("tau_syn", tau_syn, n_neurons, dtype, positive=True)
        check_reset(self.c.value, self.thresh.value, "c", "v_thresh")
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

    def _constants(self) -> tuple[Any, Any, Any, Any]:
        return self.a.value, self.b.value, self.c.value, self.d.value
