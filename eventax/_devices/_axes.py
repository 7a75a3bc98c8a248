"""Meshes with explicit axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AxisType, PartitionSpec
from jaxtyping import Array, PyTree


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
