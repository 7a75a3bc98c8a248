"""Random networks of every kind through each engine, against the oracle."""

import jax.numpy as jnp
import pytest
from hypothesis import HealthCheck, assume, example, given, seed, settings
from marks import needs_native
from random_networks import Draw, compare, compare_several, draws

pytestmark = pytest.mark.usefixtures("x64")
QUIET = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}
# A neuron that has fired its only spike, and whose V has come through infinity again.
PAST_INFINITY = Draw(
    model="PQIF", wrapper="AMOS", n=2, m=3, per_input=0, connections="chain",
    delays=False, axonal=False, t0=-25.0, grid=False, spread=False, seed=365966,
)  # fmt: skip


def check(draw, engine, dtype=jnp.float64):
    assume(not (draw.n == 1 and ", " in draw.model))
    compare(draw, engine, dtype)


@needs_native
@seed(0)
@settings(max_examples=25, **QUIET)
@given(draws())
@example(PAST_INFINITY)
def test_native(draw):
    check(draw, "native")


@needs_native
@pytest.mark.slow
@seed(1)
@settings(max_examples=100, **QUIET)
@given(draws())
def test_native_in_single_precision(draw):
    check(draw, "native", jnp.float32)


@pytest.mark.slow
@seed(2)
@settings(max_examples=20, **QUIET)
@given(draws())
@example(PAST_INFINITY)
def test_jax(draw):
    """A hundred networks, five to a program: with one each it took half an hour."""
    assume(not (draw.n == 1 and ", " in draw.model))
    found = compare_several(draw, "jax", count=5)
    assert not [wrong for wrong in found if isinstance(wrong, AssertionError)]


@needs_native
def test_several_that_are_one_program():
    assert compare_several(PAST_INFINITY, "native", count=3) == ["ok"] * 3
