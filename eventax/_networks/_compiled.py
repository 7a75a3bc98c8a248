"""Methods that JAX compiles, with errors that are one sentence."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax

from .._devices import with_auto_axes
from .._engine import told

Method = TypeVar("Method", bound=Callable[..., Any])


def compiled(method: Method) -> Method:
    """The method under `jit`; what fails while it runs is told without JAX's inside."""
    program = eqx.filter_jit(functools.wraps(method)(with_auto_axes(method)))

    @functools.wraps(method)
    def call(*args: Any) -> Any:
        try:
            return program(*args)
        except (jax.errors.JaxRuntimeError, ValueError) as error:
            # JAX raises the one or the other, by where the program runs.
            message = told(error)
            if message is None:
                raise
        raise eqx.EquinoxRuntimeError(message)

    return call  # pyright: ignore[reportReturnType]
