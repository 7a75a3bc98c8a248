"""Delays between a spike and its arrival: drawn, checked and added up."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from .._arguments import as_float, as_numbers


def draw_delays(
    key: Array | None,
    shape: tuple[int, int],
    dtype: Any,
    *,
    init_delays: Any,
    dlim: Any,
    init_axonal_delays: Any,
    axonal_dlim: Any,
) -> tuple[Array | None, Array | None]:
    """Synaptic (senders, neurons) and axonal (senders,) delays, None if not wanted.

    Given values are used as they are; otherwise they are uniform in [0, limit].
    """
    keys = (None, None) if key is None else jax.random.split(key)
    return (
        _draw(keys[0], shape, dtype, init_delays, "init_delays", dlim, "dlim"),
        _draw(
            keys[1],
            shape[:1],
            dtype,
            init_axonal_delays,
            "init_axonal_delays",
            axonal_dlim,
            "axonal_dlim",
        ),
    )


def _draw(
    key: Array | None,
    shape: tuple[int, ...],
    dtype: Any,
    given: Any,
    given_name: str,
    limit: Any,
    limit_name: str,
) -> Array | None:
    if given is None and limit is None:
        return None
    if given is not None:
        array = jnp.asarray(as_numbers(given_name, given, dtype))
        if array.shape not in ((), shape):
            raise ValueError(
                f"`{given_name}` must be a scalar or have shape {shape}, one delay for "
                f"each {'synapse' if len(shape) > 1 else 'sender'} (neurons first, "
                f"then inputs); got shape {array.shape}."
            )
        if not isinstance(array, Tracer) and not np.all(np.isfinite(array)):
            raise ValueError(f"`{given_name}` must be finite; got {given!r}.")
        return jnp.broadcast_to(array, shape)
    number = as_float(limit_name, limit)
    if not (np.isfinite(number) and number >= 0):
        raise ValueError(
            f"`{limit_name}` is the longest delay that is drawn and must be finite and "
            f"not negative; got {limit!r}."
        )
    if key is None:
        raise ValueError(
            f"`key` must be given where delays are drawn; got None, but `{limit_name}` "
            f"= {limit!r}. Pass `key=jax.random.PRNGKey(...)` or `{given_name}`."
        )
    return jax.random.uniform(key, shape, dtype, maxval=number)


def total_delays(
    synaptic: Float[Array, "senders neurons"] | None,
    axonal: Float[Array, " senders"] | None,
    n_neurons: int,
) -> Float[Array, "senders neurons"] | None:
    """What each spike takes from sender to receiver; negative values act as 0."""
    if synaptic is None and axonal is None:
        return None
    total = 0.0 if synaptic is None else not_negative(synaptic)
    if axonal is not None:
        total = total + jnp.repeat(not_negative(axonal)[:, None], n_neurons, axis=1)
    return jnp.asarray(total)


def not_negative(delays: Array) -> Array:
    """The delays that are in force: negative ones act as 0."""
    # The derivative at 0 is that of longer delays, so that they can be learned.
    # NaN stays, and is an error.
    return jnp.where(delays < 0, 0, delays)
