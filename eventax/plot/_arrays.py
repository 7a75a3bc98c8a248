"""Arguments of pictures as NumPy arrays, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._arguments import as_numbers
from ..metrics._spikes import is_spike


def as_array(name: str, value: Any, *ndims: int) -> np.ndarray:
    """An array of floating-point numbers with one of these numbers of axes."""
    array = np.asarray(as_numbers(name, value, None))
    if array.dtype.kind in "biuf":  # large arrays keep their precision
        array = array.astype(np.result_type(array, np.float32), copy=False)
    else:
        array = np.asarray(as_numbers(name, value, float))
    if array.ndim not in ndims:
        wanted = " or ".join(map(str, ndims))
        raise ValueError(
            f"`{name}` must be an array of {wanted} axes; got shape {array.shape}."
        )
    return array


def as_indices(name: str, value: Any, kind: str) -> np.ndarray:
    """(n,) numbers of classes or neurons, negative for none."""
    array = np.asarray(value)
    whole = np.issubdtype(array.dtype, np.integer) or array.size == 0
    if array.ndim != 1 or not whole:
        raise ValueError(
            f"`{name}` must be whole numbers of shape (n,), the index of a {kind} or "
            f"-1 for none; got dtype {array.dtype}, shape {array.shape}."
        )
    return array.astype(int)


def check_length(name: str, array: Any, n: int, other: str) -> None:
    """As many entries as another argument has."""
    if len(array) != n:
        raise ValueError(
            f"`{name}` must have one entry for each of {other}, {n}; got {len(array)}."
        )


def check_names(names: Any, n: int, what: str) -> Sequence[str] | None:
    """None, or as many names as there are things to be named."""
    if names is None:
        return None
    if isinstance(names, str) or len(names) != n:
        raise ValueError(
            f"`names` must be a list of {n} strings, one for each {what}; got "
            f"{names!r}."
        )
    return [str(name) for name in names]


def class_names(names: Any, *classes: np.ndarray) -> Sequence[str]:
    """A name for each class that occurs, their numbers by default."""
    n = 1 + max(int(numbers.max(initial=-1)) for numbers in classes)
    n = max(n, 0 if names is None else len(names))
    return check_names(names, n, "class") or [str(k) for k in range(n)]


def with_gaps(times: np.ndarray, no_spike: Any) -> np.ndarray:
    """Times with NaN where there is no spike."""
    # A picture shows many equal times: no need to warn of a fill.
    fill = np.inf if no_spike is None else no_spike
    return np.where(np.asarray(is_spike(times, fill)), times, np.nan)
