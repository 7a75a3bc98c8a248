"""Ranks counted by bits of words, against NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from eventax._layers._rank import rank


@pytest.mark.parametrize("n", [1, 31, 32, 33, 100])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_how_many_are_before_each(n, share):
    chosen = np.random.default_rng(n).random(n) < share
    before, number = rank(jnp.asarray(chosen))
    np.testing.assert_array_equal(before, np.cumsum(chosen) - chosen)
    assert number == chosen.sum()
