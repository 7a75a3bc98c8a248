"""Observed states against the oracle."""

import diffrax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import lif, qif
from samples import T_MAX, TMEM, TSYN, M, N, batched, network, random_params

from eventax.neuron_models import LIF, QIF

pytestmark = pytest.mark.usefixtures("x64")

F32, F64 = jnp.float32, jnp.float64
LIF_CONSTANTS = {"thresh": 1.0, "tmem": TMEM, "tsyn": TSYN}
QIF_CONSTANTS = {"tmem": 10.0, "tsyn": np.array([5.0, 10.0, 3.0, 20.0, 7.0])}

CASES = {
    # Measured 1e-12.
    "LIF": (LIF, {}, F64, 1e-9),
    # Measured 2e-5.
    "LIF in float32": (LIF, {}, F32, 1e-3),
    "LIF integrated": (
        LIF,
        {"solver": diffrax.Tsit5(), "solver_stepsize": 0.1},
        F64,
        1e-5,
    ),
    "QIF": (QIF, {}, F64, 1e-6),
    "QIF in float32": (QIF, {}, F32, 1e-3),
    "QIF integrated": (
        QIF,
        {"solver": diffrax.Tsit5(), "solver_stepsize": 0.1},
        F64,
        1e-4,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_states(case):
    model, options, dtype, tolerance = CASES[case]
    oracle, constants = (lif, LIF_CONSTANTS) if model is LIF else (qif, QIF_CONSTANTS)
    size = 1.0 if model is LIF else 15.0
    weights, ic, inputs = random_params((1, 2), size=size)
    inputs[1, :, 0] = [0.0, T_MAX, 11.0]
    rng = np.random.default_rng(0)
    # Unsorted, with the ends, an input time of each sample, and one time twice.
    times = rng.permutation([0.0, T_MAX, 11.0, 11.0, *rng.uniform(0.0, T_MAX, 7), 20.0])
    times[3] = inputs[0, 1, 1]
    shape = (3, 2, 2)

    net = network(model, dtype=dtype, **constants, **options)
    run = batched(net, lambda net, x: net.state_at_t(x, times.reshape(shape)))
    states = run(weights, ic, inputs)
    assert states.shape == (2, N, 12, 2)
    assert states.dtype == dtype
    for b in range(2):
        x = inputs[b].astype(dtype).astype(F64)
        trace = oracle.simulate(
            weights[b],
            ic[b],
            x,
            t_max=T_MAX,
            observe_at=times.astype(dtype).astype(F64),
            **constants,
        )
        assert len(trace.times) >= 10
        expected = np.swapaxes(trace.observed, 0, 1)
        found = np.asarray(states[b], F64)
        if model is QIF:
            # Compared as a phase: V runs through infinity.
            np.testing.assert_allclose(
                distance_on_circle(found[..., 0], expected[..., 0]), 0, atol=tolerance
            )
        else:
            np.testing.assert_allclose(found[..., 0], expected[..., 0], atol=tolerance)
        np.testing.assert_allclose(found[..., 1], expected[..., 1], atol=30 * tolerance)


def distance_on_circle(voltage, phase):
    found = 0.5 + np.arctan(voltage / np.pi) / np.pi
    return (found - phase + 0.5) % 1.0 - 0.5


def test_right_continuous_at_inputs():
    net = network(LIF, dtype=F64, **LIF_CONSTANTS)
    weights = np.zeros((N + M, N))
    weights[N:] = 0.1
    inputs = np.array([[3.0], [3.0], [3.5]])
    run = batched(net, lambda net, x: net.state_at_t(x, [3.5, 3.0, 2.9999999]))
    states = run(weights[None], np.zeros((1, N)), inputs[None])[0]
    after = 0.2 * np.exp(-0.5 / TSYN) + 0.1
    np.testing.assert_allclose(states[:, 0, 1], after, rtol=1e-14)
    np.testing.assert_allclose(states[:, 1, 1], 0.2, rtol=1e-14)
    np.testing.assert_array_equal(states[:, 2], 0.0)


def test_qif_shows_voltage_and_current():
    # With ic = 1/4: V - 1/2 = -1 / (2 + t / tau) from V = 0.
    net = network(
        QIF,
        dtype=F64,
        n_neurons=1,
        in_size=1,
        init_bias=0.25,
        tmem=10.0,
        tsyn=5.0,
    )
    times = np.array([30.0, 0.0, 3.0])
    states = net.state_at_t(None, times)[0]
    np.testing.assert_allclose(states[:, 0], 0.5 - 1 / (2 + times / 10.0), atol=1e-9)
    np.testing.assert_array_equal(states[:, 1], 0.0)


def test_only_output_neurons_in_ascending_order():
    chosen = np.array([False, True, False, False, True])
    net = network(LIF, dtype=F64, output_neurons=chosen, **LIF_CONSTANTS)
    run = batched(net, lambda net, x: net.state_at_t(x, 5.0))
    ic = np.linspace(0.1, 0.5, N)
    states = run(np.zeros((1, N + M, N)), ic[None], np.full((1, M, 1), np.inf))[0]
    expected = ic * (1 - np.exp(-5.0 / TMEM))
    np.testing.assert_allclose(states[:, 0, 0], expected[chosen], rtol=1e-13)


def test_initial_state():
    assert np.all(network(LIF, dtype=F64, **LIF_CONSTANTS).init_state() == 0)
    start = network(QIF, dtype=F64, **QIF_CONSTANTS).init_state()
    np.testing.assert_array_equal(start, np.tile([0.5, 0.0], (N, 1)))
