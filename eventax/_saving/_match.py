"""Whether keywords build a given network, and arrays fit one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import numpy as np

from .._networks import EvNN
from .._static import Constant


def _is_data(x: Any) -> bool:
    return isinstance(x, (jax.Array, np.ndarray, np.generic, bool, int, float))


def name_of(place: Any) -> str:
    return jax.tree_util.keystr(place).lstrip(".")


def leaves_of(model: EvNN) -> dict[str, Any]:
    """Arrays and numbers that the tree `model` holds."""
    flat, _ = jax.tree_util.tree_flatten_with_path(model)
    return {name_of(place): leaf for place, leaf in flat if _is_data(leaf)}


def _settings(x: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """All else that `x` is made of: types of modules, static fields, functions."""
    if not isinstance(x, eqx.Module):
        if not _is_data(x):
            yield where, x
        return
    yield f"type of {where}", type(x)
    for field in dataclasses.fields(x):
        inside = f"{where}.{field.name}".lstrip(".")
        value = getattr(x, field.name, None)
        if field.metadata.get("static", False):
            yield inside, value
            continue
        for place, node in jax.tree_util.tree_leaves_with_path(
            value, is_leaf=lambda node: isinstance(node, eqx.Module)
        ):
            yield from _settings(node, inside + jax.tree_util.keystr(place))


def first_difference(
    first: dict[str, Any], second: dict[str, Any]
) -> tuple[str, str, str] | None:
    """Name of the first leaf whose shape or dtype differs, and what both have."""
    for name in first | second:
        one, other = _form(first.get(name)), _form(second.get(name))
        if one != other:
            return name, one, other
    return None


def _form(leaf: Any) -> str:
    if leaf is None:
        return "absent"
    if hasattr(leaf, "dtype"):
        return f"{leaf.dtype} {leaf.shape}"
    return f"a {type(leaf).__name__}"


def _equal(a: Any, b: Any) -> bool:
    try:
        return Constant(a) == Constant(b)
    except Exception:  # a user's type that does not compare
        return False


def check_config(model: EvNN, given: Any, keywords: dict[str, Any]) -> None:
    """That `keywords` build `model`, whatever the key, but for its arrays' values."""
    model_class = type(model.neuron_model)
    if given is not None and given is not model_class:
        raise ValueError(
            f"`config` says neuron_model={given!r}, but the model has {model_class!r}."
        )

    def build() -> EvNN:
        key = jax.random.PRNGKey(0)
        try:
            return type(model)(key=key, neuron_model=model_class, **keywords)
        except Exception as error:
            raise ValueError(
                "`config` must hold the keywords that the network was built with; "
                f"building {type(model).__name__} from it failed: {error}"
            ) from error

    built = build()
    difference = first_difference(leaves_of(model), leaves_of(built))
    mine, theirs = dict(_settings(model)), dict(_settings(built))
    names = [n for n in mine | theirs if not _equal(mine.get(n), theirs.get(n))]
    if names and difference is None:
        # What differs from one building to the next tells nothing.
        again = dict(_settings(build()))
        names = [n for n in names if _equal(theirs.get(n), again.get(n))]
        if names:
            name = names[0]
            difference = name, repr(mine.get(name)), repr(theirs.get(name))
    if difference:
        name, there, here = difference
        raise ValueError(
            "`config` must hold all keywords that the network was built with: "
            f"`{name}` is {there} in the model and {here} in what `config` builds."
        )
