"""Derivatives of first order, in reverse mode: all others are refused in one sentence.

The simulation has a rule for the way back, which cannot be differentiated again. JAX
would find that out in the middle of it, or not at all. So what a simulation is
differentiated by passes through an identity first: it is `in_reverse` in all programs,
and `undifferentiated` in those that take a derivative already.
"""

from __future__ import annotations

from typing import Any, NoReturn

import equinox as eqx
import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import PyTree

MESSAGE = (
    "Spiking networks have derivatives of first order in reverse mode only: use "
    "`jax.grad`, `jax.vjp` or `jax.jacrev` once, instead of `jax.jvp`, `jax.jacfwd`, "
    "`jax.hessian` or the gradient of a gradient."
)


def in_reverse(tree: PyTree) -> PyTree:
    """The tree; what pushes a derivative of its arrays forward is an error."""
    return _pass_through(_reverse_p, tree)


def undifferentiated(tree: PyTree) -> PyTree:
    """The tree; what differentiates its arrays is an error."""
    return _pass_through(_last_p, tree)


def refuse(*_: Any, **__: Any) -> NoReturn:
    """Say what cannot be done."""
    raise NotImplementedError(MESSAGE)


def _pass_through(primitive: Primitive, tree: PyTree) -> PyTree:
    return jax.tree.map(
        lambda x: primitive.bind(x) if eqx.is_inexact_array(x) else x, tree
    )


def _jvp(primals: Any, tangents: Any) -> Any:
    return _reverse_p.bind(*primals), _tangent_p.bind(*tangents)


def _identity(x: Any) -> Any:
    return x


_reverse_p, _last_p = Primitive("eventax_in_reverse"), Primitive("eventax_last")
for _primitive in (_reverse_p, _last_p):
    _primitive.def_impl(_identity)
    _primitive.def_abstract_eval(_identity)
    mlir.register_lowering(_primitive, lambda _, x: [x])
    batching.defvectorized(_primitive)
ad.primitive_jvps[_reverse_p] = _jvp
ad.primitive_jvps[_last_p] = refuse

# The derivative of `in_reverse`: it is there to be transposed, not to be computed.
_tangent_p = Primitive("eventax_tangent_in_reverse")
_tangent_p.def_impl(refuse)
_tangent_p.def_abstract_eval(_identity)
mlir.register_lowering(_tangent_p, refuse)
batching.primitive_batchers[_tangent_p] = refuse
ad.deflinear2(_tangent_p, lambda by, _: [by])
