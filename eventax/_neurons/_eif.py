"""Exponential integrate-and-fire neurons with exponential synaptic current."""

# A model names its columns, of which ColumnModel knows only that there are some.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._static import Constant
from ._columns import Column, Columns
from ._coordinates import CoordinateModel
from ._parameters import FanIn, check_reset, constant, draw_weights_and_bias

# The default of `spike_time_tol`, and what it stands for in other units, times τm.
MILLISECONDS, PART = 0.001, 1e-4


class EIF(CoordinateModel):
    r"""Exponential integrate-and-fire neuron with exponential synaptic current.

    $$\tau_m \dot V = E_L - V + \Delta_T\, e^{(V - v_T)/\Delta_T} + i + ic, \qquad
      \tau_s \dot i = -i$$

    Above vT the potential runs away to infinity. Fires when V reaches `v_peak`, from
    where infinity is not far any more; then V goes to `vreset`. A spike that arrives
    adds its weight to i. State (V, i), starting at (EL, 0).

    Simulated numerically, though not in V but in a coordinate x in which the upstroke
    is not stiff: about V - vT well below vT, and 0 where V is infinite. With E =
    exp(x/ΔT), r = 1 - E and s = r + (r²/2) log r,

    $$V = v_T + \Delta_T \log \frac{1 - s}{s}, \qquad \tau_m \dot x =
      \frac{(1 - s)/E}{1 + r \log r + r/2}
      \left(s\,(E_L - V + i + ic) + \Delta_T (1 - s)\right).$$

    The second term of s takes the leading logarithm out of the motion near a spike,
    which would not spoil spike times, but their derivatives.

    Arguments:
        key: random key; needed where weights or biases are drawn.
        n_neurons: N.
        in_size: number of input channels M.
        wmask: connectivity (N+M, N), rows are senders: neurons first, then inputs.
        tmem: membrane time constant τm > 0, a scalar or (N,), in the user's time unit.
        tsyn: synaptic time constant τs > 0, a scalar or (N,).
        vT: potential at which the exponential sets in, a scalar or (N,).
        deltaT: sharpness ΔT > 0 of the upstroke, a scalar or (N,).
        EL: resting potential, where V starts, a scalar or (N,).
        vreset: potential after a spike, below `v_peak`, a scalar or (N,).
        blim: width of the uniform distribution of biases.
        bmean: its mean.
        init_bias: biases themselves, a scalar or (N,).
        wlim: width of the uniform distribution of weights.
        wmean: its mean.
        init_weights: weights themselves, a scalar or (N+M, N), multiplied by `wmask`.
        fan_in_mode: scale of drawn weights: "linear" for 1/fan-in, "sqrt" for
            1/√fan-in, None for 1.
        v_peak: potential at a spike, a scalar or (N,). Pass `spike_time_tol=None` with
            it.
        spike_time_tol: how long before V = ∞ a spike is to be, from which `v_peak` is
            vT - ΔT log(spike_time_tol/τm). The default 0.001 is meant in ms: where τm
            is below 1, as it is in seconds, it stands for τm/10⁴. In any unit of time
            a part of `tmem` is right. If this is None as well, `v_peak` is vT + 5ΔT.
        dtype: floating-point type.
        reset_grad_preserve: subtract the drop (True) or write `vreset` (False); the
            same value and gradient.

    Attributes:
        v_peak: the potential at a spike that follows, a constant.

    Trainable leaves: `weights` (N+M, N) and `ic` (N,).

    Raises:
        ValueError: a shape is wrong, a time constant, `deltaT` or `spike_time_tol` is
            not positive, `vreset >= v_peak`, or both `v_peak` and `spike_time_tol` are
            given.

    Reference:
        Fourcaud-Trocmé et al., How spike generation mechanisms determine the neuronal
        response to fluctuating inputs, J. Neurosci. 23, 11628 (2003).

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax import EvNN
        >>> from eventax.neuron_models import EIF
        >>> net = EvNN(
        ...     EIF, 1, 50.0, in_size=1, wmask=[[0], [1]], tmem=10.0, tsyn=5.0,
        ...     init_weights=6.0, init_bias=0.0,
        ... )
        >>> net.ttfs(jnp.array([[1.0]]))
        Array([5.833], dtype=float32)
        >>> net.neuron_model.v_peak  # 1 - 0.2 log(0.001 / 10)
        Constant(array(2.842, dtype=float32))
    """

    weights: Float[Array, "senders neurons"]
    ic: Float[Array, " neurons"]
    tmem: Constant = eqx.field(static=True)
    tsyn: Constant = eqx.field(static=True)
    vT: Constant = eqx.field(static=True)
    deltaT: Constant = eqx.field(static=True)
    EL: Constant = eqx.field(static=True)
    vreset: Constant = eqx.field(static=True)
    v_peak: Constant = eqx.field(static=True)
    reset_grad_preserve: bool = eqx.field(static=True)

    per_neuron: ClassVar[tuple[str, ...]] = (
        "weights",
        "ic",
        "tmem",
        "tsyn",
        "vT",
        "deltaT",
        "EL",
        "vreset",
        "v_peak",
    )

    def __init__(
        self,
        key: Array | None,
        n_neurons: int,
        in_size: int,
        wmask: Any,
        tmem: Any,
        tsyn: Any,
        vT: Any = 1.0,
        deltaT: Any = 0.2,
        EL: Any = 0.0,
        vreset: Any = 0.0,
        blim: Any = 0.05,
        bmean: Any = 0.025,
        init_bias: Any = None,
        wlim: Any = 40.0,
        wmean: Any = 20.0,
        init_weights: Any = None,
        fan_in_mode: FanIn = "linear",
        v_peak: Any = None,
        spike_time_tol: Any = MILLISECONDS,
        dtype: Any = jnp.float32,
        reset_grad_preserve: bool = False,
    ):
        super().__init__(dtype=dtype)
        self.tmem = constant("tmem", tmem, n_neurons, dtype, positive=True)
        self.tsyn = constant("tsyn", tsyn, n_neurons, dtype, positive=True)
        self.vT = constant("vT", vT, n_neurons, dtype)
        self.deltaT = constant("deltaT", deltaT, n_neurons, dtype, positive=True)
        self.EL = constant("EL", EL, n_neurons, dtype)
        self.vreset = constant("vreset", vreset, n_neurons, dtype)
        peak = self._peak(v_peak, spike_time_tol, n_neurons)
        self.v_peak = constant("v_peak", peak, n_neurons, dtype)
        check_reset(self.vreset.value, self.v_peak.value, thresh_name="v_peak")
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

    def _peak(self, v_peak: Any, spike_time_tol: Any, n_neurons: int) -> Any:
        """The potential at a spike, said in one of three ways."""
        if v_peak is not None and spike_time_tol is not None:
            raise ValueError(
                "Only one of `v_peak` and `spike_time_tol` may be given, as each of "
                f"them says where a spike is; got v_peak={v_peak!r} and "
                f"spike_time_tol={spike_time_tol!r}. Pass `spike_time_tol=None` with "
                "`v_peak`."
            )
        if v_peak is not None:
            return v_peak
        if spike_time_tol is None:
            return self.vT.value + 5 * self.deltaT.value
        tol = constant(
            "spike_time_tol", spike_time_tol, n_neurons, np.float64, positive=True
        ).value
        tau = self.tmem.value
        tol = np.where((tol == MILLISECONDS) & (tau < 1), PART * tau, tol)
        return self.vT.value - self.deltaT.value * np.log(tol / tau)

    # In V ------------------------------------------------------------------------

    def _start(self, n_neurons: int) -> Columns:
        zero = jnp.zeros((n_neurons,), self.dtype)
        return zero + self.EL.value, zero

    def _derivative(self, v: Column, i: Column) -> Columns:
        # The exponential is cut off above the peak, where it might overflow.
        top = self.v_peak.value + self.deltaT.value
        steps = (jnp.minimum(v, top) - self.vT.value) / self.deltaT.value
        upstroke = self.deltaT.value * jnp.exp(steps)
        drive = self.EL.value - v + upstroke + i + self.ic
        return drive / self.tmem.value, -i / self.tsyn.value

    def _distance(self, v: Column, i: Column) -> Column:
        return v - self.v_peak.value

    def _reset(self, fired: Any, v: Column, i: Column) -> Columns:
        if self.reset_grad_preserve:
            drop = self.v_peak.value - self.vreset.value
            return jnp.where(fired, v - drop, v), i
        return jnp.where(fired, self.vreset.value, v), i

    def _arrive(self, rows: list[Column], v: Column, i: Column) -> Columns:
        (w,) = rows
        return v, i + w

    def _weight_leaves(self) -> list[Any]:
        return [self.weights]

    def units(self, largest: PyTree) -> PyTree:
        """Where the potential runs away, ΔT is the size that counts."""
        return jnp.asarray(np.min(self.deltaT.value)), *largest[1:]

    # In x ------------------------------------------------------------------------

    def _threshold(self) -> Any:
        return self.v_peak.value

    def _reset_value(self) -> Any:
        return self.vreset.value

    def _coordinate(self, v: Any) -> Any:
        xp: Any = np if isinstance(v, np.ndarray) else jnp
        q = (v - self.vT.value) / self.deltaT.value
        s, rest = 1 / (1 + xp.exp(xp.minimum(q, 80))), 1 / (1 + xp.exp(-q.clip(-80)))
        # Newton's method, for whichever of r and E is the smaller.
        r, e = s, rest / 1.5
        for _ in range(8):
            log = xp.log(r)
            r = r - (r + r * r * log / 2 - s) / (1 + r * log + r / 2)
            log = xp.log1p(-e)
            rise = 1 + (1 - e) * log + (1 - e) / 2
            e = e - (e - (1 - e) ** 2 * log / 2 - rest) / rise
            r, e = xp.clip(r, 0, 1), xp.clip(e, 0, 0.75)
        # E itself may be too small to be told from 0, its logarithm is not.
        low = q - xp.log1p(xp.exp(xp.minimum(q, 80))) - xp.log(_share(xp, e))
        x = self.deltaT.value * xp.where(s < 0.5, xp.log1p(-xp.minimum(r, 0.9)), low)
        return x.astype(self.dtype)

    def _potential(self, x: Column) -> Column:
        return self._upstroke(x)[0]

    def _upstroke(self, x: Column) -> tuple[Column, Column, Column]:
        """V, s, and dx/dV over s."""
        # A solver looks a little beyond infinity, so the motion goes on smoothly there.
        # A neuron that may not fire goes on at a constant rate.
        limits = jnp.finfo(self.dtype)
        below = jnp.minimum(x / self.deltaT.value, 0.05)
        # Where E is smaller still, nothing but x itself matters any more.
        e = jnp.maximum(jnp.exp(below), limits.tiny**0.25)
        r, near = 1 - e, jnp.where(e > 1, 2 - e, e)
        # The logarithm alone is cut off, and is the same one everywhere: its derivative
        # cancels. A stage of a step may end so near infinity that r is 0.
        log = jnp.log1p(-jnp.minimum(near, 1 - limits.epsneg))
        half = r * log / 2
        s, share = r * (1 + half), 1 - r * half / e
        steps = below + jnp.log(share / (1 + half)) - log
        v = self.vT.value + self.deltaT.value * steps
        return v, s, share / (1 + 2 * half + r / 2)

    def _coordinate_slope(self, x: Column, i: Column) -> Columns:
        v, s, rise = self._upstroke(x)
        drive = self.EL.value - v + i + self.ic
        # The exponential is (1 - s)/s, whose 1/s is the reason for the coordinate.
        rate = rise * (s * drive + self.deltaT.value * (1 - s))
        return rate / self.tmem.value, -i / self.tsyn.value


def _share(xp: Any, e: Any) -> Any:
    """(1 - s)/E, from 1 at a spike to 3/2 far below vT."""
    return 1 - (1 - e) ** 2 * xp.log1p(-e) / (2 * e)
