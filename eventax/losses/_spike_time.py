"""Spikes at given times."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from ._silence import spikes_until, times_until


def spike_time_mse(
    times: Float[ArrayLike, "*batch outputs"],
    targets: Float[ArrayLike, "*targets"],
    *,
    t_max: Any,
) -> Float[Array, "*batch"]:
    r"""Mean squared difference of spike times and the times wanted.

    $$L = \frac1n \sum_{k=1}^n (t_k - \hat t_k)^2$$

    with $t_k$ and $\hat t_k$ put to `t_max` where they are later or missing. Such a
    time has no gradient.

    Arguments:
        times: (..., n) spike times of the outputs, `inf` or NaN where there is none.
        targets: the times wanted, of a shape that broadcasts to that of `times`, such
            as (n,) or (..., n); `inf` for an output that is to be silent.
        t_max: when a missing spike counts as firing, such as the end of the simulation.

    Returns:
        (...) one loss per sample, in units of time squared; take `jnp.mean` for a
        batch.

    Raises:
        ValueError: `targets` do not broadcast to the shape of `times`, or `t_max` is
            not finite.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax.losses import spike_time_mse
        >>> times = jnp.array([[3.0, 5.0], [4.0, jnp.inf]])
        >>> spike_time_mse(times, jnp.array([4.0, 8.0]), t_max=10.0)
        Array([5., 2.], dtype=float32)
    """
    times = spikes_until(times, t_max)
    targets = times_until(targets, t_max)
    if not _fits(targets.shape, times.shape):
        raise ValueError(
            f"`targets` must have the shape of `times`, {times.shape}, or one that "
            f"broadcasts to it; got shape {targets.shape}."
        )
    return jnp.mean((times - targets) ** 2, axis=-1)


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, wanted) == wanted
    except ValueError:
        return False
