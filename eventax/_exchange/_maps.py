"""Linear nodes as sparse matrices."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ._kinds import numbers
from ._notes import read_note

LINEAR = (
    "Linear",
    "Affine",
    "Scale",
    "Conv1d",
    "Conv2d",
    "SumPool2d",
    "AvgPool2d",
    "Flatten",
)
MOST_ENTRIES = 2**26
"""More synapses than this are not unrolled: a GiB or so while they are joined."""

Shape = tuple[int, ...]


class Map(NamedTuple):
    """An affine map between signals, whose channels are numbered in C order.

    Entries may be 0: a connection that has no weight at the moment.
    """

    shape: Shape
    """Of the result."""
    target: np.ndarray
    source: np.ndarray
    weight: np.ndarray
    bias: np.ndarray


def read_map(name: str, node: Any, shape: Shape) -> Map:
    """The map of a node that gets a signal of this shape."""
    kind = type(node).__name__
    if kind in ("Linear", "Affine"):
        return _matrix(name, node, shape)
    if kind == "Scale":
        return _scale(name, node, shape)
    if kind == "Flatten":
        return _flatten(name, node, shape)
    if kind in ("Conv1d", "Conv2d"):
        return _convolution(name, node, shape)
    return _pool(name, node, shape)


def _matrix(name: str, node: Any, shape: Shape) -> Map:
    weight = numbers(f"`weight` of node '{name}'", node.weight)
    size = math.prod(shape)
    if weight.ndim != 2 or weight.shape[1] != size:
        raise ValueError(
            f"`weight` of node '{name}' must have shape (n, {size}), as {size} "
            f"channels reach it; got {weight.shape}."
        )
    connected = weight != 0
    for place in read_note(node).get("connected", ()):
        if np.shape(place) == (2,) and all(
            isinstance(k, int) and 0 <= k < n
            for k, n in zip(place, weight.shape, strict=True)
        ):
            connected[tuple(place)] = True
    target, source = np.nonzero(connected)
    bias = np.zeros(len(weight))
    if hasattr(node, "bias"):
        bias = _bias(name, node, len(weight))
    values = weight[target, source].astype(np.float64)
    return Map((len(weight),), target, source, values, bias)


def _bias(name: str, node: Any, channels: int) -> np.ndarray:
    if node.bias is None:
        return np.zeros(channels)
    bias = numbers(f"`bias` of node '{name}'", node.bias).astype(np.float64)
    if bias.shape != (channels,):
        raise ValueError(
            f"`bias` of node '{name}' must have shape ({channels},); got {bias.shape}."
        )
    return bias


def _scale(name: str, node: Any, shape: Shape) -> Map:
    scale = numbers(f"`scale` of node '{name}'", node.scale).astype(np.float64)
    size = math.prod(shape)
    if scale.ndim and scale.size != size:
        raise ValueError(
            f"`scale` of node '{name}' must have shape {shape}, that of what reaches "
            f"it; got {scale.shape}."
        )
    channels = np.arange(size)
    values = np.broadcast_to(scale.ravel(), size).copy()
    return Map(shape, channels, channels, values, np.zeros(size))


def _flatten(name: str, node: Any, shape: Shape) -> Map:
    start, end = (_whole(name, node, key) for key in ("start_dim", "end_dim"))
    first, last = (d + len(shape) if d < 0 else d for d in (start, end))
    if not 0 <= first <= last < len(shape):
        # PyTorch counts a batch, NIR does not: nothing is left to be joined.
        first, last = 0, len(shape) - 1
    flat = (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])
    channels = np.arange(math.prod(shape))
    ones = np.ones(channels.size)
    return Map(flat, channels, channels, ones, np.zeros(channels.size))


def _convolution(name: str, node: Any, shape: Shape) -> Map:
    weight = numbers(f"`weight` of node '{name}'", node.weight).astype(np.float64)
    dims = int(type(node).__name__[4])
    groups = _whole(name, node, "groups")
    if weight.ndim != dims + 2 or groups < 1 or weight.shape[0] % groups:
        raise ValueError(
            f"`weight` of node '{name}' must have {dims + 2} axes, the first a "
            f"multiple of `groups`; got shape {weight.shape} and groups={groups}."
        )
    _check_image(name, shape, weight.shape[1] * groups, dims)
    stride, dilation = (_axes(name, node, key, dims) for key in ("stride", "dilation"))
    padding = node.padding if isinstance(node.padding, str) else "numbers"
    if padding == "same":
        # As in PyTorch, the odd zero comes last.
        reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        before, after = [r // 2 for r in reach], [r - r // 2 for r in reach]
        if any(s != 1 for s in stride):
            raise ValueError(
                f"`padding` of node '{name}' must be numbers where `stride` is not 1; "
                "got 'same'."
            )
    elif padding == "valid":
        before = after = [0] * dims
    else:
        before = after = _axes(name, node, "padding", dims, least=0)
    result, entries = _slide(
        name, shape, weight, groups, stride, dilation, before, after
    )
    bias = _bias(name, node, weight.shape[0])
    return Map(result, *entries, np.repeat(bias, math.prod(result[1:])))


def _pool(name: str, node: Any, shape: Shape) -> Map:
    kernel, stride = (_axes(name, node, key, 2) for key in ("kernel_size", "stride"))
    padding = _axes(name, node, "padding", 2, least=0)
    _check_image(name, shape, None, 2)
    channels = shape[0]
    area = math.prod(kernel) if type(node).__name__ == "AvgPool2d" else 1
    weight = np.full((channels, 1, *kernel), 1 / area)
    result, entries = _slide(
        name, shape, weight, channels, stride, [1, 1], padding, padding
    )
    return Map(result, *entries, np.zeros(math.prod(result)))


def _slide(
    name: str,
    shape: Shape,
    weight: np.ndarray,
    groups: int,
    stride: list[int],
    dilation: list[int],
    before: list[int],
    after: list[int],
) -> tuple[Shape, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """A kernel at all its places: the shape of the result, and the entries."""
    sizes, kernel = shape[1:], weight.shape[2:]
    result, places = [weight.shape[0]], []
    for axis, (size, k) in enumerate(zip(sizes, kernel, strict=True)):
        span = size + before[axis] + after[axis] - dilation[axis] * (k - 1)
        count = (span - 1) // stride[axis] + 1 if span > 0 else 0
        if count < 1:
            raise ValueError(
                f"The kernel of node '{name}' must fit into what reaches it; got "
                f"kernel {kernel} and shape {shape}."
            )
        result.append(count)
        starts = np.arange(count)[:, None] * stride[axis] - before[axis]
        places.append(starts + np.arange(k) * dilation[axis])  # (count, k)
    check_size(name, weight.size * math.prod(result[1:]))
    dims = len(sizes)
    # Axes: channel of the result, channel in the group, places, kernel.
    whole = (*weight.shape[:2], *result[1:], *kernel)
    index = np.ix_(*(np.arange(n) for n in whole))
    members = weight.shape[1]
    channel = index[0] // (weight.shape[0] // groups) * members + index[1]
    inside = np.ones(whole, bool)
    source = np.broadcast_to(channel, whole)
    target = np.broadcast_to(index[0], whole)
    for axis in range(dims):
        at = [1] * len(whole)
        at[2 + axis], at[2 + dims + axis] = places[axis].shape
        where = places[axis].reshape(at)
        inside &= (where >= 0) & (where < sizes[axis])
        source = source * sizes[axis] + where
        target = target * result[1 + axis] + index[2 + axis]
    spread = weight.reshape(*weight.shape[:2], *[1] * dims, *kernel)
    values = np.broadcast_to(spread, whole)
    return tuple(result), (target[inside], source[inside], values[inside])


def check_size(name: str, entries: int) -> None:
    """Unrolled where small enough."""
    if entries > MOST_ENTRIES:
        raise ValueError(
            f"Node '{name}' must be small enough to be unrolled into single synapses, "
            f"at most {MOST_ENTRIES}; it takes {entries}."
        )


def _check_image(name: str, shape: Shape, channels: int | None, dims: int) -> None:
    if len(shape) != dims + 1 or (channels is not None and shape[0] != channels):
        wanted = "channels" if channels is None else channels
        axes = ", height, width" if dims == 2 else ", length"
        raise ValueError(
            f"What reaches node '{name}' must have shape ({wanted}{axes}); got {shape}."
        )


def _whole(name: str, node: Any, key: str) -> int:
    return _axes(name, node, key, 1, least=None)[0]


def _axes(
    name: str, node: Any, key: str, dims: int, least: int | None = 1
) -> list[int]:
    """A whole number for each axis, given as one or as several."""
    value = np.asarray(getattr(node, key))
    good = value.shape in ((), (1,), (dims,)) and np.issubdtype(value.dtype, np.integer)
    if not good or (least is not None and np.any(value < least)):
        rule = "" if least is None else f", at least {least}"
        raise ValueError(
            f"`{key}` of node '{name}' must be {dims} whole numbers or one{rule}; got "
            f"{getattr(node, key)!r}."
        )
    return [int(n) for n in np.broadcast_to(value.ravel(), (dims,))]
