"""A derivative written by hand that sums over a batch on its way.

With `jax.custom_vjp` each sample of a batch gets a weight matrix of cotangents of its
own, and only then they are added up: hundreds of megabytes for a layer of some hundred
neurons. Here the way back knows which inputs all samples share, and can add to one
matrix. Gradients of each sample, `vmap(grad(f))`, are right too: there the way back is
that of one sample, which is batched afterwards like any other code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.custom_batching import custom_vmap
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, PyTree


class Operation:
    """A function of (weights, inputs, fixed) and its derivative.

    Arguments:
        run: (weights, inputs, fixed) -> outputs, a flat list of arrays.
        outputs: their shapes and types.
        forth: the same, with what the way back needs: (outputs, history).
        history_axes: of the history, 0 where samples of a batch have their own, None
            where they share it.
        pull: (weights, inputs, fixed, history, cotangents, summed) -> cotangents of
            weights and inputs. If `summed`, the one of weights may be added up over a
            batch, by `add_in_batch`.

    `weights` and `inputs` are differentiable, `fixed` is not.
    """

    def __init__(
        self,
        run: Callable[..., list[Array]],
        outputs: list[jax.ShapeDtypeStruct],
        forth: Callable[..., tuple[list[Array], PyTree]],
        history_axes: PyTree,
        pull: Callable[..., tuple[list[Array], PyTree]],
    ):
        self.run, self.forth, self.pull = run, forth, pull
        self.outputs, self.history_axes = outputs, history_axes

    def __call__(
        self, weights: list[Array], inputs: PyTree, fixed: PyTree
    ) -> list[Array]:
        """The outputs, differentiable in reverse mode."""
        flat, tree = jax.tree.flatten((weights, inputs, fixed))
        form = Form(
            self, tree, len(jax.tree.leaves(weights)), len(jax.tree.leaves(fixed))
        )
        return _operation_p.bind(*flat, form=form, batches=())


class Form(NamedTuple):
    """How the flat arguments of an operation are to be read; hashable."""

    operation: Operation
    tree: Any
    n_weights: int
    n_fixed: int

    def linear(self, n: int) -> int:
        """How many of n arguments are differentiable."""
        return n - self.n_fixed

    def run(self, *flat: Array) -> list[Array]:
        return self.operation.run(*jax.tree.unflatten(self.tree, flat))

    def forth(self, *flat: Array) -> tuple[list[Array], PyTree]:
        return self.operation.forth(*jax.tree.unflatten(self.tree, flat))


class Batch(NamedTuple):
    """One `vmap` around an operation; batched arguments have the batch first."""

    size: int
    batched: tuple[bool, ...]

    def vmap(self, function: Any, in_axes: Any, out_axes: Any = 0) -> Any:
        return jax.vmap(function, in_axes, out_axes, axis_size=self.size)

    @property
    def axes(self) -> tuple[int | None, ...]:
        return tuple(0 if batched else None for batched in self.batched)


Batches = tuple[Batch, ...]


def _in_batches(function: Any, batches: Batches, out_axes: Any = 0) -> Any:
    for batch in batches:
        function = batch.vmap(function, batch.axes, out_axes)
    return function


def _pull(form: Form, batches: Batches, flat: Any, history: Any, by: Any) -> list[Any]:
    """Cotangents of the differentiable arguments."""

    def one(flat: Any, history: Any, by: Any) -> list[Array]:
        args = jax.tree.unflatten(form.tree, flat)
        summed = len(batches) > 0
        return jax.tree.leaves(form.operation.pull(*args, history, by, summed))

    pull = one
    for batch in batches:
        pull = _pull_batch(form, batch, pull, form.linear(len(flat)))
    return pull(tuple(flat), history, by)


def _pull_batch(form: Form, batch: Batch, inside: Any, n: int) -> Any:
    """Of one more batch: what its samples share gets the sum of their cotangents."""
    axes = batch.axes[:n]
    # Weights that are shared are added up inside, all else here.
    weights = range(form.n_weights)
    out_axes = [None if k in weights and a is None else 0 for k, a in enumerate(axes)]
    in_axes = (batch.axes, form.operation.history_axes, 0)

    def pull(flat: Any, history: Any, by: Any) -> list[Array]:
        parts = batch.vmap(inside, in_axes, out_axes)(flat, history, by)
        return [
            jnp.sum(part, axis=0) if a is None and k not in weights else part
            for k, (part, a) in enumerate(zip(parts, axes, strict=True))
        ]

    return pull


_operation_p = Primitive("eventax_operation")
_operation_p.multiple_results = True
_tangent_p = Primitive("eventax_tangent")
_tangent_p.multiple_results = True


def _outputs(*flat: Array, form: Form, batches: Batches) -> list[Array]:
    return _in_batches(form.run, batches)(*flat)


def _shapes(*_: Any, form: Form, batches: Batches) -> list[Any]:
    sizes = tuple(batch.size for batch in reversed(batches))
    outputs = form.operation.outputs
    return [ShapedArray((*sizes, *x.shape), x.dtype) for x in outputs]


def _tangent_shapes(*_: Any, form: Form, batches: Batches, **__: Any) -> list[Any]:
    shapes = _shapes(form=form, batches=batches)
    return [x for x in shapes if jnp.issubdtype(x.dtype, jnp.inexact)]


def _batched(
    args: Any, dims: Any, *, form: Form, batches: Batches
) -> tuple[list[Array], list[int]]:
    is_batched = [d is not None for d in dims]
    size = next(x.shape[d] for x, d, b in zip(args, dims, is_batched, strict=True) if b)
    args = [
        jnp.moveaxis(x, d, 0) if b else x
        for x, d, b in zip(args, dims, is_batched, strict=True)
    ]
    batch = Batch(size, tuple(is_batched))
    out = _operation_p.bind(*args, form=form, batches=(*batches, batch))
    return out, [0] * len(out)


def _jvp(primals: Any, tangents: Any, *, form: Form, batches: Batches) -> Any:
    axes = (0, form.operation.history_axes)
    outputs, history = _in_batches(form.forth, batches, axes)(*primals)
    n = form.linear(len(primals))
    moved = [ad.instantiate_zeros(t) for t in tangents[:n]]
    # Their derivatives, and those of the history, are never asked for.
    kept = jax.lax.stop_gradient((list(primals), jax.tree.leaves(history)))
    rates = iter(
        _tangent_p.bind(
            *moved,
            *kept[0],
            *kept[1],
            form=form,
            batches=batches,
            n_in=len(primals),
            history=jax.tree.structure(history),
        )
    )
    return outputs, [
        next(rates)
        if jnp.issubdtype(x.dtype, jnp.inexact)
        else ad.Zero(ShapedArray(x.shape, jax.dtypes.float0))
        for x in outputs
    ]


def _transpose(
    by: Any, *args: Any, form: Form, batches: Batches, n_in: int, history: Any
) -> list[Any]:
    n = form.linear(n_in)
    flat, rest = args[n : n + n_in], args[n + n_in :]
    by = [ad.instantiate_zeros(x) for x in by]
    found = _pull(form, batches, flat, jax.tree.unflatten(history, rest), by)
    wanted = [ad.is_undefined_primal(x) for x in args[:n]]
    found = [x if w else None for x, w in zip(found, wanted, strict=True)]
    return found + [None] * (len(args) - n)


def _forward_mode(*args: Any, **params: Any) -> Any:
    raise NotImplementedError(
        "Feed-forward networks have derivatives of reverse mode only. Use jax.grad, "
        "jax.vjp or jax.jacrev instead of jax.jvp, jax.jacfwd or jax.hessian."
    )


_operation_p.def_impl(_outputs)
_operation_p.def_abstract_eval(_shapes)
mlir.register_lowering(_operation_p, mlir.lower_fun(_outputs, multiple_results=True))
batching.primitive_batchers[_operation_p] = _batched
ad.primitive_jvps[_operation_p] = _jvp
_tangent_p.def_impl(_forward_mode)
_tangent_p.def_abstract_eval(_tangent_shapes)
mlir.register_lowering(_tangent_p, _forward_mode)
ad.primitive_transposes[_tangent_p] = _transpose


@custom_vmap
def add_in_batch(total: Array, places: Array, rows: Array) -> Array:
    """`total` with rows added at the places; over a batch in which `total` is shared.

    Places are rows of `total`, (entries,), or (entries, neurons) for each column one.
    """
    return add(total, places, rows)


def add(total: Array, places: Array, rows: Array) -> Array:
    """The same for one sample."""
    if places.ndim == 1:
        return total.at[places].add(rows)
    return total.at[places, jnp.arange(total.shape[1])].add(rows)


@add_in_batch.def_vmap
def _add_all(size: int, batched: Any, total: Array, places: Array, rows: Array) -> Any:
    axes = [0 if b else None for b in batched]
    if batched[0]:
        return jax.vmap(add, axes, axis_size=size)(total, places, rows), True
    places, rows = (
        x if b else jnp.broadcast_to(x, (size, *x.shape))
        for x, b in zip((places, rows), batched[1:], strict=True)
    )
    places, rows = (x.reshape(-1, *x.shape[2:]) for x in (places, rows))
    return add_in_batch(total, places, rows), False
