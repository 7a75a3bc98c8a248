"""How many samples are classified rightly."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._arguments import as_floats, as_labels
from ._spikes import is_spike


def first_spike_accuracy(
    times: Float[ArrayLike, "*batch outputs"],
    labels: ArrayLike,
    *,
    no_spike: Any = None,
) -> Float[Array, ""]:
    """Fraction of samples whose label's output fires first.

    Of outputs that fire at the same time, the one with the lowest index counts as the
    first. A sample of which no output fires is wrong.

    Arguments:
        times: (..., n) first spike times of the outputs, as `EvNN.ttfs` returns them.
            Infinite values and NaN are no spikes.
        labels: (...) index of the right output, whole numbers in 0..n-1.
        no_spike: another value that stands for no spike, such as the network's
            `output_no_spike_value`.

    Returns:
        A number between 0 and 1.

    Raises:
        TypeError: `labels` are not whole numbers.
        ValueError: the shape of `labels` does not fit, or a label is not in 0..n-1
            (under `jax.jit` the sample is wrong instead).

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax.metrics import first_spike_accuracy
        >>> times = jnp.array([[3.0, 4.0], [5.0, 2.0], [jnp.inf, jnp.inf]])
        >>> first_spike_accuracy(times, jnp.array([0, 0, 0]))
        Array(0.3333, dtype=float32)
    """
    spikes = is_spike(times, no_spike)
    times = jnp.where(spikes, as_floats(times), jnp.inf)
    labels = as_labels(labels, times)
    right = jnp.argmin(times, axis=-1) == labels
    return jnp.mean(right & jnp.any(spikes, axis=-1), dtype=times.dtype)


def largest_output_accuracy(
    outputs: Float[ArrayLike, "*batch outputs"], labels: ArrayLike
) -> Float[Array, ""]:
    """Fraction of samples whose label's output is the largest.

    Of outputs that are equal, the one with the lowest index counts as the largest. A
    sample with an output that is NaN is wrong.

    Arguments:
        outputs: (..., n) numbers of the outputs, such as `EvNN.max_over_time` and
            `EvNN.integral` return them.
        labels: (...) index of the right output, whole numbers in 0..n-1.

    Returns:
        A number between 0 and 1.

    Raises:
        TypeError: `labels` are not whole numbers.
        ValueError: the shape of `labels` does not fit, or a label is not in 0..n-1
            (under `jax.jit` the sample is wrong instead).

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax.metrics import largest_output_accuracy
        >>> highest = jnp.array([[0.2, 0.7], [0.9, 0.1], [0.4, 0.3]])
        >>> largest_output_accuracy(highest, jnp.array([1, 1, 0]))
        Array(0.6667, dtype=float32)
    """
    outputs = as_floats(outputs)
    labels = as_labels(labels, outputs)
    right = jnp.argmax(outputs, axis=-1) == labels
    known = ~jnp.any(jnp.isnan(outputs), axis=-1)
    return jnp.mean(right & known, dtype=outputs.dtype)
