"""Python called by a program of several devices."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import mlir
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, PyTree

from .._varying import shaped
from ._lowering import ask_for_devices, is_divided, lower


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
    def run(*arrays: Array) -> list[Array]:
        return [call(*arrays)]

    axes = context.module_context.axis_context
    if is_divided(axes):
        form = axes.abstract_mesh
        devices = np.array(axes.device_assignment).reshape(form.axis_sizes)
        mesh = Mesh(devices, form.axis_names)
        everywhere = PartitionSpec()
        run = jax.shard_map(
            run, mesh=mesh, in_specs=everywhere, out_specs=everywhere, check_vma=False
        )
    return lower(context, run, arrays)


_python_p = Primitive("eventax_python")
_python_p.def_impl(lambda *arrays, call: call(*arrays))
_python_p.def_abstract_eval(
    lambda *forms, call: shaped(call.result.shape, call.result.dtype, forms[0])
)
mlir.register_lowering(_python_p, _lower_call)
ask_for_devices(_python_p)
