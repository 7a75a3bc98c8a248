"""Highest potential and integral of readouts, against many samples of the state."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow
from oracle import neurons

from eventax import EvNN, FFEvNN
from eventax.adjoint import EventPropAdjoint
from eventax.neuron_models import ALIF, LI, LIF, QIF, MultiNeuronModel, Refractory

pytestmark = pytest.mark.usefixtures("x64")

T_END, DECAY = 60.0, 20.0
FINE = np.linspace(0, T_END, 30_001)
HIDDEN = {"thresh": 1.0, "tsyn": 5.0, "tmem": 20.0, "wmean": 2.0, "wlim": 3.0}
HIDDEN |= {"bmean": 0.5, "blim": 0.5}
READOUT = {"tsyn": 3.0, "tmem": 8.0, "wmean": 0.2, "wlim": 3.0, "blim": 0.5}


def readout_network(cls=FFEvNN, **changes):
    """[6, 3]: LIF neurons and leaky integrators."""
    models = {
        "neuron_models": [LIF, LI],
        "neuron_model_kwargs": [HIDDEN, READOUT],
        "neuron_type_ids": np.array([0] * 6 + [1] * 3),
    }
    common = {"key": jax.random.PRNGKey(0), "dtype": jnp.float64}
    common |= {"max_event_steps": 500} | models | changes
    if cls is FFEvNN:
        return FFEvNN([6, 3], 4, MultiNeuronModel, T_END, **common)
    outputs = np.arange(9) >= 6
    return EvNN(MultiNeuronModel, 9, T_END, 4, output_neurons=outputs, **common)


def inputs():
    times = np.random.default_rng(0).uniform(0, 30, (4, 5))
    times[0, 2:] = np.inf
    return jnp.asarray(times)


def sampled(net, x):
    """Highest potential and both integrals, from many states."""
    v = np.asarray(net.state_at_t(x, FINE))[:, :, 0]
    weighted = v * np.exp(-FINE / DECAY)
    return v.max(axis=1), np.trapezoid(v, FINE), np.trapezoid(weighted, FINE)


def measured(net, x):
    values = net.max_over_time(x), net.integral(x), net.integral(x, DECAY)
    return [np.asarray(value) for value in values]


RECURRENT = {
    "wmask": np.concatenate([1 - np.eye(9), np.ones((4, 9))]),
    "neuron_model_kwargs": [HIDDEN | {"wmean": 0.5}, READOUT],
    "max_event_steps": 2000,
}
NETWORKS = {
    "layered": lambda: readout_network(),
    "layered, delays": lambda: readout_network(dlim=4.0),
    "recurrent": lambda: readout_network(EvNN, **RECURRENT),
    "recurrent, delays": lambda: readout_network(EvNN, dlim=4.0, **RECURRENT),
}


@pytest.mark.parametrize(
    "name",
    ["layered", slow("recurrent"), slow("layered, delays"), slow("recurrent, delays")],
)
def test_against_many_samples(name):
    net, x = NETWORKS[name](), inputs()
    for mine, wanted in zip(measured(net, x), sampled(net, x), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-4, atol=1e-4)
        assert np.all(np.abs(wanted) > 1e-3)


@pytest.mark.parametrize(
    ("model", "keywords"),
    [
        slow(LIF, HIDDEN),
        slow(Refractory(LIF), HIDDEN | {"t_refrac": 3.0, "refrac_mask": [1, 0]}),
        slow(
            ALIF,
            {"tmem": 10.0, "ta": 30.0, "b0": 1.0, "beta": 5.0, "wlim": 0.6, "blim": 2},
        ),
    ],
    ids=["LIF", "Refractory(LIF)", "ALIF"],
)
def test_neurons_that_fire(model, keywords):
    """The potential at a spike is the highest, and it jumps there."""
    net = FFEvNN(
        [3],
        4,
        model,
        T_END,
        jax.random.PRNGKey(1),
        dtype=jnp.float64,
        max_event_steps=500,
        **keywords,
    )
    x = inputs()
    assert np.isfinite(np.asarray(net.spikes_until_t(x, T_END, 3))).sum() >= 4
    (top, *areas), (seen, *wanted) = measured(net, x), sampled(net, x)
    # States at a spike are those after it; between samples v moves by some 1e-3.
    assert np.all(top >= seen - 1e-12)
    # A jump that makes ALIF fire at once is higher than any state that is seen.
    assert model is ALIF or np.all(top <= seen + 5e-3)
    for mine, area in zip(areas, wanted, strict=True):
        np.testing.assert_allclose(mine, area, atol=3e-3 * T_END)


@pytest.mark.parametrize("name", [slow("recurrent"), "layered"])
def test_gradients_against_finite_differences(name):
    net, x = NETWORKS[name](), inputs()
    weights = jnp.array([1.0, -2.0, 0.5])
    leaves = lambda net: [m.weights for m in net.neuron_model.submodels]  # noqa: E731

    def loss(values):
        moved = eqx.tree_at(leaves, net, values)
        total = moved.max_over_time(x) + moved.integral(x, DECAY)
        return jnp.sum(total * weights)

    loss = jax.jit(loss)
    here = leaves(net)
    gradient = jax.jit(jax.grad(loss))(here)
    rng = np.random.default_rng(1)
    for _ in range(3):
        move = [jnp.asarray(rng.normal(size=w.shape)) for w in here]
        step = 1e-6
        there = [
            [w + s * step * m for w, m in zip(here, move, strict=True)] for s in (1, -1)
        ]
        slope = (loss(there[0]) - loss(there[1])) / (2 * step)
        pairs = zip(gradient, move, strict=True)
        mine = sum(float(jnp.sum(g * m)) for g, m in pairs)
        np.testing.assert_allclose(mine, slope, rtol=1e-6)


def test_one_input_in_closed_form():
    r"""A spike of weight 2 at 1, τm = 2 τs: v = 2 (x - x²), x = exp((1 - t) / 10)."""
    net = FFEvNN(
        [1], 1, LI, 500.0, tsyn=5.0, tmem=10.0, init_weights=2.0, init_bias=0.0
    )
    x = jnp.array([[1.0]])
    assert net.max_over_time(x)[0] == pytest.approx(0.5, rel=1e-6)
    assert net.integral(x)[0] == pytest.approx(10.0, rel=1e-6)
    # Integral of 2 (x - x²) exp(-t / 10), which is exp(-1/10) times 20 (1/2 - 1/3).
    assert net.integral(x, 10.0)[0] == pytest.approx(
        np.exp(-0.1) * 20 * (1 / 2 - 1 / 3), rel=1e-5
    )
    assert net.max_over_time(x + jnp.inf)[0] == 0


@pytest.mark.parametrize("decay", [0.0, -1.0, np.nan])
def test_decay_has_to_be_positive(decay):
    net = FFEvNN([1], 1, LI, 50.0, tsyn=5.0, tmem=10.0, init_weights=2.0, init_bias=0.0)
    with pytest.raises(ValueError, match="`decay`"):
        net.integral(jnp.array([[1.0]]), decay)


def test_outputs_without_a_closed_form():
    net = FFEvNN([1], 1, QIF, 50.0, tsyn=5.0, tmem=10.0, init_weights=2.0, init_bias=0)
    with pytest.raises(ValueError, match="closed form"):
        net.max_over_time(jnp.array([[1.0]]))
    mixed = EvNN(
        MultiNeuronModel,
        2,
        50.0,
        1,
        jax.random.PRNGKey(0),
        neuron_models=[LIF, LI],
        neuron_model_kwargs=[HIDDEN, READOUT],
        neuron_type_ids=np.array([0, 1]),
    )
    with pytest.raises(ValueError, match="one model"):
        mixed.max_over_time(jnp.array([[1.0]]))


class Told(LIF):
    """Written by a user who says nothing of whether neurons depend on each other."""

    def dynamics(self, t, y, args):
        return super().dynamics(t, y, args)


def test_outputs_behind_a_model_of_ones_own():
    told = readout_network(neuron_models=[Told, LI])
    values = measured(told, inputs())
    for value, wanted in zip(
        values, measured(readout_network(), inputs()), strict=True
    ):
        np.testing.assert_allclose(value, wanted, rtol=1e-5)


# Outputs that fire, against the oracle ------------------------------------------------


def watched(population):
    """The population with two channels more: the potential's integral, and its top.

    The top is what jumps lead to and what resets begin with, not what lies between.
    """
    inner = lambda state: state[:, :-2]  # noqa: E731

    def seen(moved, state):
        top = np.maximum(state[:, -1], np.maximum(state[:, 0], moved[:, 0]))
        return np.column_stack([moved, state[:, -2], top])

    def dynamics(t, state):
        slope = population.dynamics(t, inner(state))
        return np.column_stack([slope, state[:, 0], np.zeros(len(state))])

    zero = np.zeros(population.n_neurons)
    return neurons.Population(
        start=np.column_stack([population.start, zero, population.start[:, 0]]),
        dynamics=dynamics,
        gap=lambda t, state: population.gap(t, inner(state)),
        reset=lambda state, k: seen(population.reset(inner(state).copy(), k), state),
        arrive=lambda state, k: seen(population.arrive(inner(state).copy(), k), state),
    )


ALIF_CONSTANTS = {"tmem": 10.0, "ta": 30.0, "b0": 1.0, "beta": 5.0}
LIF_CONSTANTS = {"thresh": 1.0, "tsyn": 5.0, "tmem": 20.0}
REST = 2.0
FIRING = {
    "Refractory(LIF)": (
        Refractory(LIF),
        LIF_CONSTANTS | {"t_refrac": REST},
        lambda weights, ic: neurons.refractory(
            watched(neurons.lif(weights, ic, **LIF_CONSTANTS)), REST, held=[1, 1, 0, 0]
        ),
    ),
    "ALIF": (
        ALIF,
        ALIF_CONSTANTS,
        lambda weights, ic: watched(neurons.alif(weights, ic, **ALIF_CONSTANTS)),
    ),
}


def drawn(n, scale, shift, delays):
    """Weights (n+2, n), biases, delays and inputs."""
    rng = np.random.default_rng(n)
    weights = rng.normal(0, scale, (n + 2, n))
    weights[n:] += shift
    times = rng.uniform(0, 25, (2, 6))
    late = rng.uniform(0.5, 4, weights.shape) if delays else None
    return weights, rng.uniform(0.5, 1.1, n), late, times


@pytest.mark.parametrize(
    ("name", "n", "scale", "shift", "delays", "dtype"),
    [
        ("Refractory(LIF)", 4, 4.0, 2.0, False, jnp.float64),
        slow("Refractory(LIF)", 4, 4.0, 2.0, True, jnp.float64),
        slow("Refractory(LIF)", 1, 4.0, 2.0, False, jnp.float32),
        ("ALIF", 3, 0.4, 0.4, True, jnp.float64),
        slow("ALIF", 3, 0.4, 0.4, False, jnp.float32),
    ],
)
def test_outputs_that_hear_each_other(name, n, scale, shift, delays, dtype):
    """Found failing: a second pass over the spikes had an order of its own."""
    model, constants, population = FIRING[name]
    weights, ic, late, x = drawn(n, scale, shift, delays)
    end, at = 30.0, np.linspace(0, 30, 3001)
    truth = neurons.simulate(
        population(weights, ic), x, t_max=end, delays=late, observe_at=at
    )
    assert len(truth.times) > 2 * n
    net = EvNN(
        model, n, end, 2, init_weights=weights, init_bias=ic, init_delays=late,
        dtype=dtype, engine="jax", **constants,
    )  # fmt: skip
    top = np.maximum(truth.observed[:, :, 0].max(axis=0), truth.observed[-1, :, -1])
    tolerance = 1e-8 if dtype == jnp.float64 else 1e-3
    np.testing.assert_allclose(
        net.integral(x), truth.observed[-1, :, -2], rtol=0, atol=tolerance
    )
    # Between observations the potential goes on by some 1e-5 of its top.
    np.testing.assert_allclose(net.max_over_time(x), top, rtol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_a_start_before_0(dtype):
    """Found failing, by 0.2: the second pass sorted times as if none were negative."""
    x = np.array([[-9.0, -6.0, 10.0]])
    for t0 in (-10.0, 0.0):
        net = EvNN(
            LIF, 2, t0 + 40.0, 1, t0=t0, wmask=[[0, 1], [0, 0], [1, 0]], thresh=1,
            tsyn=5, tmem=20, init_weights=6, init_bias=0, dtype=dtype,
            engine="jax",
        )  # fmt: skip
        area = net.integral(x + 10.0 + t0)
        truth = neurons.simulate(
            watched(
                neurons.lif([[0, 6], [0, 0], [6, 0]], 0.0, tmem=20.0, tsyn=5.0)
            ),
            x + 10.0,
            t_max=40.0,
        )  # fmt: skip
        np.testing.assert_allclose(area, truth.state[:, -2], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "delays", "adjoint"),
    [
        ("ALIF", True, None),
        slow("Refractory(LIF)", True, None),
        slow("Refractory(LIF)", False, EventPropAdjoint()),
    ],
)
def test_gradients_of_outputs_that_hear_each_other(name, delays, adjoint):
    """By weights, delays, biases and input times, along directions drawn."""
    model, constants, _ = FIRING[name]
    n, scale = 3, (0.4 if model is ALIF else 4.0)
    weights, ic, late, x = drawn(n, scale, scale / 2, delays)
    net = EvNN(
        model, n, 30.0, 2, init_weights=weights, init_bias=ic, init_delays=late,
        dtype=jnp.float64, adjoint=adjoint, engine="jax", **constants,
    )  # fmt: skip
    params, static = eqx.partition(net, eqx.is_array)
    factors = jnp.array([1.0, -2.0, 0.5])

    # One program for both, which compiles for seconds.
    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1))
    def loss(params, x):
        net = eqx.combine(params, static)
        total = net.max_over_time(x) + net.integral(x, DECAY)
        return jnp.sum(total * factors)

    _, gradient = loss(params, jnp.asarray(x))
    rng, step = np.random.default_rng(1), 1e-6
    for _ in range(3):
        here = (params, jnp.asarray(x))
        move = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape)), here)
        there = [
            jax.tree.map(lambda p, m, s=s: p + s * step * m, here, move)
            for s in (1, -1)
        ]
        slope = (loss(*there[0])[0] - loss(*there[1])[0]) / (2 * step)
        products = jax.tree.map(lambda g, m: jnp.sum(g * m), gradient, move)
        mine = sum(jax.tree.leaves(products))
        np.testing.assert_allclose(mine, slope, rtol=1e-5)
