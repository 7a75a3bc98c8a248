"""An operation on batches from what is done for one sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array

from .._operation import Form, Sizes, apply, kept


class Sample:
    """A function of one sample's (weights, inputs, fixed), and its derivative.

    Arguments:
        run: arrays -> results.
        forth: arrays -> (results, history).
        pull: (arrays, history, cotangents, summed) -> cotangents of weights and inputs.
            If `summed`, those of weights may be added up over a batch, by
            `add_in_batch`.
        n_weights, n_inputs: how many of the arrays are which; they are differentiable.
        arrays: examples of them.

    Under `jax.vmap` every loop stays one loop for the whole batch.
    """

    def __init__(
        self,
        run: Callable[..., list[Array]],
        forth: Callable[..., tuple[list[Array], list[Array]]],
        pull: Callable[..., list[Array]],
        n_weights: int,
        n_inputs: int,
        arrays: Sequence[Array],
    ):
        self.run, self.forth, self.pull = run, forth, pull
        self.n_weights = n_weights
        self.linear = tuple(range(n_weights + n_inputs))
        like = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays]
        results, history = jax.eval_shape(forth, *like)
        self.results, self.history = _forms(results), _forms(history)
        floats = [jnp.issubdtype(dtype, jnp.inexact) for _, dtype in self.results]
        self.reads = tuple(k for k, is_float in enumerate(floats) if is_float)

    def __call__(self, *arrays: Array) -> list[Array]:
        """The results, differentiable in reverse mode."""
        return apply(self, arrays)

    def forward(self, sizes: Sizes, arguments: Sequence[Array], keeps: bool) -> Any:
        """Results and history; see `Operation`."""
        batches = _batches(sizes, arguments)
        if not keeps:
            empty = [kept(form, keeps) for form in self.history]
            empty = [jnp.zeros((*sizes, *shape), dtype) for shape, dtype in empty]
            return [*_over(self.run, batches)(*arguments), *empty]
        results, history = _over(self.forth, batches)(*arguments)
        return [*results, *history]

    def backward(
        self,
        sizes: Sizes,
        arguments: Sequence[Array],
        history: Sequence[Array],
        by: Sequence[Array],
        wanted: tuple[bool, ...],
        leads: tuple[Sizes, ...],
    ) -> Any:
        """Cotangents; see `Operation`."""
        n, n_kept, depth = len(arguments), len(history), len(sizes)
        # Where each sample has a gradient of its own, nothing may be added up inside.
        weights = [
            jnp.broadcast_to(x, (*lead, *x.shape[depth:]))
            for x, lead in zip(arguments[: self.n_weights], leads, strict=False)
        ]
        arguments = [*weights, *arguments[self.n_weights :]]

        def pull(*arrays: Array) -> list[Array]:
            parts = arrays[:n], arrays[n : n + n_kept], arrays[n + n_kept :]
            return self.pull(*parts, depth > 0)

        for level in reversed(range(depth)):
            batch = _batches(sizes, (*arguments, *history, *by))[level]
            sums = tuple(lead[level] == 1 for lead in leads)
            pull = _pull_over(pull, batch, sums, self.n_weights)
        found = pull(*arguments, *history, *by)
        return [
            x if w else jnp.zeros((*x.shape[:depth], *[0] * (x.ndim - depth)), x.dtype)
            for x, w in zip(found, wanted, strict=True)
        ]


class Batch(NamedTuple):
    """One `vmap`: its size, and for each array whether samples have their own."""

    size: int
    own: tuple[bool, ...]

    def split(self, arrays: Sequence[Array]) -> list[Array]:
        """Arrays without the batch where samples share them."""
        return [x if own else x[0] for x, own in zip(arrays, self.own, strict=True)]

    def vmap(self, function: Callable[..., Any], out_axes: Any = 0) -> Any:
        axes = tuple(0 if own else None for own in self.own)
        return jax.vmap(function, axes, out_axes, axis_size=self.size)


def _batches(sizes: Sizes, arrays: Sequence[Array]) -> list[Batch]:
    """The outermost first. A batch of one sample is shared by it."""
    return [
        Batch(size, tuple(x.shape[level] == size != 1 for x in arrays))
        for level, size in enumerate(sizes)
    ]


def _over(function: Callable[..., Any], batches: Sequence[Batch]) -> Any:
    """The function over all batches."""

    def over(inside: Any, batch: Batch) -> Any:
        return lambda *arrays: batch.vmap(inside)(*batch.split(arrays))

    for batch in reversed(batches):
        function = over(function, batch)
    return function


def _pull_over(
    inside: Callable[..., list[Array]],
    batch: Batch,
    sums: tuple[bool, ...],
    n_weights: int,
) -> Callable[..., list[Array]]:
    """Over one more batch, of which some cotangents are sums."""
    # Those of weights are added up inside.
    inside_sums = [one and k < n_weights for k, one in enumerate(sums)]
    every = batch.vmap(inside, [None if one else 0 for one in inside_sums])

    def pull(*arrays: Array) -> list[Array]:
        parts = every(*batch.split(arrays))
        parts = [
            x[None] if one else x for x, one in zip(parts, inside_sums, strict=True)
        ]
        return [
            jnp.sum(x, axis=0, keepdims=True) if one else x
            for x, one in zip(parts, sums, strict=True)
        ]

    return pull


def _forms(arrays: Sequence[Any]) -> tuple[Form, ...]:
    return tuple((x.shape, x.dtype) for x in arrays)


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
