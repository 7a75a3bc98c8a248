"""Methods that JAX compiles, with errors that are one sentence."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from .._devices import with_auto_axes
from .._engine import told

Method = TypeVar("Method", bound=Callable[..., Any])


def compiled(method: Method) -> Method:
    """The method under `jit`; what fails while it runs is told without JAX's inside."""

    @functools.wraps(method)
    def typed(network: Any, *args: Any) -> Any:
        return method(_in_its_type(network), *args)

    program = eqx.filter_jit(functools.wraps(method)(with_auto_axes(typed)))

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


def _in_its_type(network: Any) -> Any:
    """The network with all its numbers in its own `dtype`.

    A leaf that was put in place of another may be of another type, as NumPy's float64
    or delays that are whole numbers.
    """

    def typed(leaf: Any) -> Any:
        floating = eqx.is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.floating)
        return leaf.astype(network.dtype) if floating else leaf

    delays = lambda net: [d for d in (net.delays, net.axonal_delays) if d is not None]  # noqa: E731
    network = jax.tree.map(typed, network)
    given = delays(network)
    if not given:
        return network
    return eqx.tree_at(delays, network, [jnp.asarray(d, network.dtype) for d in given])
