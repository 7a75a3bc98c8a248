"""What all samples of a batch share: the largest number, and whose it is."""

import jax
import jax.numpy as jnp
import numpy as np

from eventax._largest import largest, of_largest

NUMBERS = jnp.array([[1, 3, 2], [0, 3, 1]])
NAMES = jnp.arange(6.0).reshape(2, 3)


def test_of_nested_batches():
    np.testing.assert_array_equal(
        jax.vmap(jax.vmap(largest))(NUMBERS), np.full((2, 3), 3)
    )
    number, name = jax.vmap(jax.vmap(of_largest))(NUMBERS, NAMES)
    np.testing.assert_array_equal(number, np.full((2, 3), 3))
    np.testing.assert_array_equal(name, np.full((2, 3), 1.0))  # the first of two


def test_of_no_sample():
    assert jax.vmap(largest)(NUMBERS[0, :0]).shape == (0,)


def test_whose_it_is_has_no_derivative():
    """Found failing: JAX 0.7 asks for one in a branch, and the rule never ended."""

    def scaled(number, name):
        by_name = lambda name: of_largest(number, name)[1] * name  # noqa: E731
        return jax.jvp(by_name, (name,), (jnp.ones_like(name),))

    value, tangent = jax.vmap(scaled)(NUMBERS[0], NAMES[0])
    np.testing.assert_array_equal(value, NAMES[0] * NAMES[0, 1])
    np.testing.assert_array_equal(tangent, np.full(3, NAMES[0, 1]))
