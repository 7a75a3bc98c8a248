"""Quadratic integrate-and-fire neurons with exponential synaptic current."""

# A model names its columns, of which ColumnModel knows only that there are some.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._flows import AbstractFlow, Riccati
from .._static import Constant
from ._columns import Column, ColumnModel, Columns
from ._parameters import FanIn, constant, draw_weights_and_bias


class AbstractQIF(ColumnModel):
    """The QIF equations in phase form; a subclass says where τ come from."""

    weights: eqx.AbstractVar[Float[Array, "senders neurons"]]
    ic: eqx.AbstractVar[Float[Array, " neurons"]]
    series: eqx.AbstractVar[Riccati]

    per_neuron: ClassVar[tuple[str, ...]] = ("weights", "ic")

    @abc.abstractmethod
    def _time_constants(self) -> tuple[Any, Any]:
        """(τm, τs), each a scalar or (N,)."""

    @property
    def vreset(self) -> Constant:
        """Phase after a spike, 0."""
        return Constant(np.zeros((), self.dtype))

    def _start(self, n_neurons: int) -> Columns:
        phase = jnp.full((n_neurons,), 0.5, self.dtype)
        return phase, jnp.zeros_like(phase)

    def _derivative(self, phase: Column, i: Column) -> Columns:
        tau_m, tau_s = self._time_constants()
        # In the double angle: one sine and one cosine.
        cos, sin = jnp.cos(2 * jnp.pi * phase), jnp.sin(2 * jnp.pi * phase)
        drive = (i + self.ic) / jnp.pi**2
        turn = ((1 + cos) + sin / jnp.pi + (1 - cos) * drive) / 2
        return turn / tau_m, -i / tau_s

    def _distance(self, phase: Column, i: Column) -> Column:
        return phase - 1

    def _reset(self, fired: Any, phase: Column, i: Column) -> Columns:
        return jnp.where(fired, 0, phase), i

    def _arrive(self, rows: list[Column], phase: Column, i: Column) -> Columns:
        (w,) = rows
        return phase, i + w

    def observe(self, y: Any) -> Any:
        """(V, i) with V = π tan π(φ - 1/2), of limited size at φ = 0 and φ = 1."""
        phase, i = y[..., 0], y[..., 1]
        # The tangent as a quotient: rounding of φ - 1/2 would turn -∞ into +∞. Past
        # φ = 1, where a neuron in a pause goes on, V comes back from -∞.
        sin = jnp.sin(jnp.pi * jnp.minimum(phase, 1 - phase))
        eps = jnp.finfo(sin.dtype).eps
        sin = jnp.where(jnp.abs(sin) < eps, eps, sin)
        # cos(πφ), and 0 at rest.
        return jnp.stack([-jnp.pi * jnp.sin(jnp.pi * (0.5 - phase)) / sin, i], axis=-1)

    def _weight_leaves(self) -> list[Any]:
        return [self.weights]

    def flow(self) -> AbstractFlow | None:
        numerical = self._overrides("dynamics", "spike_condition")
        return None if numerical else self.series


class QIF(AbstractQIF):
    r"""Quadratic integrate-and-fire neuron with exponential synaptic current.

    $$\tau_m \dot V = V (V - 1) + i + ic, \qquad \tau_s \dot i = -i$$

    in the phase φ with V = π tan π(φ - 1/2):

    $$\tau_m \dot\varphi = \cos\pi\varphi\,(\cos\pi\varphi + \tfrac1\pi\sin\pi\varphi)
      + \tfrac{1}{\pi^2}\sin^2\pi\varphi\,(i + ic)$$

    Fires at φ = 1 (V = ∞) and goes on from φ = 0 (V = -∞). A spike that arrives adds
    its weight to i. State (φ, i), starting at (1/2, 0), which is V = 0; `state_at_t`
    shows (V, i). Simulated through the linear form of the equation, see the engine's
    page in the docs.

    Arguments:
        key: random key; needed where weights or biases are drawn.
        n_neurons: N.
        in_size: number of input channels M.
        wmask: connectivity (N+M, N), rows are senders: neurons first, then inputs.
        tmem: membrane time constant τm > 0, a scalar or (N,), in the user's time unit.
        tsyn: synaptic time constant τs > 0, a scalar or (N,).
        blim: width of the uniform distribution of biases.
        bmean: its mean.
        init_bias: biases themselves, a scalar or (N,).
        wlim: width of the uniform distribution of weights.
        wmean: its mean.
        init_weights: weights themselves, a scalar or (N+M, N), multiplied by `wmask`.
        fan_in_mode: scale of drawn weights: "linear" for 1/fan-in, "sqrt" for
            1/√fan-in, None for 1.
        dtype: floating-point type.
        flow_tolerance: relative error allowed per segment, default 1e-6 in float32 and
            1e-9 in float64.

    Trainable leaves: `weights` (N+M, N) and `ic` (N,).

    Raises:
        ValueError: a shape is wrong, or a constant is not positive.

    Reference:
        Klos & Memmesheimer, Smooth exact gradient descent learning in spiking neural
        networks, Phys. Rev. Lett. 134, 027301 (2025).

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax import EvNN
        >>> from eventax.neuron_models import QIF
        >>> net = EvNN(
        ...     QIF, 1, 60.0, in_size=1, wmask=[[0], [1]], init_weights=20.0,
        ...     init_bias=0.0, tsyn=5.0, tmem=20.0,
        ... )
        >>> net.spikes_until_t(jnp.array([[5.0, 30.0]]), 60.0, max_spikes=3).round(2)
        Array([[15.07, 42.26,   inf]], dtype=float32)
    """

    weights: Float[Array, "senders neurons"]
    ic: Float[Array, " neurons"]
    tmem: Constant = eqx.field(static=True)
    tsyn: Constant = eqx.field(static=True)
    series: Riccati = eqx.field(static=True)

    per_neuron: ClassVar[tuple[str, ...]] = ("tmem", "tsyn")

    def __init__(
        self,
        key: Array | None,
        n_neurons: int,
        in_size: int,
        wmask: Any,
        tmem: Any,
        tsyn: Any,
        blim: Any = None,
        bmean: Any = 0.0,
        init_bias: Any = None,
        wlim: Any = None,
        wmean: Any = 0.0,
        init_weights: Any = None,
        fan_in_mode: FanIn = None,
        dtype: Any = jnp.float32,
        flow_tolerance: float | None = None,
    ):
        # NeuronModel's, which equinox lets subclasses inherit.
        super().__init__(dtype=dtype)  # pyright: ignore[reportCallIssue]
        self.tmem = constant("tmem", tmem, n_neurons, dtype, positive=True)
        self.tsyn = constant("tsyn", tsyn, n_neurons, dtype, positive=True)
        self.series = Riccati.of_accuracy(flow_tolerance, dtype)
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
