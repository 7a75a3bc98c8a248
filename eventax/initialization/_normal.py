"""Weights drawn from a normal distribution for each layer, and published choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Recipe(NamedTuple):
    """Published means and standard deviations, one per layer, and where they are from.

    They belong to leaky integrate-and-fire neurons with threshold 1, time constants of
    20 ms (membrane) and 5 ms (synapse), no bias current, and one hidden layer.
    """

    means: tuple[float, ...]
    sds: tuple[float, ...]
    source: str


_EVENTPROP = (
    "Wunderlich and Pehle, Event-based backpropagation can compute exact gradients for "
    "spiking neural networks, Sci Rep 11 (2021) 12829"
)

RECIPES: dict[str, Recipe] = {
    "yin-yang": Recipe(
        (1.5, 0.93),
        (0.78, 0.1),
        f"{_EVENTPROP}: Yin-Yang as times in 0..30 ms and a bias spike, 200 hidden "
        "neurons, first output spikes",
    ),
    "mnist": Recipe(
        (0.078, 0.2),
        (0.045, 0.37),
        f"{_EVENTPROP}: MNIST as times in 0..20 ms, 350 hidden neurons, maxima of "
        "a readout that does not spike",
    ),
    "mnist first-spike": Recipe(
        (0.078, 0.9),
        (0.045, 0.03),
        "Program train_MNIST_first_spike.py of genn_eventprop, beside Nowotny, Turner "
        "and Knight, Loss shaping enhances exact gradient learning with Eventprop in "
        "spiking neural networks, Neuromorph Comput Eng 5 (2025) 014001: MNIST as "
        "times in 0..20 ms, 128 hidden neurons, first output spikes",
    ),
}
"""Recipes by name: `"yin-yang"`, `"mnist"` and `"mnist first-spike"`."""


def normal_weights(
    key: Array,
    layers: Sequence[Any],
    in_size: Any,
    means: Sequence[float | int],
    sds: Sequence[float | int],
) -> Float[Array, "senders neurons"]:
    """Weights of a feed-forward network, normally distributed with values per layer.

    Arguments:
        key: random key. A layer's weights do not depend on the layers after it.
        layers: sizes of the layers, as `FFEvNN` takes them, in sum N.
        in_size: number of input channels M.
        means: mean of the weights into each layer.
        sds: their standard deviation, not negative.

    Returns:
        (N+M, N) weights for `init_weights`, 0 where there is no connection. Rows are
        senders, neurons first. A sub-model of a `MultiNeuronModel` takes the columns of
        its own neurons.

    Raises:
        ValueError: a size is less than 1, or `means` or `sds` are not one finite number
            per layer, standard deviations not negative.

    Example:
        >>> import jax
        >>> from eventax import FFEvNN
        >>> from eventax.initialization import RECIPES, normal_weights
        >>> from eventax.neuron_models import LIF
        >>> recipe = RECIPES["yin-yang"]
        >>> key = jax.random.key(0)
        >>> weights = normal_weights(key, [200, 3], 5, recipe.means, recipe.sds)
        >>> weights.shape
        (208, 203)
        >>> net = FFEvNN(
        ...     [200, 3], 5, LIF, 60.0, init_weights=weights, init_bias=0.0,
        ...     thresh=1.0, tsyn=5.0, tmem=20.0,
        ... )
    """
    sizes = [_count("layers", size) for size in layers]
    _count("in_size", in_size)
    _check_numbers("means", means, len(sizes))
    _check_numbers("sds", sds, len(sizes))
    if min(sds, default=0) < 0:
        raise ValueError(f"`sds` must not be negative; got {tuple(sds)}.")
    n_neurons = sum(sizes)
    weights = jnp.zeros((n_neurons + in_size, n_neurons))
    first_sender, n_senders, first = n_neurons, in_size, 0
    for number, (size, mean, sd) in enumerate(zip(sizes, means, sds, strict=True)):
        own_key = jax.random.fold_in(key, number)
        block = mean + sd * jax.random.normal(own_key, (n_senders, size))
        weights = jax.lax.dynamic_update_slice(weights, block, (first_sender, first))
        first_sender, n_senders, first = first, size, first + size
    return weights


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(
            f"`{name}` must hold whole numbers of at least 1; got {value!r}."
        )
    return int(value)


def _check_numbers(name: str, values: Sequence[float | int], n_layers: int) -> None:
    if len(values) != n_layers or not np.all(np.isfinite(values)):
        raise ValueError(
            f"`{name}` must be one finite number for each of the {n_layers} layers; "
            f"got {tuple(values)!r}."
        )
