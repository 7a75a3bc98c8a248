"""The check of gradients, on gradients that are right, wrong, or do not exist."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eventax import EvNN
from eventax.neuron_models import LIF, PLIF
from eventax.testing import check_gradient
from eventax.testing._differences import differentiate, noise_of

pytestmark = pytest.mark.usefixtures("x64")

INPUTS = jnp.array([[1.0, 7.0], [3.0, jnp.inf]])
CONSTANTS = {"thresh": 1.0, "tsyn": 5.0, "tmem": 10.0}


def fails(error, *words):
    """The error's message holds all of these, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(w) for w in words))


def network(dtype=jnp.float64, **options):
    return EvNN(
        LIF,
        3,
        20.0,
        2,
        key=jax.random.key(0),
        dtype=dtype,
        wmean=0.5,
        wlim=1.0,
        **({"init_bias": [1.2, 1.35, 1.5]} | CONSTANTS | options),
    )


def loss(net, inputs):
    """Smooth in the spike times, and without those that do not exist."""
    times = net.spikes_until_t(inputs, 20.0, 3)
    return jnp.sum(jnp.where(jnp.isfinite(times), jnp.sin(times), 0.0))


def verdicts(check):
    return {(row.leaf, row.along): row.verdict for row in check.rows}


# Differences --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "truth"),
    [(np.exp, 1.0), (lambda x: np.sin(3 * x), 3.0), (lambda x: 1 / (1 - x), 1.0)],
)
def test_differences(function, truth):
    found = differentiate(function, 2.0**-5, 2.0**-34, 1e-16)
    assert found.value == pytest.approx(truth, abs=1e-11)
    assert abs(found.value - truth) <= found.error < 1e-10


def test_differences_of_noise():
    """The error that is told covers the one that is made, or nearly so."""
    rng = np.random.default_rng(0)
    for sigma in (1e-12, 1e-8, 1e-4):
        noisy = lambda x, s=sigma: np.exp(x) + s * rng.normal()  # noqa: E731
        noise = noise_of([noisy(2.0**-13 * k) for k in range(-3, 4)], 1e-16)
        assert sigma / 10 < noise < 10 * sigma
        for _ in range(20):
            found = differentiate(noisy, 2.0**-5, 2.0**-34, sigma)
            assert abs(found.value - 1) <= 5 * found.error
            assert found.error < 1e3 * sigma + 1e-9


def test_differences_where_only_small_steps_count():
    line = lambda x: np.exp(x) if abs(x) < 1e-4 else None  # noqa: E731
    found = differentiate(line, 2.0**-5, 2.0**-34, 1e-16)
    assert found.step < 1e-4
    assert found.value == pytest.approx(1.0, abs=1e-8)
    assert differentiate(lambda x: None, 2.0**-5, 2.0**-34, 1e-16) is None
    one_side = lambda x: np.exp(x) if x < 0 else None  # noqa: E731
    assert differentiate(one_side, 2.0**-5, 2.0**-34, 1e-16) is None


# Networks -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "rtol"), [(jnp.float64, 1e-7), (jnp.float64, None), (jnp.float32, None)]
)
def test_a_right_gradient(dtype, rtol):
    check = check_gradient(loss, network(dtype), INPUTS, by_inputs=True, rtol=rtol)
    assert check.ok, check
    assert len(check.rows) == 3 * 4
    for row in check.rows:
        assert row.error < check.rtol * 100
    assert {row.leaf for row in check.rows} == {
        ".neuron_model.weights",
        ".neuron_model.ic",
        "in_spike_times",
    }
    assert any(abs(row.gradient) > 0.1 for row in check.rows)
    table = str(check).splitlines()
    assert len(table) == 14
    assert table[0].split() == (
        ["leaf", "along", "gradient", "difference", "error", "step", "verdict"]
    )
    assert table[-1].startswith("12 of 12 agree to ")


@pytest.mark.slow  # compiling
def test_a_batch_with_delays_and_time_constants():
    net = EvNN(
        PLIF,
        2,
        20.0,
        2,
        key=jax.random.key(0),
        dlim=2.0,
        dtype=jnp.float64,
        thresh=1.0,
        init_tmem=10.0,
        init_tsyn=5.0,
        wlim=1.0,
        wmean=0.5,
        init_bias=[1.2, 1.4],
    )
    batch = jnp.stack([INPUTS, INPUTS + 2.0])
    mean = lambda net, x: jnp.mean(jax.vmap(lambda x: loss(net, x))(x))  # noqa: E731
    check = check_gradient(mean, net, batch, directions=1, entries=1)
    assert check.ok, check
    leaves = {row.leaf for row in check.rows}
    assert {".delays", ".neuron_model.log_tmem"} <= leaves


def test_no_input():
    check = check_gradient(loss, network(), None, directions=1, entries=0)
    assert [row.verdict for row in check.rows] == ["agrees"] * 2


def scaled(factor):
    """The identity, with a gradient that is not its own."""

    @jax.custom_vjp
    def identity(x):
        return x

    identity.defvjp(lambda x: (x, None), lambda _, g: (g * factor,))
    return identity


@pytest.mark.parametrize(("dtype", "factor"), [("float64", 1.001), ("float32", 2.0)])
def test_a_wrong_gradient(dtype, factor):
    net = network(jnp.dtype(dtype))
    where = lambda net: net.neuron_model.weights  # noqa: E731

    def wrong(net, inputs):
        return loss(eqx.tree_at(where, net, scaled(factor)(where(net))), inputs)

    check = check_gradient(wrong, net, INPUTS)
    assert not check.ok
    for row in check.rows:
        is_wrong = row.leaf == ".neuron_model.weights"
        assert is_wrong or row.verdict == "agrees", check
    found = verdicts(check)
    assert found[".neuron_model.weights", "direction 0"] == "wrong", check
    assert found[".neuron_model.weights", "direction 1"] == "wrong", check


def test_one_wrong_entry():
    net = network()
    where = lambda net: net.neuron_model.weights  # noqa: E731
    grads = eqx.filter_grad(loss)(net, INPUTS).neuron_model.weights
    largest = np.unravel_index(np.argmax(np.abs(grads)), grads.shape)
    factor = jnp.ones_like(grads).at[largest].set(1.01)

    def wrong(net, inputs):
        return loss(eqx.tree_at(where, net, scaled(factor)(where(net))), inputs)

    found = verdicts(check_gradient(wrong, net, INPUTS, directions=0, entries=3))
    bad = [k for k, verdict in found.items() if verdict != "agrees"]
    assert bad == [(".neuron_model.weights", str([int(k) for k in largest]))]


def test_a_point_without_a_gradient():
    """With τm = 2 τs the potential's maximum is a quarter of the weight: it grazes."""
    net = EvNN(
        LIF,
        1,
        50.0,
        1,
        wmask=[[0], [1]],
        init_weights=4.0,
        init_bias=0.0,
        dtype=jnp.float64,
        output_no_spike_value=50.0,
        **CONSTANTS,
    )
    first = lambda net, x: jnp.sum(net.ttfs(x))  # noqa: E731
    check = check_gradient(first, net, jnp.zeros((1, 1)), entries=2, directions=1)
    assert not check.ok
    assert verdicts(check)[".neuron_model.weights", "[1, 0]"] == "discontinuity", check
    assert not {row.verdict for row in check.rows} & {"wrong", "unresolved"}, check
    stronger = eqx.tree_at(lambda n: n.neuron_model.weights, net, jnp.full((2, 1), 5.0))
    assert check_gradient(first, stronger, jnp.zeros((1, 1))).ok


def test_a_jump_that_is_not_of_spikes():
    net = network()
    start = net.neuron_model.ic[0]
    step = lambda net, _: jnp.where(net.neuron_model.ic[0] > start, 1.0, 0.0)  # noqa: E731
    check = check_gradient(step, net, INPUTS, directions=0, entries=3)
    assert not check.ok
    assert verdicts(check)[".neuron_model.ic", "[0]"] != "agrees", check


def test_nothing_to_see():
    """Silent neurons: all derivatives are 0."""
    net = network(init_bias=-3.0)
    check = check_gradient(loss, net, INPUTS)
    assert check.ok, check
    assert all(row.gradient == row.difference == 0 for row in check.rows)


def test_errors(unchecked):
    net = network()
    with fails(ValueError, "`function` must return one real number", "(3,)"):
        check_gradient(lambda net, x: net.ttfs(x), net, INPUTS)
    with fails(ValueError, "`function` must have a finite value", "value", "inf"):
        check_gradient(lambda net, x: jnp.sum(net.neuron_model.ic) / 0, net, INPUTS)
    with fails(ValueError, "finite value and gradient", ".neuron_model.ic", "nan"):
        check_gradient(
            lambda net, x: jnp.sum(jnp.sqrt(net.neuron_model.ic * 0)), net, INPUTS
        )
    with fails(ValueError, "`directions` must be at least 0"):
        check_gradient(loss, net, INPUTS, directions=-1)
    with fails(TypeError, "`network` must be an EvNN or FFEvNN; got 3"):
        check_gradient(loss, 3, INPUTS)
    with fails(TypeError, "`entries` must be a whole number"):
        check_gradient(loss, net, INPUTS, entries=1.5)
    with fails(ValueError, "`rtol` must be positive"):
        check_gradient(loss, net, INPUTS, rtol=0.0)
