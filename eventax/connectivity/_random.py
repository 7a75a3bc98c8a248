"""Patterns of single synapses: one to one, and at random."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool

from .._arguments import as_float, check_count


def one_to_one(n: int) -> Bool[np.ndarray, "n n"]:
    """Each of n senders reaches the receiver of the same number.

    Arguments:
        n: number of senders, and of receivers.

    Returns:
        (n, n) bool, a pattern for `connect`.

    Raises:
        TypeError: `n` is no whole number.
        ValueError: `n` is negative.

    Example:
        >>> from eventax.connectivity import one_to_one
        >>> one_to_one(2).astype(int)
        array([[1, 0], [0, 1]])
    """
    return np.eye(check_count("n", n, 0), dtype=bool)


def random(
    key: Array,
    n_senders: int,
    n_receivers: int,
    probability: Any,
    *,
    loops: bool = True,
) -> Bool[np.ndarray, "senders receivers"]:
    """Each pair is connected with the same probability, independently of the others.

    Arguments:
        key: random key.
        n_senders: size of the sending population.
        n_receivers: size of the receiving one.
        probability: between 0 and 1.
        loops: False within one population, to leave out synapses of a neuron onto
            itself.

    Returns:
        (n_senders, n_receivers) bool, a pattern for `connect`.

    Raises:
        TypeError: a number of neurons is not whole, or `probability` is no number.
        ValueError: `probability` is not between 0 and 1, or `loops` is False between
            two populations of different size.

    Example:
        >>> import jax
        >>> from eventax.connectivity import random
        >>> int(random(jax.random.key(0), 100, 100, probability=0.1).sum())
        1058
    """
    shape = _shape(n_senders, n_receivers, loops)
    chance = as_float("probability", probability)
    if not 0 <= chance <= 1:
        raise ValueError(
            f"`probability` must lie between 0 and 1; got {probability!r}."
        )
    chosen = np.array(jax.random.bernoulli(key, chance, shape))
    if not loops:
        np.fill_diagonal(chosen, False)
    return chosen


def fixed_in_degree(
    key: Array, n_senders: int, n_receivers: int, degree: int, *, loops: bool = True
) -> Bool[np.ndarray, "senders receivers"]:
    """Each receiver hears the same number of senders, drawn without repetition.

    Arguments:
        key: random key.
        n_senders: size of the sending population.
        n_receivers: size of the receiving one.
        degree: number of senders that a receiver hears.
        loops: False within one population, to leave out synapses of a neuron onto
            itself.

    Returns:
        (n_senders, n_receivers) bool, a pattern for `connect`.

    Raises:
        TypeError: a number is not whole.
        ValueError: `degree` is negative or above the number of senders there are, or
            `loops` is False between two populations of different size.

    Example:
        >>> import jax
        >>> from eventax.connectivity import fixed_in_degree
        >>> fixed_in_degree(jax.random.key(0), 100, 3, degree=8).sum(axis=0)
        array([8, 8, 8])
    """
    shape = _shape(n_senders, n_receivers, loops)
    degree = check_count("degree", degree, 0)
    most = shape[0] if loops else max(shape[0] - 1, 0)
    if degree > most:
        raise ValueError(
            f"`degree` must not be above {most}, the senders that a receiver can hear; "
            f"got {degree}."
        )
    lots = np.array(jax.random.uniform(key, shape))
    if not loops:
        np.fill_diagonal(lots, np.inf)
    chosen = np.zeros(shape, bool)
    np.put_along_axis(chosen, np.argsort(lots, axis=0)[:degree], True, axis=0)
    return chosen


def _shape(n_senders: int, n_receivers: int, loops: bool) -> tuple[int, int]:
    shape = (
        check_count("n_senders", n_senders, 0),
        check_count("n_receivers", n_receivers, 0),
    )
    if not loops and shape[0] != shape[1]:
        raise ValueError(
            "`loops` must be True between two populations; False is for one that hears "
            f"itself, and got {shape[0]} senders and {shape[1]} receivers."
        )
    return shape
