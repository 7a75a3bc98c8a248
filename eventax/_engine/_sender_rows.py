"""Weights apart from other parameters: a spike reads one row of them.

The gradient of a matrix that is read by rows is gathered by rows as well, which makes
an event cost O(N). It would cost O(N²) if each event had a full matrix of its own.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._flows import AbstractFlow


def split_senders(
    flow: AbstractFlow, model: Any, params: PyTree, z: PyTree, n_neurons: int
) -> tuple[PyTree, list[Array]]:
    """Parameters without, and the list of, the leaves that are read by sender only.

    A user's subclass may read the weights elsewhere too, in its dynamics, say. Then
    they stay where they are and are differentiated like any other parameter.
    """
    senders = model.sender_leaves()
    if not senders or _reads(flow, model, z, n_neurons):
        return params, []
    rest = eqx.tree_at(lambda m: m.sender_leaves(), params, replace_fn=lambda _: None)
    return rest, senders


def _reads(flow: AbstractFlow, model: Any, z: PyTree, n_neurons: int) -> bool:
    """Whether the model's motion, threshold or reset depend on the sender leaves."""
    senders = model.sender_leaves()

    def motion(senders: list[Array]) -> PyTree:
        m = eqx.tree_at(lambda m: m.sender_leaves(), model, senders)
        t = jnp.zeros((), m.dtype)
        fired = jnp.zeros((n_neurons,), bool)
        return flow.slope(m, t, z), flow.gap(m, t, z), flow.fire(m, z, fired)

    jaxpr = jax.make_jaxpr(motion)(senders)
    used = {id(v) for equation in jaxpr.eqns for v in equation.invars}
    return any(id(v) in used for v in jaxpr.jaxpr.invars)
