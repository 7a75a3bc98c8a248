"""Patterns of neurons that have a place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float

from .._arguments import check_count, check_positive


def grid(*sizes: int, spacing: float = 1.0) -> Float[np.ndarray, "places dimensions"]:
    """Places on a regular grid, the last dimension counted first.

    Arguments:
        *sizes: number of places along each dimension, (rows, columns) say.
        spacing: distance between neighbours.

    Returns:
        (n, d) coordinates of all n places in d dimensions.

    Raises:
        TypeError: a size is no whole number.
        ValueError: there is no size, one is below 1, or `spacing` is not positive.

    Example:
        >>> from eventax.connectivity import grid
        >>> grid(2, 2, spacing=0.5)
        array([[0. , 0. ], [0. , 0.5], [0.5, 0. ], [0.5, 0.5]])
    """
    if not sizes:
        raise ValueError("`sizes` must be one number or more, one per dimension.")
    shape = [check_count("sizes", size, 1) for size in sizes]
    check_positive("spacing", spacing)
    return spacing * np.indices(shape).reshape(len(shape), -1).T.astype(float)


def by_distance(
    senders: Any,
    receivers: Any,
    probability: Callable[[Float[np.ndarray, "senders receivers"]], Any],
    key: Array | None = None,
    *,
    period: Any = None,
) -> Bool[np.ndarray, "senders receivers"]:
    """Pairs are connected with a probability that depends on their distance.

    Arguments:
        senders: (n, d) coordinates, those of `grid` say.
        receivers: (m, d) coordinates.
        probability: a function of distances (n, m) whose result lies between 0 and 1,
            True and False included.
        key: random key; needed where a probability is neither 0 nor 1.
        period: (d,) or a number, the size of a space without edges, whose far ends are
            neighbours: of a grid, the number of places times their spacing.

    Returns:
        (n, m) bool, a pattern for `connect`.

    Raises:
        ValueError: coordinates have other shapes, `period` is not positive, a
            probability is not between 0 and 1 or of another shape, or `key` is missing.

    Example:
        Neighbours on a ring of five, and a random pattern that falls with distance:

        >>> import jax
        >>> import numpy as np
        >>> from eventax.connectivity import by_distance, grid
        >>> ring = grid(5)
        >>> by_distance(ring, ring, lambda d: d == 1, period=5).astype(int)
        array([[0, 1, 0, 0, 1],
               [1, 0, 1, 0, 0],
               [0, 1, 0, 1, 0],
               [0, 0, 1, 0, 1],
               [1, 0, 0, 1, 0]])
        >>> sheet = grid(10, 10)
        >>> near = lambda d: np.where(d > 0, np.exp(-(d**2) / 8), 0)
        >>> int(by_distance(sheet, sheet, near, jax.random.key(0)).sum())
        1664
    """
    places = [np.asarray(x, float) for x in (senders, receivers)]
    for name, array in zip(("senders", "receivers"), places, strict=True):
        if array.ndim != 2 or array.shape[1] != places[0].shape[-1]:
            raise ValueError(
                f"`{name}` must be coordinates of shape (n, d), with the same d for "
                f"senders and receivers; got shape {array.shape}."
            )
    apart = np.abs(places[0][:, None] - places[1])
    if period is not None:
        check_positive("period", period)
        apart = apart % np.asarray(period, float)
        apart = np.minimum(apart, period - apart)
    distance = np.sqrt(np.sum(apart**2, axis=-1))
    chance = np.asarray(probability(distance), float)
    if chance.shape != distance.shape or not np.all((chance >= 0) & (chance <= 1)):
        raise ValueError(
            "`probability` must return one number between 0 and 1 per pair, shape "
            f"{distance.shape}; got shape {chance.shape}, values between "
            f"{chance.min(initial=np.inf)} and {chance.max(initial=-np.inf)}."
        )
    if np.all((chance == 0) | (chance == 1)):
        return chance == 1
    if key is None:
        raise ValueError(
            "`key` must be given where something is random; got None, but "
            "`probability` is neither 0 nor 1 for some pairs. Pass "
            "`key=jax.random.key(...)`."
        )
    return np.asarray(jax.random.uniform(key, chance.shape)) < chance
