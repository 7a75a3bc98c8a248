"""Marks for single rows of a parametrised test."""

from typing import Any

import pytest

from eventax._native import load

needs_native = pytest.mark.skipif(
    load() is None, reason="no native library: run `make native`"
)


def slow(*values: Any) -> Any:
    """A row that `make test` leaves out."""
    return pytest.param(*values, marks=pytest.mark.slow)
