"""Excitatory and inhibitory neurons."""

from __future__ import annotations

from functools import partial
from typing import Any

from jaxtyping import Array

from .._arguments import check_count
from ._connect import connect
from ._connectivity import Connectivity
from ._random import random


def excitatory_inhibitory(
    key: Array,
    n_excitatory: int,
    n_inhibitory: int,
    in_size: int = 0,
    *,
    probability: Any = 0.1,
) -> Connectivity:
    """A random recurrent network of excitatory and inhibitory neurons.

    Each neuron hears each other one with the same probability, and every input. All
    neurons are outputs. By `signs` a neuron either excites or inhibits all that hear it
    (Dale's principle); a network does not enforce it in training.

    Arguments:
        key: random key.
        n_excitatory: neurons of the population `"excitatory"`.
        n_inhibitory: neurons of the population `"inhibitory"`.
        in_size: number of input channels M.
        probability: that a neuron hears another, between 0 and 1.

    Returns:
        The connectivity, for `EvNN(**connectivity, ...)`.

    Raises:
        TypeError: a number of neurons is not whole, or `probability` is no number.
        ValueError: a number of neurons is below 1, or `probability` not between 0
            and 1.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from eventax import EvNN
        >>> from eventax.connectivity import excitatory_inhibitory
        >>> from eventax.neuron_models import LIF
        >>> key, weight_key = jax.random.split(jax.random.key(0))
        >>> shape = excitatory_inhibitory(key, 80, 20, in_size=5)
        >>> weights = shape.signs * jax.random.uniform(weight_key, shape.signs.shape)
        >>> net = EvNN(
        ...     LIF, max_solver_time=20.0, **shape, thresh=1.0, tsyn=5.0, tmem=10.0,
        ...     init_weights=weights, init_bias=0.0,
        ... )
        >>> bool(jnp.all(net.neuron_model.weights[shape.senders("inhibitory")] <= 0))
        True
    """
    sizes = {
        "excitatory": check_count("n_excitatory", n_excitatory, 1),
        "inhibitory": check_count("n_inhibitory", n_inhibitory, 1),
    }
    n = sum(sizes.values())
    # All neurons of a kind are neighbours, so that a block of one draw is as good as a
    # draw of its own, and no neuron hears itself.
    drawn = random(key, n, n, probability, loops=False)
    network = partial(
        connect, sizes, in_size, outputs=list(sizes), inhibitory=["inhibitory"]
    )
    inputs = network({("input", name): True for name in sizes})
    return inputs | network(
        {(a, b): drawn[inputs.block(a, b)] for a in sizes for b in sizes}
    )
