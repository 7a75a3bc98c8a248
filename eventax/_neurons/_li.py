"""Leaky integrators with exponential synaptic current, which do not spike."""

# A model names its columns, of which ColumnModel knows only that there are some.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._flows import AbstractFlow, ClosedForm
from .._static import Constant
from ._columns import Column, ColumnModel, Columns
from ._exponentials import (
    exponentials,
    integral_of_decay,
    integral_of_response,
    turning_point,
    way,
)
from ._parameters import (
    FanIn,
    constant,
    draw_weights_and_bias,
    time_constant,
    without_leak,
)


class AbstractLI(ColumnModel):
    """The equations below threshold, and their solution.

    A subclass says where τ come from, and what happens at a spike.
    """

    weights: eqx.AbstractVar[Float[Array, "senders neurons"]]
    ic: eqx.AbstractVar[Float[Array, " neurons"]]

    per_neuron: ClassVar[tuple[str, ...]] = ("weights", "ic")

    @abc.abstractmethod
    def _time_constants(self) -> tuple[Any, Any]:
        """(τm, τs), each a scalar or (N,); an infinite τm is no leak."""

    def _membrane(self) -> tuple[Any, Any, Any]:
        """(τm, leak, τs) with τm v' = i + ic - leak v: no leak is 0, and a τm of 1."""
        tau_m, tau_s = self._time_constants()
        return *without_leak(tau_m), tau_s

    def _start(self, n_neurons: int) -> Columns:
        zero = jnp.zeros((n_neurons,), self.dtype)
        return zero, zero

    def _derivative(self, v: Column, i: Column) -> Columns:
        tau_m, leak, tau_s = self._membrane()
        return (i + self.ic - leak * v) / tau_m, -i / tau_s

    def _arrive(self, rows: list[Column], v: Column, i: Column) -> Columns:
        (w,) = rows
        return v, i + w

    def _weight_leaves(self) -> list[Any]:
        return [self.weights]

    # Closed form -----------------------------------------------------------------

    def flow(self) -> AbstractFlow | None:
        numerical = self._overrides("dynamics", "spike_condition")
        return None if numerical else ClosedForm()

    def _decay(self, step: Float[Array, "*shape"]) -> PyTree:
        """How far v goes to ic, exp(-t/τs), and what a unit of i adds to v."""
        tau_m, leak, tau_s = self._membrane()
        a = leak / tau_m
        fill, decay_m, decay_s, response = exponentials(a, 1 / tau_s, step)
        # Without a leak v goes on for ever, ic times the time.
        return way(a * step, fill / tau_m, decay_m), decay_s, response / tau_m

    def _decayed(self, z: Columns, decay: PyTree) -> Columns:
        """v and i later: v is the constant ic plus two exponentials."""
        (v, i), (own, decay_s, response), ic = z, decay, self.ic
        _, leak, _ = self._membrane()
        return own.moved(v, ic, ic - leak * v) + i * response, i * decay_s

    def _limit(self, z: Columns) -> Column:
        """Where v tends to."""
        (v, i), ic = z, self.ic
        _, leak, tau_s = self._membrane()
        goes_on = jnp.where(ic == 0, v + i * tau_s, jnp.where(ic > 0, 1, -1) * jnp.inf)
        return jnp.where(leak > 0, ic, goes_on)

    def _extremum(self, z: Columns) -> tuple[Any, Column]:
        """Whether v rises, and the time until its only extremum, inf if it has none.

        u = τm v' obeys u' = -leak u/τm - i/τs, so there is at most one.
        """
        (v, i), ic = z, self.ic
        tau_m, leak, tau_s = self._membrane()
        a, b = leak / tau_m, 1 / tau_s
        pull = ic - leak * v
        ratio = (a * i + (a - b) * pull) / jnp.where(i == 0, 1, b * i)
        return turning_point(a, b, i + pull, b * i, ratio)

    def _turn(self, z: Columns) -> Column:
        """Time until the extremum of v, inf if it has none."""
        return self._extremum(z)[1]

    def _area(self, z: Columns, end: Columns, step: Any, rate: float) -> Column:
        """Integral of v exp(-rate t) on the way from z to `end`.

        Of each of the three parts of v by itself, as none of them cancels then.
        """
        v, i = z
        tau_m, leak, tau_s = self._membrane()
        fall = rate + leak / tau_m
        drive = self.ic * integral_of_response(fall, rate, step)
        drive = drive + i * integral_of_response(fall, rate + 1 / tau_s, step)
        return v * integral_of_decay(fall, step) + drive / tau_m


class LI(AbstractLI):
    r"""Leaky integrator with exponential synaptic current: `LIF` without a threshold.

    $$\tau_m \dot v = -v + i + ic, \qquad \tau_s \dot i = -i$$

    Never fires: a readout, whose potential is the answer. See `max_over_time`,
    `integral` and `state_at_t` of a network. A spike that arrives adds its weight to i.
    State (v, i), starting at 0. Simulated in closed form. Use it for all output neurons
    of a network, with `MultiNeuronModel` if other neurons spike.

    Arguments:
        key: random key; needed where weights or biases are drawn.
        n_neurons: N.
        in_size: number of input channels M.
        wmask: connectivity (N+M, N), rows are senders: neurons first, then inputs.
        tsyn: synaptic time constant τs > 0, a scalar or (N,), in the user's time unit.
        tmem: membrane time constant τm > 0, a scalar or (N,). Infinity is no leak: the
            first equation is v' = i + ic then, in the user's time unit.
        blim: width of the uniform distribution of biases.
        bmean: its mean.
        init_bias: biases themselves, a scalar or (N,).
        wlim: width of the uniform distribution of weights.
        wmean: its mean.
        init_weights: weights themselves, a scalar or (N+M, N), multiplied by `wmask`.
        fan_in_mode: scale of drawn weights: "linear" for 1/fan-in, "sqrt" for
            1/√fan-in, None for 1.
        dtype: floating-point type.

    Trainable leaves: `weights` (N+M, N) and `ic` (N,).

    Raises:
        ValueError: a shape is wrong, or a time constant is not positive.

    Reference:
        Gerstner et al., Neuronal Dynamics (2014), eq. 1.5; as a readout: Nowotny,
        Turner & Knight, Loss shaping enhances exact gradient learning with EventProp in
        spiking neural networks, Neuromorph. Comput. Eng. 5 (2025).

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax import FFEvNN
        >>> from eventax.neuron_models import LI, LIF, MultiNeuronModel
        >>> both = {"tsyn": 5.0, "tmem": 10.0, "init_bias": 0.0}
        >>> hidden = both | {"thresh": 1.0, "init_weights": 8.0}
        >>> readout = both | {"init_weights": 0.5}
        >>> net = FFEvNN(
        ...     [3, 2], 1, MultiNeuronModel, 50.0, neuron_models=[LIF, LI],
        ...     neuron_model_kwargs=[hidden, readout],
        ... )
        >>> net.max_over_time(jnp.array([[1.0]]))
        Array([0.7387, 0.7387], dtype=float32)
    """

    weights: Float[Array, "senders neurons"]
    ic: Float[Array, " neurons"]
    tsyn: Constant = eqx.field(static=True)
    tmem: Constant = eqx.field(static=True)

    per_neuron: ClassVar[tuple[str, ...]] = ("tsyn", "tmem")

    def __init__(
        self,
        key: Array | None,
        n_neurons: int,
        in_size: int,
        wmask: Any,
        tsyn: Any,
        tmem: Any,
        blim: Any = None,
        bmean: Any = 0.0,
        init_bias: Any = None,
        wlim: Any = None,
        wmean: Any = 0.0,
        init_weights: Any = None,
        fan_in_mode: FanIn = None,
        dtype: Any = jnp.float32,
    ):
        # NeuronModel's, which equinox lets subclasses inherit.
        super().__init__(dtype=dtype)  # pyright: ignore[reportCallIssue]
        self.tsyn = constant("tsyn", tsyn, n_neurons, dtype, positive=True)
        self.tmem = time_constant("tmem", tmem, n_neurons, dtype)
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

    def _distance(self, v: Column, i: Column) -> Column:
        return jnp.full_like(v, -1)

    def _reset(self, fired: Any, v: Column, i: Column) -> Columns:
        return v, i

    def _crossing(self, z: Columns, horizon: Float[Array, "*shape"]) -> Column:
        """Never."""
        return jnp.full_like(z[0], jnp.inf)
