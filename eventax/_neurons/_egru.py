"""Event-based gated recurrent units."""

# A model names its columns, of which ColumnModel knows only that there are some.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._static import Constant
from ._columns import Column, ColumnModel, Columns
from ._parameters import constant, draw_normal


class EGRU(ColumnModel):
    r"""Event-based gated recurrent unit, in continuous time.

    $$\tau_m \dot c = \sigma(a_u)\,(\tanh a_z - c), \qquad
      \tau_s \dot a_x = -a_x + b_x \quad (x = u, r, z)$$

    with the logistic function σ. Fires when c reaches `thresh`; then c falls by
    `thresh`. A spike that arrives adds its weight W_u to a_u and W_r to a_r, and
    W_z σ(a_r) to a_z, with the a_r of the receiver before the arrival: u is the update
    gate, r the reset gate, z the proposal. State (c, a_u, a_r, a_z), starting at 0.
    Simulated numerically.

    Arguments:
        key: random key; not needed if both scales are 0.
        n_neurons: N.
        in_size: number of input channels M.
        wmask: connectivity (N+M, N), rows are senders: neurons first, then inputs.
        tsyn: time constant τs > 0 of the gates, a scalar or (N,), in the user's time
            unit.
        tmem: time constant τm > 0 of the unit, a scalar or (N,).
        thresh: threshold > 0, a scalar or (N,). c stays below 1.
        bias_u_mean, bias_r_mean, bias_z_mean: means of the biases b_u, b_r and b_z.
        bias_scale: their standard deviation.
        weight_scale: standard deviation of the weights.
        weight_mean: their mean.
        dtype: floating-point type.

    Trainable leaves: `W_u`, `W_r` and `W_z`, (N+M, N), drawn from a normal
    distribution and multiplied by `wmask`, and `b_u`, `b_r` and `b_z`, (N,), drawn
    likewise.

    Raises:
        ValueError: a shape is wrong, a time constant or `thresh` is not positive, a
            scale is negative, or `key` is missing.

    Reference:
        Subramoney et al., Efficient recurrent architectures through activity sparsity
        and sparse back-propagation through time, ICLR (2023), its version in continuous
        time.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from eventax import EvNN
        >>> from eventax.neuron_models import EGRU
        >>> net = EvNN(
        ...     EGRU, 2, 50.0, in_size=1, key=jax.random.PRNGKey(0), bias_u_mean=2.0,
        ...     bias_z_mean=1.0,
        ... )
        >>> net.spikes_until_t(jnp.array([[1.0]]), 50.0, max_spikes=2).round()
        Array([[34., inf],
               [28., inf]], dtype=float32)
    """

    W_u: Float[Array, "senders neurons"]
    W_r: Float[Array, "senders neurons"]
    W_z: Float[Array, "senders neurons"]
    b_u: Float[Array, " neurons"]
    b_r: Float[Array, " neurons"]
    b_z: Float[Array, " neurons"]
    tsyn: Constant = eqx.field(static=True)
    tmem: Constant = eqx.field(static=True)
    thresh: Constant = eqx.field(static=True)

    per_neuron: ClassVar[tuple[str, ...]] = (
        *("W_u", "W_r", "W_z", "b_u", "b_r", "b_z"),
        *("tsyn", "tmem", "thresh"),
    )
    _drives: ClassVar[tuple[str, ...]] = ("b_u", "b_r", "b_z")

    def __init__(
        self,
        key: Array | None,
        n_neurons: int,
        in_size: int,
        wmask: Any,
        tsyn: Any = 5.0,
        tmem: Any = 20.0,
        thresh: Any = 0.5,
        bias_u_mean: Any = -2.0,
        bias_r_mean: Any = 1.0,
        bias_z_mean: Any = 0.0,
        bias_scale: Any = 0.1,
        weight_scale: Any = 1.0,
        weight_mean: Any = 0.0,
        dtype: Any = jnp.float32,
    ):
        super().__init__(dtype=dtype)
        self.tsyn = constant("tsyn", tsyn, n_neurons, dtype, positive=True)
        self.tmem = constant("tmem", tmem, n_neurons, dtype, positive=True)
        self.thresh = constant("thresh", thresh, n_neurons, dtype, positive=True)
        keys = [None] * 6 if key is None else jax.random.split(key, 6)
        mask = jnp.asarray(wmask, dtype)

        def weights(key: Any) -> Array:
            scale = "weight_scale", weight_scale
            return mask * draw_normal(key, mask.shape, weight_mean, scale, dtype)

        def bias(key: Any, mean: Any) -> Array:
            scale = "bias_scale", bias_scale
            return draw_normal(key, (n_neurons,), mean, scale, dtype)

        self.W_u, self.W_r, self.W_z = (weights(k) for k in keys[:3])
        self.b_u = bias(keys[3], bias_u_mean)
        self.b_r = bias(keys[4], bias_r_mean)
        self.b_z = bias(keys[5], bias_z_mean)

    def _start(self, n_neurons: int) -> Columns:
        zero = jnp.zeros((n_neurons,), self.dtype)
        return zero, zero, zero, zero

    def _derivative(self, c: Column, a_u: Column, a_r: Column, a_z: Column) -> Columns:
        update = jax.nn.sigmoid(a_u) / self.tmem.value
        return (
            update * (jnp.tanh(a_z) - c),
            (self.b_u - a_u) / self.tsyn.value,
            (self.b_r - a_r) / self.tsyn.value,
            (self.b_z - a_z) / self.tsyn.value,
        )

    def _distance(self, c: Column, a_u: Column, a_r: Column, a_z: Column) -> Column:
        return c - self.thresh.value

    def _reset(
        self, fired: Any, c: Column, a_u: Column, a_r: Column, a_z: Column
    ) -> Columns:
        return jnp.where(fired, c - self.thresh.value, c), a_u, a_r, a_z

    def _arrive(
        self, rows: list[Column], c: Column, a_u: Column, a_r: Column, a_z: Column
    ) -> Columns:
        w_u, w_r, w_z = rows
        return c, a_u + w_u, a_r + w_r, a_z + w_z * jax.nn.sigmoid(a_r)

    def _weight_leaves(self) -> list[Any]:
        return [self.W_u, self.W_r, self.W_z]
