"""Programs of several devices, when they are lowered."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import mlir
from jax.sharding import AbstractMesh


def ask_for_devices(*primitives: Primitive) -> None:
    """Lower these knowing the devices.

    JAX has no public name for that. Without it results are right, but gathered.
    """
    lowering = importlib.import_module("jax._src.dispatch")
    getattr(lowering, "prim_requires_devices_during_lowering", set()).update(primitives)


def is_divided(axes: Any) -> bool:
    """Whether the program is one of arrays that lie on several devices."""
    return (
        getattr(axes, "num_devices", 1) != 1
        and axes.abstract_mesh is not None
        and axes.device_assignment is not None
    )


def no_mesh() -> Any:
    """Of one device's part: whatever mesh a user has set is of all of them."""
    return jax.sharding.use_abstract_mesh(AbstractMesh((), ()))


def lower(context: Any, function: Callable[..., Any], arrays: Sequence[Any]) -> Any:
    """The function of arrays that know no mesh, lowered."""
    plain = [ShapedArray(x.shape, x.dtype) for x in context.avals_in]
    with no_mesh():
        rule = mlir.lower_fun(function, multiple_results=True)
        return rule(context.replace(avals_in=plain), *arrays)
