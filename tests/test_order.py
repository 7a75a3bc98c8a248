"""Sorting spikes by time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eventax._flows import Clock
from eventax._layers._order import by_time

SLOTS, SENDERS = 100, 7


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_spikes_are_sorted_by_time_then_sender(dtype: str):
    numbers = np.array([0, 1, 33, 99, 100])
    rng = np.random.default_rng(0)
    shape = (len(numbers), SLOTS)
    # Few different times: many are equal.
    times = rng.integers(0, 9, shape).astype(dtype)
    times[np.arange(SLOTS) >= numbers[:, None]] = np.inf
    senders = rng.integers(0, SENDERS, shape).astype(np.int32)
    # What is left of equal times decides, and of none that never comes.
    rests = 1e-9 * rng.integers(-1, 2, shape).astype(dtype)
    rests[np.isinf(times)] = 0
    wanted = np.lexsort((senders, rests, times), axis=1)

    def sort(times: jax.Array, rests: jax.Array, senders: jax.Array) -> jax.Array:
        return by_time(Clock(times, rests), senders)

    found = jax.vmap(sort)(*(jnp.asarray(x) for x in (times, rests, senders)))
    for row, number in enumerate(numbers):
        np.testing.assert_array_equal(found[row, :number], wanted[row, :number])
        assert sorted(np.asarray(found)[row].tolist()) == list(range(SLOTS))
