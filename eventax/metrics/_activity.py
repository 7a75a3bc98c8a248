"""How much neurons fire."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._arguments import as_floats
from ._spikes import has_spike, is_spike


def silent_fraction(
    times: Float[ArrayLike, "*batch"], *, trains: bool = False, no_spike: Any = None
) -> Float[Array, ""]:
    """Fraction of pairs of a sample and a neuron in which the neuron does not fire.

    Arguments:
        times: (..., n) first spike times, or with `trains` (..., n, k) spike times.
            Infinite values and NaN are no spikes.
        trains: whether the last axis of `times` is that of a neuron's spikes.
        no_spike: another value that stands for no spike, such as the network's
            `output_no_spike_value`.

    Returns:
        A number between 0 and 1.

    Raises:
        ValueError: `times` has too few axes.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax.metrics import silent_fraction
        >>> first = jnp.array([[3.0, jnp.inf], [jnp.inf, jnp.inf]])  # two samples
        >>> silent_fraction(first)
        Array(0.75, dtype=float32)
        >>> silent_fraction(first, trains=True)  # one sample, two neurons' trains
        Array(0.5, dtype=float32)
    """
    return _mean(~has_spike(times, trains, no_spike), times)


def dead_fraction(
    times: Float[ArrayLike, "*batch"], *, trains: bool = False, no_spike: Any = None
) -> Float[Array, ""]:
    """Fraction of neurons that fire in no sample.

    Such a neuron gets no gradient from any loss of spike times.

    Arguments:
        times: (..., n) first spike times, or with `trains` (..., n, k) spike times; all
            axes in front are samples. Infinite values and NaN are no spikes.
        trains: whether the last axis of `times` is that of a neuron's spikes.
        no_spike: another value that stands for no spike, such as the network's
            `output_no_spike_value`.

    Returns:
        A number between 0 and 1.

    Raises:
        ValueError: `times` has too few axes.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax.metrics import dead_fraction
        >>> first = jnp.array([[3.0, jnp.inf], [jnp.inf, jnp.inf]])  # two samples
        >>> dead_fraction(first)
        Array(0.5, dtype=float32)
    """
    fires = has_spike(times, trains, no_spike)
    return _mean(~jnp.any(fires, axis=tuple(range(fires.ndim - 1))), times)


def spikes_per_neuron(
    spike_times: Float[ArrayLike, "*batch neurons k"], *, no_spike: Any = None
) -> Float[Array, ""]:
    """Mean number of spikes of a neuron in a sample.

    Arguments:
        spike_times: (..., n, k) spike times, as `EvNN.spikes_until_t` returns them.
            Infinite values and NaN are no spikes. Spikes beyond its `max_spikes` are
            not there to be counted.
        no_spike: another value that stands for no spike, such as the network's
            `output_no_spike_value`.

    Returns:
        A number of spikes, between 0 and k.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax.metrics import spikes_per_neuron
        >>> spikes_per_neuron(jnp.array([[3.0, 8.0], [5.0, jnp.inf]]))
        Array(1.5, dtype=float32)
    """
    counts = jnp.sum(is_spike(spike_times, no_spike), axis=-1)
    return _mean(counts, spike_times)


def _mean(values: Array, times: Any) -> Float[Array, ""]:
    return jnp.mean(values, dtype=as_floats(times).dtype)
