"""Classes told by the earliest output."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._arguments import as_labels, check_not_negative, check_positive, visible
from ._classes import at_label, cross_entropy
from ._silence import spikes_until


def first_spike_cross_entropy(
    times: Float[ArrayLike, "*batch outputs"],
    labels: ArrayLike,
    *,
    tau0: Any,
    tau1: Any = None,
    alpha: Any = 0.0,
    t_max: Any,
) -> Float[Array, "*batch"]:
    r"""Cross-entropy of first spike times: the label's output is to fire first.

    $$L = -\log \frac{e^{-t_y / \tau_0}}{\sum_k e^{-t_k / \tau_0}}
      + \alpha \left(e^{t_y / \tau_1} - 1\right)$$

    with first spike times $t_k$ and the label $y$. The second term makes the label's
    output fire early. A silent output counts as firing at `t_max`, and so does one that
    fires later; neither has a gradient, so that an output that is silent for all
    samples does not learn by this loss.

    Arguments:
        times: (..., n) first spike times of the outputs, `inf` where there is none, as
            `EvNN.ttfs` returns them. NaN counts as no spike too.
            A network must keep `output_no_spike_value` at `inf`: a number counts as
            the time of a spike.
        labels: (...) index of the right output, whole numbers in 0..n-1.
        tau0: τ0, positive, in units of time: spikes that differ by much more than it
            are told apart with certainty.
        tau1: τ1, positive, in units of time. Needed if `alpha` is not 0.
        alpha: α, the weight of the second term, not negative.
        t_max: when a silent output counts as firing, such as the end of the simulation.

    Returns:
        (...) one loss per sample; take `jnp.mean` for a batch.

    Raises:
        TypeError: `labels` are not whole numbers.
        ValueError: the shape of `labels` does not fit, a label is not in 0..n-1 (under
            `jax.jit` the loss is NaN instead), `tau1` is missing while `alpha` is not
            0, or a number is outside its range.

    Reference:
        Wunderlich and Pehle, Event-based backpropagation can compute exact gradients
        for spiking neural networks, Sci Rep 11 (2021) 12829, for the latency-coded
        Yin-Yang data. Göltz et al., Fast and energy-efficient neuromorphic deep
        learning with first-spike times, Nat Mach Intell 3 (2021) 823, have the
        second term without the constant -α.

    Example:
        The second sample's label is silent:

        >>> import jax.numpy as jnp
        >>> from eventax.losses import first_spike_cross_entropy
        >>> times = jnp.array([[3.0, 4.0, 9.0], [jnp.inf, 4.0, 6.0]])
        >>> first_spike_cross_entropy(times, jnp.array([0, 0]), tau0=1.0, t_max=20.0)
        Array([ 0.315, 16.127 ], dtype=float32)
    """
    check_positive("tau0", tau0)
    check_not_negative("alpha", alpha)
    times = spikes_until(times, t_max)
    labels = as_labels(labels, times)
    loss = cross_entropy(-times / tau0, labels)
    weight = visible(alpha)
    if weight is not None and not weight.any():
        return loss
    if tau1 is None:
        raise ValueError(
            f"`tau1` must be given where `alpha` is not 0; got `alpha` = {alpha!r}. "
            "Give a time constant, or leave `alpha` out."
        )
    check_positive("tau1", tau1)
    return loss + alpha * jnp.expm1(at_label(times, labels) / tau1)
