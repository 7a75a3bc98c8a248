"""Weights, biases and constants of the built-in models: checked and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._static import Constant

FanIn = Literal["linear", "sqrt"] | None


def constant(
    name: str, value: Any, n_neurons: int, dtype: Any, *, positive: bool = False
) -> Constant:
    """A scalar or per-neuron constant."""
    if value is None:
        raise ValueError(
            f"`{name}` must be given: a number or an array of shape ({n_neurons},)."
        )
    array = np.asarray(value, dtype=dtype)
    if array.shape not in ((), (n_neurons,)):
        raise ValueError(
            f"`{name}` must be a scalar or have shape ({n_neurons},), one value per "
            f"neuron; got shape {array.shape}."
        )
    if not np.all(np.isfinite(array)):
        raise ValueError(f"`{name}` must be finite; got {value!r}.")
    if positive and not np.all(array > 0):
        raise ValueError(f"`{name}` must be positive; got {value!r}.")
    return Constant(array)


def check_reset(vreset: Constant, thresh: Constant) -> None:
    """A neuron that is reset to threshold or above would fire without end."""
    if not np.all(vreset.value < thresh.value):
        raise ValueError(
            "`vreset` must be below `thresh` for every neuron; got "
            f"vreset={vreset.value!r} and thresh={thresh.value!r}."
        )


def draw_weights_and_bias(
    key: Array | None,
    wmask: Float[Array, "senders neurons"],
    dtype: Any,
    *,
    init_weights: Any,
    wlim: Any,
    wmean: Any,
    fan_in_mode: FanIn,
    init_bias: Any,
    blim: Any,
    bmean: Any,
) -> tuple[Float[Array, "senders neurons"], Float[Array, " neurons"]]:
    """Initial weights (N+M, N) and bias currents (N,).

    Given values are used as they are; otherwise weights are uniform in
    wmean ± wlim/2, times the fan-in scale, and biases uniform in bmean ± blim/2.
    Weights are multiplied by `wmask` in both cases.
    """
    n_neurons = wmask.shape[1]
    wkey = bkey = None
    if key is not None:
        wkey, bkey = jax.random.split(key, 2)
        # Where only one is random it takes the whole key, as in eventax 0.1.0, so
        # that equal keys give equal networks.
        wkey = wkey if init_bias is None else key
        bkey = bkey if init_weights is None else key
    if init_weights is None:
        weights = _uniform(
            "wlim", "init_weights", wkey, wmask.shape, wlim, wmean, dtype
        )
        weights = weights * _fan_in_scale(wmask, fan_in_mode, dtype)
    else:
        weights = _given("init_weights", init_weights, wmask.shape, dtype)
    if init_bias is None:
        bias = _uniform("blim", "init_bias", bkey, (n_neurons,), blim, bmean, dtype)
    else:
        bias = _given("init_bias", init_bias, (n_neurons,), dtype)
    return weights * jnp.asarray(wmask, dtype), bias


def _given(name: str, value: Any, shape: Sequence[int], dtype: Any) -> Array:
    array = jnp.asarray(value, dtype)
    if array.shape not in ((), tuple(shape)):
        raise ValueError(
            f"`{name}` must be a scalar or have shape {tuple(shape)}; got shape "
            f"{array.shape}."
        )
    return jnp.broadcast_to(array, shape)


def _uniform(
    limit_name: str,
    given_name: str,
    key: Array | None,
    shape: Sequence[int],
    limit: Any,
    mean: Any,
    dtype: Any,
) -> Array:
    if limit is None:
        raise ValueError(
            f"Either `{given_name}` or `{limit_name}` must be given: the values "
            "themselves, or the width of the uniform distribution they are drawn from."
        )
    if key is None:
        raise ValueError(
            f"`key` must be given where something is random; got None, but "
            f"`{given_name}` is None too. Pass `key=jax.random.PRNGKey(...)` or "
            f"`{given_name}`."
        )
    half = limit / 2
    return jax.random.uniform(
        key, tuple(shape), dtype, minval=mean - half, maxval=mean + half
    )


def _fan_in_scale(wmask: Any, mode: FanIn, dtype: Any) -> Array:
    if mode is None:
        return jnp.ones((), dtype)
    fan_in = jnp.maximum(jnp.sum(jnp.asarray(wmask, dtype) != 0, axis=0), 1)
    if mode == "linear":
        return (1 / fan_in).astype(dtype)
    if mode == "sqrt":
        return (1 / jnp.sqrt(fan_in)).astype(dtype)
    raise ValueError(f"`fan_in_mode` must be 'linear', 'sqrt' or None; got {mode!r}.")
