"""Spikes at given distances from the label's."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._arguments import as_labels, check_positive
from ._classes import at_label
from ._silence import spikes_until


def relative_spike_time_mse(
    times: Float[ArrayLike, "*batch outputs"],
    labels: ArrayLike,
    *,
    margin: Any,
    t_max: Any,
) -> Float[Array, "*batch"]:
    r"""Wrong outputs are to fire a margin after the label's, whenever that is.

    $$L = \frac{1}{n - 1} \sum_{k \ne y} \left(t_k - (t_y + \Delta)\right)^2$$

    with first spike times $t_k$, the label $y$ and the margin Δ. Only differences of
    times count: shifting all outputs by one time changes nothing, unless one is moved
    past `t_max`. A wrong output is drawn to the margin from both sides, so the loss
    does not reward ever later spikes. A silent output counts as firing at `t_max`, and
    so does one that fires later; neither has a gradient.

    Arguments:
        times: (..., n) first spike times of at least two outputs, `inf` where there is
            none, as `EvNN.ttfs` returns them. NaN counts as no spike too.
        labels: (...) index of the right output, whole numbers in 0..n-1.
        margin: Δ, positive, in units of time.
        t_max: when a silent output counts as firing, such as the end of the simulation.

    Returns:
        (...) one loss per sample, in units of time squared; take `jnp.mean` for a
        batch.

    Raises:
        TypeError: `labels` are not whole numbers.
        ValueError: there are fewer than two outputs, the shape of `labels` does not
            fit, a label is not in 0..n-1 (under `jax.jit` the loss is NaN instead), or
            a number is outside its range.

    Reference:
        After the shift-invariant loss of Göltz et al., DelGrad: exact event-based
        gradients for training delays and weights on spiking neuromorphic hardware, Nat
        Commun 16 (2025), which sums over the wrong outputs where this is their mean.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax.losses import relative_spike_time_mse
        >>> times = jnp.array([3.0, 5.0, 9.0])
        >>> relative_spike_time_mse(times, 0, margin=4.0, t_max=20.0)
        Array(4., dtype=float32)
        >>> relative_spike_time_mse(times + 2.0, 0, margin=4.0, t_max=20.0)
        Array(4., dtype=float32)
    """
    check_positive("margin", margin)
    times = spikes_until(times, t_max)
    labels = as_labels(labels, times)
    n = times.shape[-1]
    if n < 2:
        raise ValueError(
            "`times` must have at least two outputs, of which one is the label's and "
            f"the others are compared with it; got shape {times.shape}."
        )
    errors = times - (at_label(times, labels)[..., None] + margin)
    wrong = jnp.arange(n) != labels[..., None]
    return jnp.sum(jnp.where(wrong, errors**2, 0), axis=-1) / (n - 1)
