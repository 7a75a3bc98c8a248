"""Sums of two exponentials: values, derivatives and first crossings."""

from decimal import Decimal, getcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from eventax._neurons._exponentials import exponentials, first_crossing, turning_point

pytestmark = pytest.mark.usefixtures("x64")

STEPS = [0.0, 1e-3, 0.7, 5.0, 40.0]
# (a, b), also equal, nearly equal, and on both sides of where a series takes over.
RATES = [
    (0.1, 0.1),
    (0.1, 0.1 * (1 + 1e-15)),
    (0.1, 0.1 * (1 - 1e-9)),
    (0.1, 0.1001),
    (0.1001, 0.1),
    (0.1, 0.2),
    (0.25, 0.1),
    (0.3, 0.1 / 0.7 + 0.3),
    (0.1 / 0.7 + 0.2999, 0.3),
    (3.0, 0.01),
    (0.01, 3.0),
]


def exact(a, b, t):
    """R and its derivatives by a, b and t, to 60 digits, from Decimal's exp."""
    getcontext().prec = 120
    a, b, t = Decimal(a), Decimal(b), Decimal(t)
    exp_a, exp_b = (-a * t).exp(), (-b * t).exp()
    if a == b:
        r, by_both = t * exp_a, -t * t / 2 * exp_a
        return [float(x) for x in (r, by_both, by_both, exp_a - a * r)]
    r = (exp_b - exp_a) / (a - b)
    by_a, by_b = (t * exp_a - r) / (a - b), (r - t * exp_b) / (a - b)
    return [float(x) for x in (r, by_a, by_b, exp_b - a * r)]


@pytest.fixture(scope="module")
def computed(x64):
    """Values and Jacobians, (cases, 3) and three times (cases, 3)."""
    a, b, t = (np.array(x) for x in zip(*CASES, strict=True))

    @jax.jit
    def run(a, b, t):
        stacked = lambda a, b, t: jnp.stack(exponentials(a, b, t)[1:])  # noqa: E731
        return jax.vmap(stacked)(a, b, t), jax.vmap(
            jax.jacrev(stacked, argnums=(0, 1, 2))
        )(a, b, t)

    return jax.tree.map(np.asarray, run(a, b, t))


CASES = [(a, b, t) for a, b in RATES for t in STEPS]


def test_response_and_its_derivatives(computed):
    values, (by_a, by_b, by_t) = computed
    found = np.stack([values[:, 2], by_a[:, 2], by_b[:, 2]], axis=1)
    truth = np.array([exact(*case) for case in CASES])
    np.testing.assert_allclose(found, truth[:, :3], rtol=1e-12, atol=0)
    # By t it passes through 0, where the response is largest.
    np.testing.assert_allclose(by_t[:, 2], truth[:, 3], rtol=1e-12, atol=1e-15)


def test_decays_and_their_derivatives(computed):
    values, by = computed
    a, b, t = (np.array(x) for x in zip(*CASES, strict=True))
    # Relative to the slower of the two: the faster one is computed from it.
    size = np.exp(-np.minimum(a, b) * t)
    for column, rate in ((0, a), (1, b)):
        decay = np.exp(-rate * t)
        for found, truth in (
            (values[:, column], decay),
            (by[column][:, column], -t * decay),
            (by[2][:, column], -rate * decay),
        ):
            np.testing.assert_array_less(abs(found - truth), 1e-13 * size * (1 + t))
        np.testing.assert_array_equal(by[1 - column][:, column], 0)


def test_derivatives_in_single_precision():
    cases = [case for case in CASES if case[2] > 0]
    a, b, t = (jnp.array(x, jnp.float32) for x in zip(*cases, strict=True))
    response = lambda a, b, t: exponentials(a, b, t)[3]  # noqa: E731
    by_a, by_b = jax.vmap(jax.grad(response, argnums=(0, 1)))(a, b, t)
    truth = np.array([exact(*map(float, case)) for case in zip(a, b, t, strict=True)])
    np.testing.assert_allclose(by_a, truth[:, 1], rtol=1e-5)
    np.testing.assert_allclose(by_b, truth[:, 2], rtol=1e-5)


def test_constants_have_no_derivative_to_pay_for():
    """A LIF neuron's gradient holds no derivative by its time constants."""
    a, b, t = np.float64(0.1), np.full(3, 0.2), jnp.ones(3)
    plain = jax.make_jaxpr(lambda x: x * exponentials(a, b, t)[3])(t)
    tangent = jax.make_jaxpr(
        lambda x: jax.jvp(lambda x: x * exponentials(a, b, t)[3], (x,), (x,))
    )(t)
    count = lambda jaxpr: str(jaxpr).count("expm1")  # noqa: E731
    assert count(tangent) == count(plain)


# Crossings ----------------------------------------------------------------------------


def crossing(c, p, q, a, b, horizon):
    """First crossing of c + p exp(-a t) + q exp(-b t), as ALIF asks for it."""
    c, p, q, a, b = (jnp.atleast_1d(x) for x in jnp.broadcast_arrays(c, p, q, a, b))

    def gap(t):
        x, y = p * jnp.exp(-a * t), q * jnp.exp(-b * t)
        return c + x + y, -a * x - b * y, a * a * x + b * b * y

    ratio = -a * p / jnp.where(q == 0, 1, b * q)
    rises, turn = turning_point(a, b, -a * p - b * q, b * (a - b) * q, ratio)
    return first_crossing(gap, c + p + q, rises, turn, c, jnp.asarray(horizon))


def test_first_crossings_of_random_sums():
    rng = np.random.default_rng(5)
    n, horizon = 800, 30.0
    p, q = rng.normal(size=(2, n)) * 2
    a, b = np.exp(rng.uniform(-4, 1, (2, n)))
    b[:50] = a[:50]
    c = rng.normal(size=n)
    c = np.where(c + p + q >= 0, -1.5 * (p + q), c)
    c = np.where(c + p + q >= 0, -abs(c) - 1, c)
    found = np.asarray(jax.jit(crossing)(c, p, q, a, b, horizon))
    grid = np.linspace(0, horizon, 20001)
    crossed = 0
    for k in range(n):

        def gap(t, k=k):
            return c[k] + p[k] * np.exp(-a[k] * t) + q[k] * np.exp(-b[k] * t)

        if gap(0.0) >= 0:
            assert found[k] == 0
            continue
        above = np.flatnonzero(gap(grid) >= 0)
        if len(above):
            truth = brentq(gap, grid[above[0] - 1], grid[above[0]], xtol=1e-14)
            crossed += 1
            # A flat gap makes its root uncertain.
            slope = abs(gap(truth + 1e-6) - gap(truth - 1e-6)) / 2e-6
            assert abs(found[k] - truth) < 1e-9 + 4e-15 / slope
        elif np.isfinite(found[k]):  # a peak that the grid does not see
            assert abs(gap(found[k])) < 1e-6
    assert crossed > 100


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize(
    ("c", "p", "q", "crosses"),
    [
        (0.0, -1.0, 0.0, False),  # tends to 0 from below
        (-1e-30, -1.0, 0.0, False),
        (0.0, -1.0, -1.0, False),
        (1e-3, -1.0, 0.0, True),
        (0.0, 1.0, -2.0, True),  # rises above 0, then tends to it from above
        (-1.0, 0.0, 0.0, False),  # does not move
        # Starts level (a p + b q = 0), as a minimum and as a maximum.
        (0.5, -4.0, 2.0, True),
        (0.5, 4.0, -6.0, True),
        (-3.0, 4.0, -2.0, False),
    ],
)
def test_crossings_at_the_edge(c, p, q, crosses, dtype):
    args = (jnp.asarray(x, dtype) for x in (c, p, q, 0.1, 0.2))
    found = crossing(*args, jnp.asarray(1e4, dtype))
    assert bool(jnp.isfinite(found[0])) == crosses


def test_a_turn_too_far_to_tell_is_none():
    """The slope of a weak exponential overflows; the other one decides."""
    tiny = np.float32(2e-38)
    found = crossing(*(jnp.float32(x) for x in (0.5, -1.0, tiny, 0.1, 0.2)), 100.0)
    np.testing.assert_allclose(found, np.log(2) / 0.1, rtol=1e-5)
