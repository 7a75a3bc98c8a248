"""A channel that always fires."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._arguments import as_floats, check_finite


def with_bias_spike(
    times: Float[ArrayLike, "*batch inputs k"], time: Any = 0.0
) -> Float[Array, "*batch inputs+1 k"]:
    """The same spikes, and one more channel that fires once at a fixed time.

    Where data are told by times alone, the channel says when they start, and its
    weights act as a bias.

    Arguments:
        times: (..., M, K) spike times, K at least 1.
        time: when the channel fires, a number.

    Returns:
        (..., M+1, K) spike times, the new channel last.

    Raises:
        ValueError: there is no room for a spike, as K is 0, or `time` is not finite.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax.encoding import with_bias_spike
        >>> with_bias_spike(jnp.array([[3.0, 5.0], [4.0, jnp.inf]]))
        Array([[ 3.,  5.], [ 4., inf], [ 0., inf]], dtype=float32)
    """
    check_finite("time", time)
    times = as_floats(times)
    if times.ndim < 2 or times.shape[-1] == 0:
        raise ValueError(
            "`times` must have room for a spike per channel, (..., M, K) with K at "
            f"least 1; got shape {times.shape}. Pad it with `inf`."
        )
    *batch, _, n_spikes = times.shape
    channel = jnp.full((*batch, 1, n_spikes), jnp.inf, times.dtype)
    channel = channel.at[..., 0].set(time)
    return jnp.concatenate([times, channel], axis=-2)
