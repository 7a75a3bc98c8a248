"""A batch over several devices: each simulates its own samples.

XLA knows how to share out its own operations, not a call of the native core, and of a
loop over events it would make one for all devices that waits for the slowest at every
event. So what a batch is simulated by says itself how it is cut: by samples.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import ShapedArray
from jax.experimental.custom_partitioning import (
    ArrayMapping,
    SdyShardingRule,
    custom_partitioning,
)
from jax.extend.core import Primitive
from jax.interpreters import mlir
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree

from ._varying import shaped

Sizes = tuple[int, ...]


class Shares(NamedTuple):
    """Axes of a mesh over which each batch is cut, None for one that is not."""

    mesh: Any
    axes: tuple[Any, ...]

    @classmethod
    def of(cls, mesh: Any, sizes: Sizes, arguments: Sequence[Any]) -> Shares:
        """As the arguments are cut; what cannot be cut evenly is not."""

        def axes(level: int, size: int) -> Any:
            specs = [x.sharding.spec for x in arguments if x.shape[level] == size > 1]
            found = [s[level] for s in specs if len(s) > level and s[level] is not None]
            even = bool(found) and size % cls(mesh, (found[0],)).number(0) == 0
            return found[0] if even else None

        return cls(mesh, tuple(axes(*one) for one in enumerate(sizes)))

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


def with_auto_axes(function: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """The function, in which JAX infers how arrays lie on devices.

    Where a mesh has explicit axes it is a part of the types of arrays, and sorting,
    indexing and loops would each have to be told what becomes of it.
    """

    def call(*args: Any) -> PyTree:
        mesh = _explicit_mesh(args)
        if mesh is None:
            return function(*args)
        flat, tree = jax.tree.flatten(args)
        where = [k for k, x in enumerate(flat) if isinstance(x, jax.Array)]

        def inside(*arrays: Array) -> PyTree:
            here = list(flat)
            for k, x in zip(where, arrays, strict=True):
                here[k] = x
            return function(*jax.tree.unflatten(tree, here))

        automatic = jax.sharding.auto_axes(inside, out_sharding=PartitionSpec())
        with jax.sharding.use_abstract_mesh(mesh):
            return automatic(*(flat[k] for k in where))

    return call


def _explicit_mesh(tree: PyTree) -> Any:
    """The mesh of arrays of which some axis is explicit, None if there is none."""
    types = (jax.typeof(x) for x in jax.tree.leaves(tree) if isinstance(x, jax.Array))
    meshes = (form.sharding.mesh for form in types)
    return next((m for m in meshes if AxisType.Explicit in m.axis_types), None)


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

    # Types without a mesh: inside there is one device.
    plain = [ShapedArray(x.shape, x.dtype) for x in context.avals_in]
    results = [x.shape for x in context.avals_out]
    if _is_divided(context.module_context.axis_context):
        whole = _divided(
            whole, function, sizes, leads, [x.shape for x in plain], results
        )
    with _no_mesh():
        lower = mlir.lower_fun(whole, multiple_results=True)
        return lower(context.replace(avals_in=plain), *arrays)


def call_python(function: Callable[..., Any], result: Any, *args: PyTree) -> Array:
    """`jax.pure_callback`, on every device where there are several.

    JAX calls on one of them, and if that raises the others wait for it until XLA ends
    the process.
    """
    flat, tree = jax.tree.flatten(args)
    call = _Call(function, result, tree)
    return _python_p.bind(*flat, call=call)


@dataclasses.dataclass(frozen=True, eq=False)
class _Call:
    function: Callable[..., Any]
    result: Any
    tree: Any

    def __call__(self, *flat: Any) -> Array:
        args = jax.tree.unflatten(self.tree, flat)
        return jax.pure_callback(self.function, self.result, *args)


def _lower_call(context: Any, *arrays: Any, call: _Call) -> Any:
    def run(*arrays: Array) -> Array:
        return call(*arrays)

    axes = context.module_context.axis_context
    if _is_divided(axes):
        form = axes.abstract_mesh
        devices = np.array(axes.device_assignment).reshape(form.axis_sizes)
        mesh = Mesh(devices, form.axis_names)
        everywhere = PartitionSpec()
        run = jax.shard_map(
            run, mesh=mesh, in_specs=everywhere, out_specs=everywhere, check_vma=False
        )
    plain = [ShapedArray(x.shape, x.dtype) for x in context.avals_in]
    with _no_mesh():
        lower = mlir.lower_fun(run, multiple_results=False)
        return lower(context.replace(avals_in=plain), *arrays)


_python_p = Primitive("eventax_python")
_python_p.def_impl(lambda *arrays, call: call(*arrays))
_python_p.def_abstract_eval(
    lambda *forms, call: shaped(call.result.shape, call.result.dtype, forms[0])
)
mlir.register_lowering(_python_p, _lower_call)


def ask_for_devices(*primitives: Primitive) -> None:
    """Lower these knowing the devices.

    JAX has no public name for that. Without it results are right, but gathered.
    """
    lowering = importlib.import_module("jax._src.dispatch")
    getattr(lowering, "prim_requires_devices_during_lowering", set()).update(primitives)


ask_for_devices(_python_p)


def _no_mesh() -> Any:
    """Of one device's part: whatever mesh a user has set is of all of them."""
    return jax.sharding.use_abstract_mesh(AbstractMesh((), ()))


def _is_divided(axes: Any) -> bool:
    """Whether the program is one of arrays that lie on several devices."""
    return (
        getattr(axes, "num_devices", 1) != 1
        and axes.abstract_mesh is not None
        and axes.device_assignment is not None
    )


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
            with _no_mesh():
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
