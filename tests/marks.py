"""Marks for single rows of a parametrised test."""

from typing import Any

import pytest


def slow(*values: Any) -> Any:
    """A row that `make test` leaves out."""
    return pytest.param(*values, marks=pytest.mark.slow)
