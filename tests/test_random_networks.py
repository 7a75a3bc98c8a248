"""Random networks of every kind through each engine, against the oracle."""

import jax.numpy as jnp
import pytest
from hypothesis import HealthCheck, assume, given, seed, settings
from marks import needs_native, slow
from random_networks import compare, draws

pytestmark = pytest.mark.usefixtures("x64")
QUIET = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


def check(draw, engine, dtype=jnp.float64):
    assume(not (draw.n == 1 and ", " in draw.model))
    compare(draw, engine, dtype)


@needs_native
@seed(0)
@settings(max_examples=25, **QUIET)
@given(draws())
def test_native(draw):
    check(draw, "native")


@needs_native
@slow
@seed(1)
@settings(max_examples=100, **QUIET)
@given(draws())
def test_native_in_single_precision(draw):
    check(draw, "native", jnp.float32)


@slow
@seed(2)
@settings(max_examples=100, **QUIET)
@given(draws())
def test_jax(draw):
    check(draw, "jax")
