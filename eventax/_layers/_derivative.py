"""A derivative written by hand that sums over a batch on its way.

With `jax.custom_vjp` each sample of a batch gets a weight matrix of cotangents of its
own, and only then they are added up: hundreds of megabytes for a layer of some hundred
neurons. Here the way back knows which inputs all samples share, and can add to one
matrix. Gradients of each sample, `vmap(grad(f))`, are right too: there the way back is
that of one sample, which is batched afterwards like any other code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Int, PyTree

from .._once import refuse, undifferentiated
from .._varying import shaped, varying
from ._blocks import Blocks, samples_of_a_block


class Operation:
    """A function of (weights, inputs, fixed) and its derivative.

    Arguments:
        run: (weights, inputs, fixed) -> outputs, a flat list of arrays.
        outputs: their shapes and types.
        forth: (weights, inputs, fixed, memory, block) -> (outputs, memory, notes) for
            the way back. Each sample has its own memory; notes are shared by those that
            go in step.
        memory: number of blocks -> shapes and types of a sample's memory.
        pull: (weights, inputs, fixed, memory, block, notes, cotangents, summed) ->
            (cotangents of weights, of inputs, memory). If `summed`, those of weights
            may be added up over a batch, by `add_in_batch`.
        work: (weights, inputs, fixed) -> a number that grows with how long it takes.
        lanes: how many things are done at once for one sample.

    `weights` and `inputs` are differentiable, `fixed` is not.
    """

    def __init__(
        self,
        run: Callable[..., list[Array]],
        outputs: list[jax.ShapeDtypeStruct],
        forth: Callable[..., tuple[list[Array], PyTree, PyTree]],
        memory: Callable[[int], PyTree],
        pull: Callable[..., tuple[list[Array], PyTree, PyTree]],
        work: Callable[..., Int[Array, ""]],
        lanes: int,
    ):
        self.run, self.forth, self.pull = run, forth, pull
        self.outputs, self.memory = outputs, memory
        self.work, self.lanes = work, lanes

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

    def work(self, *flat: Array) -> Int[Array, ""]:
        return self.operation.work(*jax.tree.unflatten(self.tree, flat))


class Batch(NamedTuple):
    """One `vmap` around an operation; batched arguments have the batch first.

    `block` is how many samples are done at once where it is the only `vmap`.
    """

    size: int
    batched: tuple[bool, ...]
    block: int

    def vmap(self, function: Any, in_axes: Any, out_axes: Any = 0) -> Any:
        return jax.vmap(function, in_axes, out_axes, axis_size=self.size)

    @property
    def axes(self) -> tuple[int | None, ...]:
        return tuple(0 if batched else None for batched in self.batched)

    def own(self, flat: Sequence[Array]) -> list[Array]:
        """Those of the arguments of which each sample has its own."""
        return [x for x, batched in zip(flat, self.batched, strict=False) if batched]

    def shared(self, flat: Sequence[Array]) -> list[Array]:
        """The others."""
        return [x for x, b in zip(flat, self.batched, strict=False) if not b]

    def merge(self, own: Sequence[Array], shared: Sequence[Array]) -> list[Array]:
        """All of them in their order."""
        parts = {True: iter(own), False: iter(shared)}
        n = len(own) + len(shared)
        return [next(parts[batched]) for batched in self.batched[:n]]


Batches = tuple[Batch, ...]


class Plan(NamedTuple):
    """How all batches of an operation, the innermost first, are gone through."""

    batches: Batches  # that are done at once
    blocks: Blocks | None  # one after the other

    @classmethod
    def of(cls, form: Form, batches: Batches, flat: Sequence[Array]) -> Plan:
        """Only a batch that is the only one is cut into blocks."""
        if len(batches) != 1:
            return cls(batches, None)
        (batch,) = batches
        if batch.block == batch.size:
            return cls(batches, None)
        work = batch.vmap(form.work, batch.axes)(*flat)
        blocks = Blocks.by(work, batch.block)
        return cls((batch._replace(size=batch.block),), blocks)

    @property
    def n_blocks(self) -> int:
        return 1 if self.blocks is None else len(self.blocks.samples)

    def go(self, step: Any, carry: Any, flat: Sequence[Array], *rest: Any) -> Any:
        """Like `lax.scan`, by step(carry, number of the block, its `flat`, *rest)."""
        if self.blocks is None:
            return step(carry, jnp.zeros((), jnp.int32), flat, *rest)
        (batch,) = self.batches
        shared = batch.shared(flat)

        def body(carry: Any, given: Any) -> Any:
            number, own, rest = given
            return step(carry, number, batch.merge(own, shared), *rest)

        own = [self.blocks.cut(x) for x in batch.own(flat)]
        numbers = jnp.arange(self.n_blocks, dtype=jnp.int32)
        return jax.lax.scan(body, carry, (numbers, own, rest))

    def join(self, outputs: list[Array]) -> list[Array]:
        """Outputs of blocks, each sample's at its place in the batch."""
        if self.blocks is None:
            return outputs
        return [self.blocks.join(x) for x in outputs]


def _run(form: Form, batches: Batches, flat: Sequence[Array]) -> list[Array]:
    """Outputs without a derivative."""
    plan = Plan.of(form, batches, flat)
    run = form.run
    for batch in plan.batches:
        run = batch.vmap(run, batch.axes)
    _, outputs = plan.go(lambda carry, _, flat: (carry, run(*flat)), None, flat)
    return plan.join(outputs)


def _forth(form: Form, batches: Batches, flat: Sequence[Array]) -> Any:
    """Outputs, memory and notes."""

    def forth(flat: Any, memory: Any, block: Any) -> Any:
        args = jax.tree.unflatten(form.tree, flat)
        return form.operation.forth(*args, memory, block)

    plan = Plan.of(form, batches, flat)
    for batch in plan.batches:
        forth = batch.vmap(forth, (batch.axes, 0, None), (0, 0, None))

    def step(memory: Any, block: Any, flat: Sequence[Array]) -> Any:
        outputs, memory, notes = forth(tuple(flat), memory, block)
        return memory, (outputs, notes)

    sizes = tuple(batch.size for batch in reversed(plan.batches))
    memory = jax.tree.map(
        lambda x: jnp.zeros((*sizes, *x.shape), x.dtype),
        form.operation.memory(plan.n_blocks),
    )
    memory, (outputs, notes) = plan.go(step, varying(memory, flat), flat)
    return plan.join(outputs), memory, notes


def _pull(
    form: Form,
    batches: Batches,
    flat: Sequence[Array],
    memory: Any,
    notes: Any,
    by: Any,
) -> list[Array]:
    """Cotangents of the differentiable arguments."""

    def pull(flat: Any, memory: Any, block: Any, notes: Any, by: Any) -> Any:
        args = jax.tree.unflatten(form.tree, flat)
        summed = len(batches) > 0
        *found, memory = form.operation.pull(*args, memory, block, notes, by, summed)
        return jax.tree.leaves(found), memory

    plan = Plan.of(form, batches, flat)
    for batch in plan.batches:
        pull = _pull_batch(form, batch, pull)
    if plan.blocks is None:
        zero = jnp.zeros((), jnp.int32)
        return pull(tuple(flat), memory, zero, notes, by)[0]
    (batch,) = plan.batches

    def step(carry: Any, block: Any, flat: Sequence[Array], notes: Any, by: Any) -> Any:
        total, memory = carry
        found, memory = pull(tuple(flat), memory, block, notes, by)
        total = jax.tree.map(jnp.add, total, batch.shared(found))
        return (total, memory), batch.own(found)

    zero = [jnp.zeros_like(x) for x in batch.shared(flat[: form.linear(len(flat))])]
    zero = varying(zero, flat, by)
    by = [plan.blocks.cut_once(x) for x in by]
    (total, _), own = plan.go(step, (zero, memory), flat, notes, by)
    return batch.merge(plan.join(own), total)


def _pull_batch(form: Form, batch: Batch, inside: Any) -> Any:
    """Of one more batch: what its samples share gets the sum of their cotangents."""
    axes = batch.axes[: form.linear(len(batch.axes))]
    # Weights that are shared are added up inside, all else here.
    weights = range(form.n_weights)
    out_axes = [None if k in weights and a is None else 0 for k, a in enumerate(axes)]
    every = batch.vmap(inside, (batch.axes, 0, None, None, 0), (out_axes, 0))

    def pull(flat: Any, memory: Any, block: Any, notes: Any, by: Any) -> Any:
        parts, memory = every(flat, memory, block, notes, by)
        sums = [
            jnp.sum(part, axis=0) if a is None and k not in weights else part
            for k, (part, a) in enumerate(zip(parts, axes, strict=True))
        ]
        return sums, memory

    return pull


_operation_p = Primitive("eventax_operation")
_operation_p.multiple_results = True
_tangent_p = Primitive("eventax_tangent")
_tangent_p.multiple_results = True


def _outputs(*flat: Array, form: Form, batches: Batches) -> list[Array]:
    return _run(form, batches, flat)


def _shapes(*args: Any, form: Form, batches: Batches) -> list[Any]:
    sizes = tuple(batch.size for batch in reversed(batches))
    outputs = form.operation.outputs
    return [shaped((*sizes, *x.shape), x.dtype, args[0]) for x in outputs]


def _tangent_shapes(*args: Any, form: Form, batches: Batches, **__: Any) -> list[Any]:
    shapes = _shapes(*args, form=form, batches=batches)
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
    block = samples_of_a_block(size, form.operation.lanes)
    batch = Batch(size, tuple(is_batched), block)
    out = _operation_p.bind(*args, form=form, batches=(*batches, batch))
    return out, [0] * len(out)


def _jvp(primals: Any, tangents: Any, *, form: Form, batches: Batches) -> Any:
    primals = undifferentiated(primals)
    outputs, *history = _forth(form, batches, primals)
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
        else ad.Zero(shaped(x.shape, jax.dtypes.float0, jax.typeof(x)))
        for x in outputs
    ]


def _transpose(
    by: Any, *args: Any, form: Form, batches: Batches, n_in: int, history: Any
) -> list[Any]:
    n = form.linear(n_in)
    flat, rest = args[n : n + n_in], args[n + n_in :]
    by = undifferentiated([ad.instantiate_zeros(x) for x in by])
    memory, notes = jax.tree.unflatten(history, rest)
    found = _pull(form, batches, flat, memory, notes, by)
    wanted = [ad.is_undefined_primal(x) for x in args[:n]]
    found = [x if w else None for x, w in zip(found, wanted, strict=True)]
    return found + [None] * (len(args) - n)


_operation_p.def_impl(_outputs)
_operation_p.def_abstract_eval(_shapes)
mlir.register_lowering(_operation_p, mlir.lower_fun(_outputs, multiple_results=True))
batching.primitive_batchers[_operation_p] = _batched
ad.primitive_jvps[_operation_p] = _jvp
_tangent_p.def_impl(refuse)
_tangent_p.def_abstract_eval(_tangent_shapes)
mlir.register_lowering(_tangent_p, refuse)
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
