"""Classes told by the earliest output, where some outputs are silent."""

from __future__ import annotations

from typing import Any

import jax.lax as lax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._arguments import as_floats, as_labels
from ._classes import at_label
from ._first_spike import first_spike_cross_entropy


def waking_first_spike_cross_entropy(
    times: Float[ArrayLike, "*batch outputs"],
    labels: ArrayLike,
    drive: Float[ArrayLike, ...],
    *,
    tau0: Any,
    tau1: Any = None,
    alpha: Any = 0.0,
    t_max: Any,
) -> Float[Array, "*batch"]:
    r"""`first_spike_cross_entropy`, which wakes outputs that are silent.

    While the label's output is silent, its time has no gradient, and all that the other
    outputs could learn is to fire later, until they are silent too. So such a sample
    teaches nothing but to raise the `drive` of its label's output, by a derivative of
    -1. Values are those of the cross-entropy.

    Arguments:
        times: (..., n) first spike times of the outputs, `inf` where there is none, as
            `EvNN.ttfs` returns them. NaN counts as no spike too.
        labels: (...) index of the right output, whole numbers in 0..n-1.
        drive: (n,) or (..., n) numbers that grow with how much each output is driven,
            such as the sum of all weights into it, `jnp.sum(weights[:, outputs],
            axis=0)`. Only their derivative counts.
        tau0: as in `first_spike_cross_entropy`.
        tau1: as there.
        alpha: as there.
        t_max: as there.

    Returns:
        (...) one loss per sample; take `jnp.mean` for a batch.

    Raises:
        TypeError: as `first_spike_cross_entropy`.
        ValueError: as there, or the shape of `drive` does not fit.

    Example:
        Output 0 is silent, and is driven more:

        >>> import jax
        >>> import jax.numpy as jnp
        >>> from eventax.losses import waking_first_spike_cross_entropy
        >>> times, drive = jnp.array([jnp.inf, 4.0]), jnp.array([0.5, 1.0])
        >>> loss = lambda times, drive: waking_first_spike_cross_entropy(
        ...     times, 0, drive, tau0=1.0, t_max=20.0
        ... )
        >>> jax.grad(loss, argnums=(0, 1))(times, drive)
        (Array([0., 0.], dtype=float32), Array([-1.,  0.], dtype=float32))
    """
    times, drive = as_floats(times), as_floats(drive)
    labels = as_labels(labels, times)
    if drive.shape not in (times.shape, times.shape[-1:]):
        raise ValueError(
            f"`drive` must have one number for each output, shape {times.shape[-1:]} "
            f"or {times.shape}; got shape {drive.shape}."
        )
    fires = jnp.isfinite(at_label(times, labels))
    times = jnp.where(fires[..., None], times, lax.stop_gradient(times))
    own = at_label(jnp.broadcast_to(drive, times.shape), labels)
    lift = jnp.where(fires, 0.0, own - lax.stop_gradient(own))  # always 0
    keywords = {"tau0": tau0, "tau1": tau1, "alpha": alpha, "t_max": t_max}
    return first_spike_cross_entropy(times, labels, **keywords) - lift
