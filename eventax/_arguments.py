"""Arguments, checked where Python can see them: what several parts have in common.

A value that JAX traces has no number to look at, and passes.
"""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int


def visible(value: Any) -> np.ndarray | None:
    """The value, None while JAX traces it."""
    return None if isinstance(value, Tracer) else np.asarray(value)


def check_known(
    cls: type, keywords: Collection[str], lost: str, also: Collection[str] = ()
) -> None:
    """Keywords that `cls` takes; `lost` says who does not; `also`, near misses."""
    accepted = inspect.signature(cls).parameters
    if any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
        return
    for name in keywords:
        if name in accepted:
            continue
        close = difflib.get_close_matches(name, sorted({*accepted, *also}), n=1)
        hint = f" Did you mean `{close[0]}`?" if close else ""
        raise TypeError(
            f"Unknown keyword `{name}`: {lost}.{hint} {cls.__name__} takes "
            f"{', '.join(accepted)}."
        )


def as_numbers(name: str, value: Any, dtype: Any) -> np.ndarray | Array:
    """The value as an array of that dtype."""
    if value is None:  # which NumPy takes for NaN
        raise _no_numbers(name, value)
    try:
        if isinstance(value, Array):
            return jnp.asarray(value, dtype)
        return np.asarray(value, dtype)
    except (TypeError, ValueError) as error:
        raise _no_numbers(name, value) from error


def _no_numbers(name: str, value: Any) -> TypeError:
    return TypeError(
        f"`{name}` must be a number or an array of numbers; got {value!r}."
    )


def is_traced(value: Any) -> bool:
    """Whether JAX stands in for a part of the value, so that Python cannot see it."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value))


def check_static(name: str, value: Any) -> None:
    """A value that Python can see, as what is compiled depends on it."""
    if is_traced(value):
        raise TypeError(
            f"`{name}` must be known when the network is built, since it is static: a "
            f"part of the compiled program. Got a value that JAX traces, {value!r}. "
            "Build one network for each value, outside of `jax.jit`, `jax.vmap` and "
            "`jax.grad`; or make it a trainable array, as the constants of `PLIF`, "
            "`PQIF` and `pIzhikevich` are."
        )


def as_float(name: str, value: Any) -> float:
    """A number, also an infinite one or NaN."""
    check_static(name, value)
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must be a number; got {value!r}.") from error


def as_flag(name: str, value: Any) -> bool:
    """True or False, or the numbers 1 and 0."""
    if not isinstance(value, bool | int | np.bool_) or value not in (0, 1):
        raise TypeError(f"`{name}` must be True or False; got {value!r}.")
    return bool(value)


def check_count(name: str, value: Any, least: int) -> int:
    """A whole number, at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"`{name}` must be a whole number; got {value!r}.")
    if value < least:
        raise ValueError(f"`{name}` must be at least {least}; got {value!r}.")
    return int(value)


def check_finite(name: str, value: Any) -> None:
    """Finite numbers."""
    seen = visible(value)
    if seen is None:
        return
    if not jnp.issubdtype(seen.dtype, jnp.number):
        raise _no_numbers(name, value)
    if not np.all(np.isfinite(seen)):
        raise ValueError(f"`{name}` must be finite; got {value!r}.")


def check_positive(name: str, value: Any) -> None:
    """Finite numbers above 0."""
    check_finite(name, value)
    seen = visible(value)
    if seen is not None and not np.all(seen > 0):
        raise ValueError(f"`{name}` must be positive; got {value!r}.")


def check_not_negative(name: str, value: Any) -> None:
    """Finite numbers, at least 0."""
    check_finite(name, value)
    seen = visible(value)
    if seen is not None and not np.all(seen >= 0):
        raise ValueError(f"`{name}` must not be negative; got {value!r}.")


def check_range(low: tuple[str, Any], high: tuple[str, Any]) -> None:
    """Two finite times, each with its name, the second one later."""
    for name, value in (low, high):
        check_finite(name, value)
    first, last = visible(low[1]), visible(high[1])
    if first is not None and last is not None and not np.all(first < last):
        raise ValueError(
            f"`{high[0]}` must be above `{low[0]}` = {low[1]!r}; got {high[1]!r}."
        )


def as_floats(value: Any) -> Float[Array, "*batch"]:
    """The value as an array of its own float type, or of JAX's if it holds integers."""
    array = jnp.asarray(value)
    return array.astype(jnp.result_type(array, 0.0))


def as_labels(
    labels: Any, values: Float[Array, "*batch classes"]
) -> Int[Array, "*batch"]:
    """One label for each sample of `values`, whose last axis is that of classes."""
    if values.ndim == 0:
        raise ValueError(
            "There must be one output per class, (..., n); got a single number."
        )
    batch, n = values.shape[:-1], values.shape[-1]
    if np.shape(labels) != batch:
        raise ValueError(
            "`labels` must have one entry per sample, that is the shape of the outputs "
            f"without their last axis, {batch}; got shape {np.shape(labels)}."
        )
    seen = visible(labels)
    array = jnp.asarray(labels)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(
            f"`labels` must be whole numbers, the index of a class; got dtype "
            f"{array.dtype}. Convert them with `.astype(int)`, or one-hot labels with "
            "`jnp.argmax(labels, axis=-1)`."
        )
    if seen is not None and not np.all((seen >= 0) & (seen < n)):
        wrong = seen[(seen < 0) | (seen >= n)]
        raise ValueError(
            f"`labels` must lie between 0 and {n - 1}, as there are {n} outputs; got "
            f"{wrong.flat[0]}."
        )
    return array.astype(int)


def warn_if_filled(times: Any, t_max: Any = np.inf) -> None:
    """Warn where one number stands in the place of many spikes, as a fill would.

    No spike times are told from a fill by their values alone: but it is seldom that in
    a batch three are the last, or the first, at exactly the same time.
    """
    seen, end = visible(times), visible(t_max)
    if seen is None or end is None or seen.ndim < 2 or seen.size == 0:
        return
    if not np.all(np.isfinite(seen)):
        return
    for value in {float(seen.max()), float(seen.min())}:
        count = int(np.sum(seen == value))
        if count > 2 and np.all(value < end):
            warnings.warn(
                f"{count} of {seen.size} spike times are {value:g}, and none is `inf`. "
                "If the network fills up with `output_no_spike_value`, these are taken "
                "for spikes: leave it at `inf`, or pass it as `no_spike` to a metric "
                "(`no_spike=jnp.inf` says that all are spikes).",
                stacklevel=4,
            )
