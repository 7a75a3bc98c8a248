"""Leaky integrate-and-fire neurons whose threshold adapts."""

# A model names its columns, of which ColumnModel knows only that there are some.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._flows import AbstractFlow, ClosedForm
from .._static import Constant
from ._columns import Column, ColumnModel, Columns
from ._exponentials import (
    approach,
    first_crossing,
    integral_of_decay,
    integral_of_response,
    turning_point,
)
from ._parameters import constant, draw_weights_and_bias, time_constant


class ALIF(ColumnModel):
    r"""Leaky integrate-and-fire neuron with adaptive threshold b.

    $$\tau_m \dot v = -v + ic, \qquad \tau_a \dot b = -b + b_0$$

    Fires when v reaches b; then v falls by b (as it is before) and b rises by β/τa. A
    spike that arrives makes v itself jump, by rm·W, and may so fire the neuron at once.
    State (v, b), starting at (0, b0). Simulated in closed form.

    A neuron that a jump takes far above b may be above its threshold after its reset as
    well: then it fires again at the same time.

    Arguments:
        key: random key; needed where weights or biases are drawn.
        n_neurons: N.
        in_size: number of input channels M.
        wmask: connectivity (N+M, N), rows are senders: neurons first, then inputs.
        tmem: membrane time constant τm > 0, a scalar or (N,), in the user's time unit.
            Infinity is its limit, v' = 0: v moves by jumps only, and `ic` does nothing.
        ta: time constant τa > 0 of the threshold, a scalar or (N,).
        b0: threshold that b relaxes to, a scalar or (N,).
        beta: strength β of the adaptation: each spike raises b by β/τa. A scalar or
            (N,); b0 + β/τa has to be positive.
        rm: membrane resistance, which weights are multiplied by, a scalar or (N,).
        blim: width of the uniform distribution of biases.
        init_bias: biases themselves, a scalar or (N,).
        positive_bias: draw from [0, blim] (True) or ±blim/2 (False).
        wlim: width of the uniform distribution of weights.
        init_weights: weights themselves, a scalar or (N+M, N), multiplied by `wmask`.
        positive_weights: draw from [0, wlim] (True) or ±wlim/2 (False).
        dtype: floating-point type.
        reset_grad_preserve: subtract b from v (True) or set v to 0 (False). The same
            where v reaches b continuously; what a jump took v above b is kept (True) or
            lost (False).

    Trainable leaves: `weights` (N+M, N) and `ic` (N,).

    Raises:
        ValueError: a shape is wrong, a time constant is not positive, or b0 + β/τa is
            not.

    Reference:
        Bellec et al., Long short-term memory and learning-to-learn in networks of
        spiking neurons, NeurIPS (2018), and Bellec et al., A solution to the learning
        dilemma for recurrent networks of spiking neurons, Nature Communications 11,
        3625 (2020); here in continuous time.

    Example:
        A neuron that its bias current drives fires ever more slowly:

        >>> from eventax import EvNN
        >>> from eventax.neuron_models import ALIF
        >>> net = EvNN(
        ...     ALIF, 1, 100.0, in_size=0, tmem=10.0, ta=50.0, b0=1.0, beta=20.0,
        ...     init_weights=0.0, init_bias=2.0,
        ... )
        >>> net.spikes_until_t(None, 60.0, max_spikes=5).round()
        Array([[ 7., 18., 32., 50., inf]], dtype=float32)
    """

    weights: Float[Array, "senders neurons"]
    ic: Float[Array, " neurons"]
    tmem: Constant = eqx.field(static=True)
    ta: Constant = eqx.field(static=True)
    b0: Constant = eqx.field(static=True)
    beta: Constant = eqx.field(static=True)
    rm: Constant = eqx.field(static=True)
    reset_grad_preserve: bool = eqx.field(static=True)

    per_neuron: ClassVar[tuple[str, ...]] = (
        "weights",
        "ic",
        "tmem",
        "ta",
        "b0",
        "beta",
        "rm",
    )

    def __init__(
        self,
        key: Array | None,
        n_neurons: int,
        in_size: int,
        wmask: Any,
        tmem: Any,
        ta: Any,
        b0: Any,
        beta: Any,
        rm: Any = 1.0,
        blim: Any = None,
        init_bias: Any = None,
        positive_bias: bool = True,
        wlim: Any = None,
        init_weights: Any = None,
        positive_weights: bool = True,
        dtype: Any = jnp.float32,
        reset_grad_preserve: bool = True,
    ):
        super().__init__(dtype=dtype)
        self.tmem = time_constant("tmem", tmem, n_neurons, dtype)
        self.ta = constant("ta", ta, n_neurons, dtype, positive=True)
        self.b0 = constant("b0", b0, n_neurons, dtype)
        self.beta = constant("beta", beta, n_neurons, dtype)
        self.rm = constant("rm", rm, n_neurons, dtype)
        self._check_threshold()
        self.reset_grad_preserve = reset_grad_preserve
        self.weights, self.ic = draw_weights_and_bias(
            key,
            wmask,
            dtype,
            init_weights=init_weights,
            wlim=wlim,
            wmean=None,
            positive_weights=positive_weights,
            fan_in_mode=None,
            init_bias=init_bias,
            blim=blim,
            bmean=None,
            positive_bias=positive_bias,
        )

    def _check_threshold(self) -> None:
        raised = self.b0.value + self._rise()
        if not np.all(raised > 0):
            raise ValueError(
                "`b0` + `beta`/`ta`, the threshold after the first spike, must be "
                "positive for every neuron, or it fires without end; got "
                f"b0={self.b0.value!r}, beta={self.beta.value!r} and "
                f"ta={self.ta.value!r}."
            )

    def _rise(self) -> Any:
        """What a spike raises the threshold by."""
        return self.beta.value / self.ta.value

    def _start(self, n_neurons: int) -> Columns:
        v = jnp.zeros((n_neurons,), self.dtype)
        return v, v + self.b0.value

    def _derivative(self, v: Column, b: Column) -> Columns:
        return (self.ic - v) / self.tmem.value, (self.b0.value - b) / self.ta.value

    def _distance(self, v: Column, b: Column) -> Column:
        return v - b

    def _reset(self, fired: Any, v: Column, b: Column) -> Columns:
        after = v - b if self.reset_grad_preserve else 0
        return jnp.where(fired, after, v), jnp.where(fired, b + self._rise(), b)

    def _arrive(self, rows: list[Column], v: Column, b: Column) -> Columns:
        (w,) = rows
        return v + self.rm.value * w, b

    def _weight_leaves(self) -> list[Any]:
        return [self.weights]

    # Closed form -----------------------------------------------------------------

    def flow(self) -> AbstractFlow | None:
        numerical = self._overrides("dynamics", "spike_condition")
        return None if numerical else ClosedForm()

    def _decay(self, step: Float[Array, "*shape"]) -> PyTree:
        """How far v goes to ic, and b to b0."""
        return approach(1 / self.tmem.value, step), approach(1 / self.ta.value, step)

    def _decayed(self, z: Columns, decay: PyTree) -> Columns:
        """v and b later: each relaxes exponentially."""
        (v, b), (own, other), ic, b0 = z, decay, self.ic, self.b0.value
        return own.moved(v, ic, ic - v), other.moved(b, b0, b0 - b)

    def _turn(self, z: Columns) -> Column:
        """Never: v approaches ic, and does not turn."""
        return jnp.full_like(z[0], jnp.inf)

    def _area(self, z: Columns, end: Columns, step: Any, rate: float) -> Column:
        """Integral of v exp(-rate t) on the way from z to `end`.

        Of both parts of v by itself, as none of them cancels then.
        """
        a = 1 / self.tmem.value
        drive = a * self.ic * integral_of_response(rate + a, rate, step)
        return z[0] * integral_of_decay(rate + a, step) + drive

    def _crossing(self, z: Columns, horizon: Float[Array, "*shape"]) -> Column:
        """Time until v first reaches b, inf if not within `horizon`.

        The gap is a constant plus two exponentials, p exp(-at) - q exp(-ct), so it has
        at most one extremum.
        """
        v, b = z
        a, c = 1 / self.tmem.value, 1 / self.ta.value
        p, q = v - self.ic, b - self.b0.value
        limit = self.ic - self.b0.value

        def gap_then(step: Column) -> tuple[Column, Column, Column]:
            v_then, b_then = self._decayed(z, self._decay(step))
            dv, db = a * (self.ic - v_then), c * (self.b0.value - b_then)
            return v_then - b_then, dv - db, c * db - a * dv

        ratio = a * p / jnp.where(q == 0, 1, c * q)
        slope, bend = c * q - a * p, -c * (a - c) * q
        rises, turn = turning_point(a, c, slope, bend, ratio)
        return first_crossing(gap_then, v - b, rises, turn, limit, horizon)
