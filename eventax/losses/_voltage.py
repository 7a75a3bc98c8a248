"""Classes told by the voltages of a readout that does not spike."""

from __future__ import annotations

from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._arguments import as_floats, as_labels
from ._classes import cross_entropy


def max_voltage_cross_entropy(
    v_max: Float[ArrayLike, "*batch outputs"], labels: ArrayLike
) -> Float[Array, "*batch"]:
    r"""Cross-entropy of the highest voltage that each readout neuron reaches.

    $$L = -\log \frac{e^{m_y}}{\sum_k e^{m_k}}, \qquad m_k = \max_t v_k(t)$$

    for the label $y$. Voltages are used as they are: if they differ by little, multiply
    them by a gain first.

    Arguments:
        v_max: (..., n) maxima over time, in units of the threshold, say.
        labels: (...) index of the right output, whole numbers in 0..n-1.

    Returns:
        (...) one loss per sample; take `jnp.mean` for a batch.

    Raises:
        TypeError: `labels` are not whole numbers.
        ValueError: the shape of `labels` does not fit, or a label is not in 0..n-1
            (under `jax.jit` the loss is NaN instead).

    Reference:
        Wunderlich and Pehle, Event-based backpropagation can compute exact gradients
        for spiking neural networks, Sci Rep 11 (2021) 12829, for the latency-coded
        MNIST data.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax.losses import max_voltage_cross_entropy
        >>> v_max = jnp.array([[0.2, 1.2], [0.7, 0.7]])
        >>> max_voltage_cross_entropy(v_max, jnp.array([1, 0]))
        Array([0.3133, 0.6931 ], dtype=float32)
    """
    return _cross_entropy(v_max, labels)


def voltage_integral_cross_entropy(
    integrals: Float[ArrayLike, "*batch outputs"], labels: ArrayLike
) -> Float[Array, "*batch"]:
    r"""Cross-entropy of the voltages of readout neurons, integrated over time.

    $$L = -\log \frac{e^{S_y}}{\sum_k e^{S_k}}, \qquad
      S_k = \int_0^T w(t)\, v_k(t)\, dt$$

    for the label $y$. The weight $w$ is yours: 1, $1/T$ for the mean voltage, or
    $e^{-t/T}$, with which early voltages count more. A maximum has a gradient at one
    time only, an integral at all of them, which long sequences need.

    Arguments:
        integrals: (..., n) weighted integrals $S_k$.
        labels: (...) index of the right output, whole numbers in 0..n-1.

    Returns:
        (...) one loss per sample; take `jnp.mean` for a batch.

    Raises:
        TypeError: `labels` are not whole numbers.
        ValueError: the shape of `labels` does not fit, or a label is not in 0..n-1
            (under `jax.jit` the loss is NaN instead).

    Reference:
        Nowotny, Turner and Knight, Loss shaping enhances exact gradient learning with
        Eventprop in spiking neural networks, Neuromorph Comput Eng 5 (2025) 014001.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax.losses import voltage_integral_cross_entropy
        >>> voltage_integral_cross_entropy(jnp.array([4.0, 2.0, 2.0]), 0)
        Array(0.2395, dtype=float32)
    """
    return _cross_entropy(integrals, labels)


def _cross_entropy(logits: ArrayLike, labels: ArrayLike) -> Float[Array, "*batch"]:
    values = as_floats(logits)
    return cross_entropy(values, as_labels(labels, values))
