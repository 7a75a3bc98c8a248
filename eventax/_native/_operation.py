"""The native core as an operation of JAX: batches, derivative, way back.

Every array has its batches in front; in each of them it has the batch's size, or 1
where all samples share it. So a batch reads one weight matrix, and the way back adds up
one gradient: `jax.custom_vjp` would give each sample a matrix of its own. In
`vmap(grad(f))` the way back itself is batched, and each sample has its own gradient.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from .._devices import ask_for_devices, lower_in_parts
from .._once import refuse
from .._varying import shaped, varying

Shape = tuple[int, ...]
Sizes = tuple[int, ...]


class Spec(NamedTuple):
    """What is static of a call; hashable. See native/call.h."""

    dtype: np.dtype
    ints: tuple[int, ...]
    reals: tuple[float, ...]
    linear: tuple[int, ...]  # places of the arguments that have a derivative
    results: tuple[tuple[Shape, np.dtype], ...]  # of a sample
    history: tuple[tuple[Shape, np.dtype], ...]  # what the way back needs of a sample
    reads: tuple[int, ...]  # the results that have a cotangent

    def attributes(self, sizes: Sizes) -> dict[str, Any]:
        return {
            "batch": np.asarray(sizes, np.int64),
            "ints": np.asarray(self.ints, np.int64),
            "reals": np.asarray(self.reals, np.float64),
        }

    @property
    def bits(self) -> int:
        return 8 * self.dtype.itemsize


KEEPS = 9  # place in `ints`: whether a history is wanted


def simulate(spec: Spec, arguments: Sequence[Any]) -> list[Array]:
    """The results, differentiable in reverse mode."""
    arrays = [jnp.asarray(x) for x in arguments]
    arrays = varying(arrays, arrays)
    found = _forward_p.bind(*arrays, spec=spec, sizes=(), keeps=False)
    return found[: len(spec.results)]


_forward_p = Primitive("eventax_native")
_tangent_p = Primitive("eventax_native_tangent")
_backward_p = Primitive("eventax_native_adjoint")
for _p in (_forward_p, _tangent_p, _backward_p):
    _p.multiple_results = True


def _shapes(
    *arguments: Any, spec: Spec, sizes: Sizes, keeps: bool
) -> list[ShapedArray]:
    told = list(spec.results)
    told += [
        (shape if keeps else (0, *shape[1:]), dtype) for shape, dtype in spec.history
    ]
    return [shaped((*sizes, *shape), dtype, arguments[0]) for shape, dtype in told]


def _tangent_shapes(
    *arguments: Any, spec: Spec, sizes: Sizes, **_: Any
) -> list[ShapedArray]:
    told = [spec.results[k] for k in spec.reads]
    return [shaped((*sizes, *shape), dtype, arguments[0]) for shape, dtype in told]


def _backward_shapes(
    *arguments: Any, spec: Spec, sizes: Sizes, wanted: tuple[bool, ...], leads: Any
) -> list[ShapedArray]:
    n = len(sizes)
    own = [arguments[place].shape[n:] for place in spec.linear]
    shapes = [
        (*lead, *(shape if w else [0] * len(shape)))
        for shape, w, lead in zip(own, wanted, leads, strict=True)
    ]
    return [shaped(shape, spec.dtype, arguments[0]) for shape in shapes]


def _in_front(arguments: Sequence[Any], dims: Sequence[Any]) -> tuple[list[Array], int]:
    """Arguments with one more batch in front, and its size."""
    pairs = list(zip(arguments, dims, strict=True))
    size = next(x.shape[d] for x, d in pairs if d is not None)
    moved = [
        jnp.expand_dims(x, 0) if d is None else jnp.moveaxis(x, d, 0) for x, d in pairs
    ]
    return moved, size


def _batched(
    arguments: Any, dims: Any, *, spec: Spec, sizes: Sizes, keeps: bool
) -> tuple[list[Array], list[int]]:
    moved, size = _in_front(arguments, dims)
    found = _forward_p.bind(*moved, spec=spec, sizes=(size, *sizes), keeps=keeps)
    return found, [0] * len(found)


def _backward_batched(
    arguments: Any, dims: Any, *, spec: Spec, sizes: Sizes, wanted: Any, leads: Any
) -> tuple[list[Array], list[int]]:
    moved, size = _in_front(arguments, dims)
    leads = tuple((size, *lead) for lead in leads)
    found = _backward_p.bind(
        *moved, spec=spec, sizes=(size, *sizes), wanted=wanted, leads=leads
    )
    return found, [0] * len(found)


def _jvp(
    primals: Any, tangents: Any, *, spec: Spec, sizes: Sizes, keeps: bool
) -> tuple[list[Array], list[Any]]:
    if keeps:
        refuse()
    found = _forward_p.bind(*primals, spec=spec, sizes=sizes, keeps=True)
    n = len(spec.results)
    moves = tuple(
        place for place in spec.linear if not isinstance(tangents[place], ad.Zero)
    )
    rates = _tangent_p.bind(
        *(tangents[place] for place in moves),
        *primals,
        *found[n:],
        spec=spec,
        sizes=sizes,
        moves=moves,
    )
    by_result = dict(zip(spec.reads, rates, strict=True))
    zeros = [
        ad.Zero(shaped(x.shape, _tangent_type(x.dtype), jax.typeof(x))) for x in found
    ]
    # The history is never differentiated: whoever asks for it asks for a second order.
    return found, [by_result.get(k, zero) for k, zero in enumerate(zeros)]


def _tangent_type(dtype: Any) -> Any:
    return dtype if jnp.issubdtype(dtype, jnp.inexact) else jax.dtypes.float0


def _transpose(
    by: Any, *arguments: Any, spec: Spec, sizes: Sizes, moves: tuple[int, ...]
) -> list[Any]:
    rest = arguments[len(moves) :]
    by = [ad.instantiate_zeros(x) for x in by]
    asked = {
        place
        for place, x in zip(moves, arguments, strict=False)
        if ad.is_undefined_primal(x)
    }
    wanted = tuple(place in asked for place in spec.linear)
    leads = tuple(rest[place].shape[: len(sizes)] for place in spec.linear)
    found = _backward_p.bind(
        *rest, *by, spec=spec, sizes=sizes, wanted=wanted, leads=leads
    )
    by_place = dict(zip(spec.linear, found, strict=True))
    cotangents = [by_place[place] if place in asked else None for place in moves]
    return cotangents + [None] * len(rest)


def _call(
    name: str, shapes: Sequence[Any], arguments: Sequence[Any], **attributes: Any
) -> list[Array]:
    results = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in shapes]
    return list(jax.ffi.ffi_call(name, results)(*arguments, **attributes))


def _forward_lowering(
    context: Any, *arguments: Any, spec: Spec, sizes: Sizes, keeps: bool
) -> Any:
    own = [(x.shape[len(sizes) :], x.dtype) for x in context.avals_out]

    def forward(sizes: Sizes, *arguments: Any) -> list[Array]:
        attributes = spec.attributes(sizes)
        attributes["ints"][KEEPS] = keeps
        shapes = [((*sizes, *shape), dtype) for shape, dtype in own]
        return _call(f"eventax_forward_{spec.bits}", shapes, arguments, **attributes)

    return lower_in_parts(context, arguments, forward, sizes, [sizes] * len(own))


def _backward_lowering(
    context: Any, *arguments: Any, spec: Spec, sizes: Sizes, wanted: Any, leads: Any
) -> Any:
    n = len(sizes)
    own = [x.shape[n:] for x in context.avals_out]

    def of_part(part: Sizes, lead: Sizes) -> Sizes:
        pairs = zip(part, lead, sizes, strict=True)
        return tuple(few if many == size else 1 for few, many, size in pairs)

    def backward(part: Sizes, *arguments: Any) -> list[Array]:
        shapes = [
            ((*of_part(part, lead), *shape), spec.dtype)
            for lead, shape in zip(leads, own, strict=True)
        ]
        attributes = spec.attributes(part)
        attributes["wanted"] = np.asarray(wanted, np.int64)
        return _call(f"eventax_backward_{spec.bits}", shapes, arguments, **attributes)

    return lower_in_parts(context, arguments, backward, sizes, leads)


@functools.cache
def _compiled(primitive: Primitive, parameters: tuple[Any, ...]) -> Any:
    return jax.jit(functools.partial(primitive.bind, **dict(parameters)))


def _at_once(primitive: Primitive) -> Any:
    """Outside of `jit` a call is compiled by itself, under `jax.disable_jit` too."""

    def call(*arguments: Any, **parameters: Any) -> Any:
        run = _compiled(primitive, tuple(sorted(parameters.items())))
        with jax.disable_jit(False):
            return run(*arguments)

    return call


_forward_p.def_impl(_at_once(_forward_p))
_forward_p.def_abstract_eval(_shapes)
mlir.register_lowering(_forward_p, _forward_lowering, platform="cpu")
batching.primitive_batchers[_forward_p] = _batched
ad.primitive_jvps[_forward_p] = _jvp
_tangent_p.def_impl(refuse)
_tangent_p.def_abstract_eval(_tangent_shapes)
mlir.register_lowering(_tangent_p, refuse)
ad.primitive_transposes[_tangent_p] = _transpose
_backward_p.def_impl(_at_once(_backward_p))
_backward_p.def_abstract_eval(_backward_shapes)
mlir.register_lowering(_backward_p, _backward_lowering, platform="cpu")
batching.primitive_batchers[_backward_p] = _backward_batched
ad.primitive_jvps[_backward_p] = refuse
ask_for_devices(_forward_p, _backward_p)
