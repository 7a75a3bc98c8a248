"""A batch over several devices: each simulates its own samples.

XLA knows how to share out its own operations, not a call of the native core, and of a
loop over events it would make one for all devices that waits for the slowest at every
event. So what a batch is simulated by says itself how it is cut: by samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax.experimental.custom_partitioning import (
    ArrayMapping,
    SdyShardingRule,
    custom_partitioning,
)
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array

from ._lowering import is_divided, lower, no_mesh

Sizes = tuple[int, ...]


class Shares(NamedTuple):
    """Axes of a mesh over which each batch is cut, None for one that is not."""

    mesh: Any
    axes: tuple[Any, ...]

    @classmethod
    def of(cls, mesh: Any, sizes: Sizes, arguments: Sequence[Any]) -> Shares:
        """As the arguments are cut; what cannot be cut evenly is not."""
        found: list[Any] = []
        for level, size in enumerate(sizes):
            specs = [x.sharding.spec for x in arguments if x.shape[level] == size > 1]
            cuts = [spec[level] for spec in specs if len(spec) > level]
            cuts = [axes for axes in cuts if axes is not None and axes not in found]
            even = cuts and size % cls(mesh, (cuts[0],)).number(0) == 0
            found.append(cuts[0] if even else None)
        return cls(mesh, tuple(found))

    def number(self, level: int) -> int:
        """Devices over which a batch is cut."""
        axes = self.axes[level]
        names = () if axes is None else axes if isinstance(axes, tuple) else (axes,)
        return math.prod(self.mesh.shape[name] for name in names)

    def of_one(self, sizes: Sizes) -> Sizes:
        """The batches of one device."""
        return tuple(size // self.number(k) for k, size in enumerate(sizes))

    def sharding(self, sizes: Sizes, x: Any) -> NamedSharding:
        """Of an array that has its batches in front, of size 1 where they share it."""
        pairs = zip(x.shape, sizes, self.axes, strict=False)
        own = [axes if n == size > 1 else None for n, size, axes in pairs]
        return NamedSharding(
            self.mesh, PartitionSpec(*own, *[None] * (len(x.shape) - len(own)))
        )

    def add_up(self, sizes: Sizes, lead: Sizes, part: Array) -> Array:
        """Over all devices, where batches of an array are summed already."""
        pairs = zip(lead, sizes, self.axes, strict=True)
        axes = [axes for n, size, axes in pairs if n < size and axes is not None]
        return jax.lax.psum(part, tuple(axes)) if axes else part


def lower_in_parts(
    context: Any,
    arrays: Sequence[Any],
    function: Callable[..., list[Array]],
    sizes: Sizes,
    leads: Sequence[Sizes],
) -> Any:
    """Lower `function(sizes, *arrays)`, in parts where there are several devices.

    All arrays have their batches in front: in each the batch's size, or 1 where samples
    share the array. `leads` are the batches of results; one of size 1 is a sum.
    """

    def whole(*arrays: Array) -> list[Array]:
        return function(sizes, *arrays)

    if is_divided(context.module_context.axis_context):
        given, results = (
            [x.shape for x in forms] for forms in (context.avals_in, context.avals_out)
        )
        whole = _divided(whole, function, sizes, leads, given, results)
    return lower(context, whole, arrays)


def _divided(
    whole: Callable[..., list[Array]],
    function: Callable[..., list[Array]],
    sizes: Sizes,
    leads: Sequence[Sizes],
    given: Sequence[Sizes],
    results: Sequence[Sizes],
) -> Any:
    def partition(mesh: Any, arguments: Any, found: Any) -> Any:
        shares = Shares.of(mesh, sizes, arguments)

        def part(*arrays: Array) -> list[Array]:
            with no_mesh():
                sums = function(shares.of_one(sizes), *arrays)
                pairs = zip(leads, sums, strict=True)
                return [shares.add_up(sizes, lead, x) for lead, x in pairs]

        into, out = (
            [shares.sharding(sizes, x) for x in arrays] for arrays in (arguments, found)
        )
        return mesh, part, out, tuple(into)

    def infer(mesh: Any, arguments: Any, found: Any) -> Any:
        shares = Shares.of(mesh, sizes, arguments)
        return [shares.sharding(sizes, x) for x in found]

    shared = custom_partitioning(whole)
    shared.def_partition(partition, infer, sharding_rule=_rule(sizes, given, results))
    return shared


def _rule(
    sizes: Sizes, given: Sequence[Sizes], results: Sequence[Sizes]
) -> SdyShardingRule:
    """Batches may be cut, and nothing else."""
    kept: list[str] = []

    def name(level: int, n: int) -> str:
        if level < len(sizes) and n == sizes[level] > 1:
            return f"batch{level}"
        kept.append(f"kept{len(kept)}")
        return kept[-1]

    def names(shapes: Sequence[Sizes]) -> tuple[ArrayMapping, ...]:
        return tuple(
            ArrayMapping(*(name(*one) for one in enumerate(shape))) for shape in shapes
        )

    return SdyShardingRule(
        names(given), names(results), need_replication_factors=tuple(kept)
    )
