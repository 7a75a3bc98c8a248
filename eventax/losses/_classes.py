"""What the losses of classification share."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def at_label(
    values: Float[Array, "*batch classes"], labels: Int[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """The value of each sample's own class.

    NaN where a label is no index of a class: a traced one cannot be an error.
    """
    # JAX counts negative indices from the end.
    index = jnp.where(labels < 0, values.shape[-1], labels)[..., None]
    return jnp.take_along_axis(values, index, axis=-1, mode="fill")[..., 0]


def cross_entropy(
    logits: Float[Array, "*batch classes"], labels: Int[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """Minus the logarithm of the softmax at the label."""
    return -at_label(jax.nn.log_softmax(logits, axis=-1), labels)
