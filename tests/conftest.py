"""Fixtures shared by all test files."""

import jax
import jaxtyping
import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Examples in docstrings are slow: each compiles a network of its own."""
    for item in items:
        if isinstance(item, pytest.DoctestItem):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")
def x64():
    """JAX's 64-bit mode for a whole file: `pytestmark = usefixtures("x64")`.

    Not switched on globally, since most users run without it.
    """
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def unchecked():
    """Shapes as users have them, who do not run jaxtyping's checks."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
