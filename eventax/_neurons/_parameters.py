"""Weights, biases and constants of the built-in models: checked and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._arguments import as_numbers, check_static, visible
from .._static import Constant

FanIn = Literal["linear", "sqrt"] | None


def constant(
    name: str, value: Any, n_neurons: int, dtype: Any, *, positive: bool = False
) -> Constant:
    """A scalar or per-neuron constant."""
    check_static(name, value)
    array = _checked(name, value, n_neurons, dtype, positive=positive)
    return Constant(np.asarray(array))


def time_constant(name: str, value: Any, n_neurons: int, dtype: Any) -> Constant:
    """A positive constant, which may be infinite."""
    check_static(name, value)
    array = _checked(name, value, n_neurons, dtype, positive=True, infinite=True)
    return Constant(np.asarray(array))


def without_leak(tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(τ, 1), and (1, 0) where τ is infinite."""
    leaks = np.isfinite(tau)
    return np.where(leaks, tau, 1).astype(tau.dtype), np.asarray(leaks, tau.dtype)


def trainable_constant(
    name: str,
    value: Any,
    n_neurons: int,
    dtype: Any,
    *,
    shared: bool,
    positive: bool = False,
    infinite: bool = False,
) -> Array:
    """One value for all neurons, shape (1,), or one for each, shape (N,).

    `shared` is the constructor's choice between the two.
    """
    if np.shape(value) == (1,):
        value = value[0]
    number = _checked(
        name, value, n_neurons, dtype, positive=positive, infinite=infinite
    )
    if shared and number.shape != ():
        raise ValueError(
            f"`{name}` must be a scalar where all neurons share it; got shape "
            f"{np.shape(value)}. Ask for one value per neuron to pass an array."
        )
    return jnp.broadcast_to(number, (1,) if shared else (n_neurons,))


def _checked(
    name: str,
    value: Any,
    n_neurons: int,
    dtype: Any,
    *,
    positive: bool,
    infinite: bool = False,
) -> np.ndarray | Array:
    """A number or one for each neuron, each of them in its range where it is seen.

    Infinity is in the range only if it is allowed, and positive.
    """
    if value is None:
        raise ValueError(
            f"`{name}` must be given: a number or an array of shape ({n_neurons},)."
        )
    array = as_numbers(name, value, dtype)
    if array.shape not in ((), (n_neurons,)):
        raise ValueError(
            f"`{name}` must be a scalar or have shape ({n_neurons},), one value per "
            f"neuron; got shape {array.shape}."
        )
    seen = visible(array)
    if seen is not None and not np.all(np.isfinite(seen) | (infinite & (seen > 0))):
        raise ValueError(f"`{name}` must be finite; got {value!r}.")
    if seen is not None and positive and not np.all(seen > 0):
        raise ValueError(f"`{name}` must be positive; got {value!r}.")
    return array


def draw_log_time_constants(
    key: Array | None,
    n_neurons: int,
    dtype: Any,
    *,
    shared: bool,
    infinite: tuple[str, ...] = (),
    **wishes: tuple[Any, Any, Any],
) -> tuple[Array, ...]:
    """Logarithms of trainable time constants, each of shape (1,) if shared, else (N,).

    `wishes` has (value, low, high) for each name: the value is used, or if it is None,
    one drawn uniformly between the other two. Those named in `infinite` may be so. They
    have keys apart from those of weights and bias, which do not depend on whether time
    constants are drawn.
    """
    keys = [None] * len(wishes)
    if key is not None:
        keys = jax.random.split(jax.random.fold_in(key, 1), len(wishes))
    logs = []
    for (name, (value, low, high)), own_key in zip(wishes.items(), keys, strict=True):
        given = f"init_{name}"
        if value is None:
            _check_range(name, low, high)
            value = jax.random.uniform(
                _needed(own_key, given),
                (1,) if shared else (n_neurons,),
                dtype,
                minval=low,
                maxval=high,
            )
        else:
            value = trainable_constant(
                given,
                value,
                n_neurons,
                dtype,
                shared=shared,
                positive=True,
                infinite=name in infinite,
            )
        logs.append(jnp.log(value))
    return tuple(logs)


def _check_range(name: str, low: Any, high: Any) -> None:
    lowest, highest = f"{name}_low", f"{name}_high"
    check_static(lowest, low)
    check_static(highest, high)
    if low is None or high is None:
        raise ValueError(
            f"Either `init_{name}` or both `{lowest}` and `{highest}` must be given: "
            "the time constant itself, or the range it is drawn from; got "
            f"{lowest}={low!r} and {highest}={high!r}."
        )
    if not 0 < low <= high < np.inf:
        raise ValueError(
            f"`{lowest}` must be positive and `{highest}` not below it; got "
            f"{lowest}={low!r} and {highest}={high!r}."
        )


def check_reset(
    reset: Any,
    thresh: Any,
    reset_name: str = "vreset",
    thresh_name: str = "thresh",
) -> None:
    """A neuron that is reset to threshold or above would fire without end."""
    if not np.all(reset < thresh):
        raise ValueError(
            f"`{reset_name}` must be below `{thresh_name}` for every neuron; got "
            f"{reset_name}={reset!r} and {thresh_name}={thresh!r}."
        )


def draw_weights_and_bias(
    key: Array | None,
    wmask: Any,
    dtype: Any,
    *,
    init_weights: Any,
    wlim: Any,
    wmean: Any,
    fan_in_mode: FanIn,
    init_bias: Any,
    blim: Any,
    bmean: Any,
    positive_weights: bool = False,
    positive_bias: bool = False,
) -> tuple[Float[Array, "senders neurons"], Float[Array, " neurons"]]:
    """Initial weights (N+M, N) and bias currents (N,).

    Given values are used as they are; otherwise weights are uniform in
    wmean ± wlim/2, times the fan-in scale, and biases uniform in bmean ± blim/2.
    A mean of None is 0, or half the width where values are to be positive. Weights are
    multiplied by `wmask` in both cases.
    """
    mask = jnp.asarray(wmask, dtype)
    n_neurons = mask.shape[1]
    wkey = bkey = None
    if key is not None:
        wkey, bkey = jax.random.split(key, 2)
        # Where only one is random it takes the whole key, as in eventax 0.1.0, so
        # that equal keys give equal networks.
        wkey = wkey if init_bias is None else key
        bkey = bkey if init_weights is None else key
    if init_weights is None:
        mean = _mean(wmean, wlim, positive_weights)
        weights = _uniform("wlim", "init_weights", wkey, mask.shape, wlim, mean, dtype)
        weights = weights * _fan_in_scale(mask, fan_in_mode, dtype)
    else:
        weights = _given("init_weights", init_weights, mask.shape, dtype)
    if init_bias is None:
        mean = _mean(bmean, blim, positive_bias)
        bias = _uniform("blim", "init_bias", bkey, (n_neurons,), blim, mean, dtype)
    else:
        bias = _given("init_bias", init_bias, (n_neurons,), dtype)
    return weights * mask, bias


def _mean(mean: Any, limit: Any, positive: bool) -> Any:
    if mean is not None or limit is None:
        return mean
    return limit / 2 if positive else 0.0


def _given(name: str, value: Any, shape: Sequence[int], dtype: Any) -> Array:
    array = jnp.asarray(as_numbers(name, value, dtype))
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
    half = limit / 2
    key = _needed(key, given_name)
    return jax.random.uniform(
        key, tuple(shape), dtype, minval=mean - half, maxval=mean + half
    )


def _needed(key: Array | None, given_name: str) -> Array:
    if key is None:
        raise ValueError(
            f"`key` must be given where something is random; got None, but "
            f"`{given_name}` is None too. Pass `key=jax.random.PRNGKey(...)` or "
            f"`{given_name}`."
        )
    return key


def _fan_in_scale(mask: Array, mode: FanIn, dtype: Any) -> Array:
    if mode is None:
        return jnp.ones((), dtype)
    fan_in = jnp.maximum(jnp.sum(mask != 0, axis=0), 1)
    if mode == "linear":
        return (1 / fan_in).astype(dtype)
    if mode == "sqrt":
        return (1 / jnp.sqrt(fan_in)).astype(dtype)
    raise ValueError(f"`fan_in_mode` must be 'linear', 'sqrt' or None; got {mode!r}.")


def draw_normal(
    key: Array | None,
    shape: Sequence[int],
    mean: Any,
    scale: tuple[str, Any],
    dtype: Any,
) -> Array:
    """Normally distributed values; `scale` is (name, standard deviation)."""
    name, deviation = scale
    check_static(name, deviation)
    if not 0 <= deviation < np.inf:
        raise ValueError(
            f"`{name}` must be finite and not negative; got {deviation!r}."
        )
    mean = jnp.full(tuple(shape), mean, dtype)
    if deviation == 0:
        return mean
    if key is None:
        raise ValueError(
            f"`key` must be given where something is random; got None, but `{name}` is "
            f"{deviation!r}. Pass `key=jax.random.PRNGKey(...)` or `{name}=0`."
        )
    return mean + deviation * jax.random.normal(key, tuple(shape), dtype)
