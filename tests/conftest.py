"""Fixtures shared by all test files."""

import ctypes
import gc
import itertools
import os
import pathlib

import jax
import jaxtyping
import pytest

# Of the 65,530 memory mappings that Linux allows a process; see the FAQ. XLA ends the
# process where there is none left.
MOST_MAPPINGS = 40_000
# Of the machine's memory: two processes that let go of nothing had 18 GB.
MOST_OF_MEMORY = 0.25
FINISHED = itertools.count(1)

# Python looks for garbage after each 700 new objects, and through all that there are
# again and again while JAX traces: a tenth of the time of the tests.
gc.set_threshold(100_000, 20, 20)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Examples in docstrings are slow: each compiles a network of its own."""
    for item in items:
        if isinstance(item, pytest.DoctestItem):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown():
    """Lets go of compiled programs when there are too many of them: in all tests some
    thousands are compiled."""
    process = pathlib.Path("/proc/self")
    if next(FINISHED) % 20 or not process.exists():
        return
    with (process / "maps").open("rb") as lines:
        mappings = sum(1 for _ in lines)
    pages = int((process / "statm").read_text().split()[1])
    most_pages = MOST_OF_MEMORY * os.sysconf("SC_PHYS_PAGES")
    if mappings > MOST_MAPPINGS or pages > most_pages:
        jax.clear_caches()
        gc.collect()
        # What is free in between stays with the process otherwise.
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
            trim(0)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish():
    """At the end pytest and Python look for garbage seven times more: some seconds."""
    gc.freeze()


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
