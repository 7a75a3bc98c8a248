"""Methods of a network that are hashable, as `jax.jit` asks of what it compiles."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import equinox as eqx

Method = TypeVar("Method", bound=Callable[..., Any])


class BoundMethod(eqx.Module):
    """A method of one network: a pytree as that is, and equal to itself only."""

    function: Callable[..., Any] = eqx.field(static=True)
    network: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self.network, *args, **kwargs)

    def __hash__(self) -> int:
        return hash((self.function, id(self.network)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundMethod):
            return False
        return self.function is other.function and self.network is other.network

    @property
    def __name__(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.function.__name__

    @property
    def __doc__(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.function.__doc__

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        return self.function.__get__(self.network)


class _Descriptor:
    """A function as a method of a network, for `jax.jit(net.ttfs)` too.

    Equinox hashes a method by the arrays of its object, which have no hash.
    """

    def __init__(self, function: Callable[..., Any]):
        self.function = function
        for name in functools.WRAPPER_ASSIGNMENTS:
            setattr(self, name, getattr(function, name))
        self.__wrapped__ = function

    def __get__(self, network: Any, owner: Any = None) -> Any:
        return self.function if network is None else BoundMethod(self.function, network)


if TYPE_CHECKING:  # whose types are those of the function

    def method(function: Method) -> Method: ...

else:
    method = _Descriptor
