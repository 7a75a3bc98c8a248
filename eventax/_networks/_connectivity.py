"""Who hears whom: masks and neuron selections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._arguments import check_static, is_traced


def connectivity(
    wmask: Any, n_neurons: int, in_size: int, input_neurons: np.ndarray
) -> np.ndarray:
    """The (N+M, N) mask in force, as booleans."""
    shape = (n_neurons + in_size, n_neurons)
    if wmask is None:
        mask = np.ones(shape, bool)
        mask[n_neurons:] = input_neurons
        return mask
    check_static("wmask", wmask)
    array = np.asarray(wmask)
    if array.shape != shape:
        raise ValueError(
            f"`wmask` must have shape (n_neurons + in_size, n_neurons) = {shape}, rows "
            f"are senders (neurons first, then inputs); got shape {array.shape}."
        )
    if not np.all((array == 0) | (array == 1)):
        raise ValueError(
            "`wmask` must hold only 0 and 1 (absent and present connections); scale "
            "the weights instead."
        )
    return array.astype(bool)


def layered(layers: Sequence[int], in_size: int) -> np.ndarray:
    """The mask in which the input feeds the first layer, and each layer the next."""
    n_neurons = sum(layers)
    mask = np.zeros((n_neurons + in_size, n_neurons), bool)
    ends = np.cumsum([0, *layers])
    mask[n_neurons:, : ends[1]] = True
    for low, middle, high in zip(ends, ends[1:], ends[2:], strict=False):
        mask[low:middle, middle:high] = True
    return mask


def selection(name: str, value: Any, n_neurons: int) -> np.ndarray:
    """A boolean (N,) choice of neurons, default all."""
    if value is None:
        return np.ones((n_neurons,), bool)
    check_static(name, value)
    array = np.asarray(value)
    if array.shape != (n_neurons,) or array.dtype != bool:
        raise ValueError(
            f"`{name}` must be a boolean array of shape ({n_neurons},), True for the "
            f"neurons that are chosen; got dtype {array.dtype}, shape {array.shape}."
        )
    return array


def chosen(neurons: Any, n_neurons: int) -> np.ndarray:
    """Neurons by number, in the order given, or by a boolean (N,) choice."""
    if is_traced(neurons):
        raise TypeError(
            "`neurons` must be numbers that Python sees, since each choice is a "
            f"program of its own; got a value that JAX traces, {neurons!r}. "
            "`eqx.filter_jit` traces arrays that are arguments, NumPy's too: pass a "
            "`range` or a tuple, or use the array of the enclosing scope."
        )
    array = np.asarray(neurons)
    if array.dtype == bool:
        return np.flatnonzero(selection("neurons", array, n_neurons))
    whole = array.size == 0 or np.issubdtype(array.dtype, np.integer)
    inside = whole and np.all((array >= 0) & (array < n_neurons))
    if array.ndim != 1 or not inside or np.unique(array).size < array.size:
        raise ValueError(
            f"`neurons` must be different whole numbers from 0 to {n_neurons - 1}, or "
            f"a boolean array of shape ({n_neurons},); got {neurons!r}."
        )
    return array.astype(np.int64)
