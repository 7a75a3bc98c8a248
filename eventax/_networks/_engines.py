"""Which engine simulates a network: the native core, or JAX."""

from __future__ import annotations

from typing import Any, Literal, get_args

import jax

from .. import _native as native
from .._neurons import NeuronModel

Engine = Literal["auto", "native", "jax"]


def check_engine(engine: Any) -> Engine:
    """One of the engines' names."""
    if engine not in get_args(Engine):
        raise ValueError(
            f"`engine` must be 'auto', 'native' or 'jax'; got {engine!r}. 'auto' takes "
            "the native core on a CPU where it knows the model and the settings, and "
            "JAX elsewhere."
        )
    return engine


def has_native() -> bool:
    """Whether the native core is there."""
    return native.load() is not None


def why_not_native(model: NeuronModel, solver: Any, adjoint: Any) -> str | None:
    """Why the native core cannot simulate such a network; None where it can."""
    if solver is not None:
        return "`solver` asks for numerical integration"
    if adjoint is not None:
        return f"`adjoint`={type(adjoint).__name__} asks for another way back"
    reason = native.why_not(model) or native.why_not_paused(model)
    if reason is None and model.flow() is None:
        reason = "a channel that `refrac_mask` holds drives one that it does not"
    return reason


def is_native(engine: Engine, why_not: str | None) -> bool:
    """Whether the native core runs now; an error where it should and cannot."""
    if engine == "jax":
        return False
    if why_not is None and not has_native():
        why_not = f"there is no native core: {native.why_missing()}"
    if engine == "native" and why_not is not None:
        raise ValueError(
            f"`engine`='native' cannot simulate this network: {why_not}. Use "
            "`engine='auto'` or `engine='jax'`."
        )
    # On an accelerator everything else of a program is there too.
    return why_not is None and (engine == "native" or jax.default_backend() == "cpu")
