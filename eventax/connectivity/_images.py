"""Patterns of layers that see images."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool

from .._arguments import check_count

Pair = tuple[int, int]


def conv2d(
    size: Pair,
    channels: Pair,
    kernel: int | Pair,
    *,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
) -> Bool[np.ndarray, "senders receivers"]:
    """Which pixels a two-dimensional convolution connects.

    Only the pattern: each synapse has a weight of its own, they are not shared between
    places as those of a convolution are. Neurons are numbered by channel, then row,
    then column.

    Arguments:
        size: (height, width) of the image that is seen.
        channels: numbers of channels of senders and of receivers.
        kernel: (height, width) of the window, or one number for both; so are the next.
        stride: from one window to the next.
        padding: pixels added on each side; nobody sends from there.

    Returns:
        (channels[0] · height · width, channels[1] · rows · columns) bool, a pattern for
        `connect`, where (rows, columns) is `image_size(size, kernel, ...)`.

    Raises:
        TypeError: something is no whole number, or no pair of them.
        ValueError: something is too small, or no window fits into the image.

    Example:
        >>> from eventax.connectivity import connect, conv2d, image_size, pool2d
        >>> mask = conv2d((8, 8), channels=(1, 4), kernel=3)
        >>> mask.shape, image_size((8, 8), kernel=3)
        ((64, 144), (6, 6))
        >>> connect(
        ...     {"conv": 144, "pool": 36}, 64,
        ...     {("input", "conv"): mask, ("conv", "pool"): pool2d((6, 6), 4, 2)},
        ... )
        Connectivity: 180 neurons, 64 inputs, 1440 synapses
          conv (144) -> pool (36)   144
          input (64) -> conv (144)  1296
    """
    pair = _pair("channels", channels, 1)
    window = _windows(size, kernel, stride, padding)
    return np.kron(np.ones(pair, bool), window)


def pool2d(
    size: Pair,
    channels: int,
    kernel: int | Pair,
    *,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
) -> Bool[np.ndarray, "senders receivers"]:
    """Which pixels a two-dimensional pooling connects: windows within each channel.

    Only the pattern: a neuron adds up what it hears, with a weight for each synapse.
    Neurons are numbered by channel, then row, then column.

    Arguments:
        size: (height, width) of the image that is seen.
        channels: number of channels.
        kernel: (height, width) of the window, or one number for both.
        stride: from one window to the next, by default the size of the window.
        padding: pixels added on each side; nobody sends from there.

    Returns:
        (channels · height · width, channels · rows · columns) bool, a pattern for
        `connect`, where (rows, columns) is `image_size(size, kernel, ...)`.

    Raises:
        TypeError: something is no whole number, or no pair of them.
        ValueError: something is too small, or no window fits into the image.

    Example:
        >>> from eventax.connectivity import pool2d
        >>> pool2d((1, 4), channels=1, kernel=(1, 2)).astype(int)
        array([[1, 0], [1, 0], [0, 1], [0, 1]])
    """
    channels = check_count("channels", channels, 1)
    window = _windows(size, kernel, kernel if stride is None else stride, padding)
    return np.kron(np.eye(channels, dtype=bool), window)


def image_size(
    size: Pair, kernel: int | Pair, *, stride: int | Pair = 1, padding: int | Pair = 0
) -> Pair:
    r"""The (rows, columns) of windows that `conv2d` and `pool2d` lay over an image.

    $$n = \left\lfloor \frac{s + 2p - k}{\mathtt{stride}} \right\rfloor + 1$$

    of a side of s pixels, a window of k and a padding of p.

    Arguments:
        size: (height, width) of the image that is seen.
        kernel: (height, width) of the window, or one number for both; so are the next.
        stride: from one window to the next.
        padding: pixels added on each side.

    Returns:
        Rows and columns.

    Raises:
        TypeError: something is no whole number, or no pair of them.
        ValueError: something is too small, or no window fits into the image.

    Example:
        >>> from eventax.connectivity import image_size
        >>> image_size((28, 28), kernel=5, stride=2)
        (12, 12)
    """
    rows, columns = _sides(size, kernel, stride, padding)
    return rows.shape[1], columns.shape[1]


def _windows(size: Any, kernel: Any, stride: Any, padding: Any) -> np.ndarray:
    """Of one channel: a pixel is in a window if its row and its column are."""
    return np.kron(*_sides(size, kernel, stride, padding))


def _sides(size: Any, kernel: Any, stride: Any, padding: Any) -> list[np.ndarray]:
    """For rows and columns, which pixels (axis 0) are in which windows (axis 1)."""
    return [
        _side(*numbers)
        for numbers in zip(
            _pair("size", size, 1),
            _pair("kernel", kernel, 1),
            _pair("stride", stride, 1),
            _pair("padding", padding, 0),
            strict=True,
        )
    ]


def _side(n: int, kernel: int, stride: int, padding: int) -> np.ndarray:
    room = n + 2 * padding - kernel
    if room < 0:
        raise ValueError(
            f"`kernel` must fit into the image with its padding, {n + 2 * padding} "
            f"pixels; got {kernel}. Use a smaller one, or more `padding`."
        )
    starts = np.arange(0, room + 1, stride) - padding
    pixels = np.arange(n)[:, None]
    return (pixels >= starts) & (pixels < starts + kernel)


def _pair(name: str, value: Any, least: int) -> Pair:
    values = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(values) != 2:
        raise TypeError(f"`{name}` must be a number or a pair of them; got {value!r}.")
    first, second = (check_count(name, number, least) for number in values)
    return first, second
