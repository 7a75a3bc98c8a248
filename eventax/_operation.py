"""Operations with a derivative written by hand that sums over a batch on its way.

Every array has its batches in front; in each of them it has the batch's size, or 1
where all samples share it. So a batch reads one weight matrix, and the way back adds up
one gradient: `jax.custom_vjp` would give each sample a matrix of its own, hundreds of
megabytes for a layer of some hundred neurons. In `vmap(grad(f))` the way back itself is
batched, and each sample has its own gradient.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from ._devices import ask_for_devices, lower_in_parts
from ._once import refuse
from ._varying import shaped, varying

Shape = tuple[int, ...]
Sizes = tuple[int, ...]
Form = tuple[Shape, np.dtype]


@runtime_checkable
class Operation(Protocol):
    """What is computed; hashable, as everything static of it."""

    @property
    def linear(self) -> tuple[int, ...]:
        """Places of the arguments that have a derivative."""
        ...

    @property
    def results(self) -> tuple[Form, ...]:
        """Shapes and types of the results of a sample."""
        ...

    @property
    def history(self) -> tuple[Form, ...]:
        """The same of what the way back needs."""
        ...

    @property
    def reads(self) -> tuple[int, ...]:
        """The results that have a cotangent."""
        ...

    def forward(self, sizes: Sizes, arguments: Sequence[Array], keeps: bool) -> Any:
        """Results and history of batches; its arrays are empty if nobody keeps it."""
        ...

    def backward(
        self,
        sizes: Sizes,
        arguments: Sequence[Array],
        history: Sequence[Array],
        by: Sequence[Array],
        wanted: tuple[bool, ...],
        leads: tuple[Sizes, ...],
    ) -> Any:
        """Cotangents of the linear arguments, which have these batches.

        Those that nobody wants are empty.
        """
        ...


def apply(operation: Operation, arguments: Sequence[Any]) -> list[Array]:
    """The results, differentiable in reverse mode."""
    arrays = [jnp.asarray(x) for x in arguments]
    arrays = varying(arrays, arrays)
    found = _forward_p.bind(*arrays, operation=operation, sizes=(), keeps=False)
    return found[: len(operation.results)]


_forward_p = Primitive("eventax_forward")
_tangent_p = Primitive("eventax_tangent")
_backward_p = Primitive("eventax_backward")
for _p in (_forward_p, _tangent_p, _backward_p):
    _p.multiple_results = True


def kept(form: Form, keeps: bool) -> Form:
    """Of an array of the history, which is empty if it is not kept."""
    shape, dtype = form
    return (shape if keeps else (0, *shape[1:])), dtype


def _shapes(
    *arguments: Any, operation: Operation, sizes: Sizes, keeps: bool
) -> list[ShapedArray]:
    told = [*operation.results, *(kept(form, keeps) for form in operation.history)]
    return [shaped((*sizes, *shape), dtype, arguments[0]) for shape, dtype in told]


def _tangent_shapes(
    *arguments: Any, operation: Operation, sizes: Sizes, **_: Any
) -> list[ShapedArray]:
    told = [operation.results[k] for k in operation.reads]
    return [shaped((*sizes, *shape), dtype, arguments[0]) for shape, dtype in told]


def _backward_shapes(
    *arguments: Any,
    operation: Operation,
    sizes: Sizes,
    wanted: tuple[bool, ...],
    leads: tuple[Sizes, ...],
) -> list[ShapedArray]:
    n = len(sizes)
    own = [arguments[place] for place in operation.linear]
    shapes = [
        (*lead, *(x.shape[n:] if w else [0] * (x.ndim - n)))
        for x, w, lead in zip(own, wanted, leads, strict=True)
    ]
    pairs = zip(shapes, own, strict=True)
    return [shaped(shape, x.dtype, arguments[0]) for shape, x in pairs]


def _in_front(arguments: Sequence[Any], dims: Sequence[Any]) -> tuple[list[Array], int]:
    """Arguments with one more batch in front, and its size."""
    pairs = list(zip(arguments, dims, strict=True))
    size = next(x.shape[d] for x, d in pairs if d is not None)
    moved = [
        jnp.expand_dims(x, 0) if d is None else jnp.moveaxis(x, d, 0) for x, d in pairs
    ]
    return moved, size


def _batched(
    arguments: Any, dims: Any, *, sizes: Sizes, **rest: Any
) -> tuple[list[Array], list[int]]:
    moved, size = _in_front(arguments, dims)
    found = _forward_p.bind(*moved, sizes=(size, *sizes), **rest)
    return found, [0] * len(found)


def _backward_batched(
    arguments: Any, dims: Any, *, sizes: Sizes, leads: Any, **rest: Any
) -> tuple[list[Array], list[int]]:
    moved, size = _in_front(arguments, dims)
    leads = tuple((size, *lead) for lead in leads)
    found = _backward_p.bind(*moved, sizes=(size, *sizes), leads=leads, **rest)
    return found, [0] * len(found)


def _jvp(
    primals: Any, tangents: Any, *, operation: Operation, sizes: Sizes, keeps: bool
) -> tuple[list[Array], list[Any]]:
    if keeps:
        refuse()
    found = _forward_p.bind(*primals, operation=operation, sizes=sizes, keeps=True)
    n = len(operation.results)
    moves = tuple(
        place for place in operation.linear if not isinstance(tangents[place], ad.Zero)
    )
    rates = _tangent_p.bind(
        *(tangents[place] for place in moves),
        *primals,
        *found[n:],
        operation=operation,
        sizes=sizes,
        moves=moves,
    )
    by_result = dict(zip(operation.reads, rates, strict=True))
    zeros = [
        ad.Zero(shaped(x.shape, _tangent_type(x.dtype), jax.typeof(x))) for x in found
    ]
    # The history is never differentiated: whoever asks for it asks for a second order.
    return found, [by_result.get(k, zero) for k, zero in enumerate(zeros)]


def _tangent_type(dtype: Any) -> Any:
    return dtype if jnp.issubdtype(dtype, jnp.inexact) else jax.dtypes.float0


def _transpose(
    by: Any, *arguments: Any, operation: Operation, sizes: Sizes, moves: tuple[int, ...]
) -> list[Any]:
    rest = arguments[len(moves) :]
    by = [ad.instantiate_zeros(x) for x in by]
    asked = {
        place
        for place, x in zip(moves, arguments, strict=False)
        if ad.is_undefined_primal(x)
    }
    wanted = tuple(place in asked for place in operation.linear)
    leads = tuple(rest[place].shape[: len(sizes)] for place in operation.linear)
    found = _backward_p.bind(
        *rest, *by, operation=operation, sizes=sizes, wanted=wanted, leads=leads
    )
    by_place = dict(zip(operation.linear, found, strict=True))
    cotangents = [by_place[place] if place in asked else None for place in moves]
    return cotangents + [None] * len(rest)


def _forward_lowering(
    context: Any, *arguments: Any, operation: Operation, sizes: Sizes, keeps: bool
) -> Any:
    def forward(sizes: Sizes, *arguments: Any) -> list[Array]:
        return operation.forward(sizes, arguments, keeps)

    leads = [sizes] * len(context.avals_out)
    return lower_in_parts(context, arguments, forward, sizes, leads)


def _backward_lowering(
    context: Any,
    *arguments: Any,
    operation: Operation,
    sizes: Sizes,
    wanted: Any,
    leads: Any,
) -> Any:
    n_by = len(operation.reads)
    n = len(arguments) - len(operation.history) - n_by

    def backward(part: Sizes, *arguments: Any) -> list[Array]:
        own = tuple(
            tuple(p if a == s else 1 for p, a, s in zip(part, lead, sizes, strict=True))
            for lead in leads
        )
        given, history, by = arguments[:n], arguments[n:-n_by], arguments[-n_by:]
        return operation.backward(part, given, history, by, wanted, own)

    return lower_in_parts(context, arguments, backward, sizes, leads)


@functools.lru_cache(64)
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
mlir.register_lowering(_forward_p, _forward_lowering)
batching.primitive_batchers[_forward_p] = _batched
ad.primitive_jvps[_forward_p] = _jvp
_tangent_p.def_impl(refuse)
_tangent_p.def_abstract_eval(_tangent_shapes)
mlir.register_lowering(_tangent_p, refuse)
ad.primitive_transposes[_tangent_p] = _transpose
_backward_p.def_impl(_at_once(_backward_p))
_backward_p.def_abstract_eval(_backward_shapes)
mlir.register_lowering(_backward_p, _backward_lowering)
batching.primitive_batchers[_backward_p] = _backward_batched
ad.primitive_jvps[_backward_p] = refuse
ask_for_devices(_forward_p, _backward_p)
