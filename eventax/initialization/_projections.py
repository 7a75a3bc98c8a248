"""Weights drawn for each projection of a network that a builder has made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._arguments import as_float


def projection_weights(
    key: Array, shape: Any, gains: Mapping[Any, Any] | None = None
) -> Float[Array, "senders neurons"]:
    r"""Weights of any network, as strong in sum for each projection, whatever its size.

    $$w \sim \mathcal{N}\left(0, \frac{g^2}{n}\right)$$

    with n the number of synapses of the projection that the receiver has, and g its
    gain. Where `shape` has inhibitory populations, a weight is |w| from an excitatory
    one and -|w| from an inhibitory one. `scale_to_fire` then finds a common factor for
    all weights into a population; gains say how strong a projection is next to the
    others, and a recurrent one of both signs may be as strong as the inputs.

    Arguments:
        key: random key. A projection's weights do not depend on the others' gains.
        shape: what `eventax.connectivity` made, of M inputs and N neurons.
        gains: g, not negative, by the pair of names (sender, receiver), default 1.

    Returns:
        (N+M, N) weights for `init_weights`, 0 where there is no connection. Rows are
        senders, neurons first. A sub-model of a `MultiNeuronModel` takes the columns of
        its own neurons, `weights[:, shape.neurons(name)]`.

    Raises:
        TypeError: a gain is no number.
        ValueError: a gain is negative or not finite, or is for a pair that `shape` does
            not connect.

    Example:
        >>> import jax
        >>> from eventax.connectivity import layers
        >>> from eventax.initialization import projection_weights
        >>> shape = layers({"hidden": 50, "readout": 5}, 100, recurrent=["hidden"])
        >>> weights = projection_weights(
        ...     jax.random.key(0), shape, {("hidden", "hidden"): 0.5}
        ... )
        >>> weights.shape
        (155, 55)
        >>> weights[shape.block("input", "hidden")].std()
        Array(0.1, dtype=float32)
        >>> weights[shape.block("hidden", "hidden")].std()
        Array(0.07, dtype=float32)
    """
    factor = np.zeros(shape.wmask.shape)
    chosen = dict(gains or {})
    for sender in (*shape.sizes, "input"):
        for receiver in shape.sizes:
            block = shape.block(sender, receiver)
            mask = shape.wmask[block]
            if not mask.any():
                continue
            gain = as_float("gains", chosen.pop((sender, receiver), 1.0))
            if not (np.isfinite(gain) and gain >= 0):
                raise ValueError(
                    "`gains` must be finite and not negative; got "
                    f"{gain} for {(sender, receiver)}."
                )
            factor[block] = mask * gain / np.sqrt(np.maximum(mask.sum(axis=0), 1))
    if chosen:
        raise ValueError(
            "`gains` must be by pairs (sender, receiver) that `shape` connects; got "
            f"{next(iter(chosen))!r}. There is {shape!r}."
        )
    drawn = jax.random.normal(key, shape.wmask.shape)
    if shape.inhibitory:
        drawn = jnp.abs(drawn) * jnp.asarray(shape.signs, drawn.dtype)
    return drawn * jnp.asarray(factor, drawn.dtype)
