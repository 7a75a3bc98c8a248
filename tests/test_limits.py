"""Constants at their limits: exact, or an error that names the argument."""

import dataclasses
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow
from oracle import lif, neurons
from scipy.integrate import quad

from eventax import EvNN, FFEvNN
from eventax._neurons._exponentials import integral_of_decay, integral_of_response
from eventax.neuron_models import ALIF, EIF, LI, LIF, PLIF, Refractory

pytestmark = pytest.mark.usefixtures("x64")

F32, F64 = jnp.float32, jnp.float64
LONG = np.array([10.0, 1e3, 1e4, 1e6, 1e8, 1e10, np.inf])


# Long membrane time constants, and none -----------------------------------------------


def driven_at(tmem, time, thresh=1.0):
    """The bias current with which a LIF neuron reaches threshold at that time."""
    leaky = thresh / -np.expm1(-time / np.where(np.isinf(tmem), 1.0, tmem))
    return np.where(np.isinf(tmem), thresh / time, leaky)


@pytest.mark.parametrize("kind", [EvNN, slow(FFEvNN)])
@pytest.mark.parametrize("dtype", [F32, slow(F64)])
def test_a_spike_driven_by_the_bias(kind, dtype):
    # Found failing: 3.5e-4 off at 1e4, 1e-2 at 1e6, and no spike at 1e10.
    n = len(LONG)
    bias = driven_at(LONG, 4.0)
    settings = {"tmem": LONG, "init_bias": bias, "init_weights": 0.0, "dtype": dtype}
    settings |= {"thresh": 1.0, "tsyn": 5.0}
    if kind is EvNN:
        net = EvNN(LIF, n, 10.0, 0, **settings)
    else:
        net = FFEvNN([n], 0, LIF, 10.0, **settings)
    trains = np.asarray(net.spikes_until_t(None, 10.0, max_spikes=3))
    # The bias itself is rounded, relative to its part beyond the threshold.
    tolerance = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(trains[:, :2], [[4.0, 8.0]] * n, rtol=tolerance)
    assert np.all(np.isinf(trains[:, 2]))


def test_a_spike_driven_by_the_bias_of_alif():
    tmem = LONG[:-1]
    constants = {"ta": 20.0, "b0": 1.0, "beta": 0.0, "init_weights": 0.0}
    bias = driven_at(tmem, 4.0)
    net = EvNN(ALIF, len(tmem), 10.0, 0, tmem=tmem, init_bias=bias, **constants)
    trains = net.spikes_until_t(None, 10.0, max_spikes=2)
    eps = np.finfo(np.float32).eps
    np.testing.assert_allclose(trains, [[4.0, 8.0]] * len(tmem), rtol=4 * eps)


def test_long_and_infinite_constants_in_a_recurrent_network():
    rng = np.random.default_rng(3)
    n, m, t_max = 5, 2, 30.0
    tmem, tsyn = np.array([np.inf, 10.0, np.inf, 1e6, 20.0]), rng.uniform(2, 8, n)
    scale = np.where(np.isinf(tmem), 1.0, tmem)
    weights = rng.normal(0.1, 0.15, (n + m, n)) * scale
    bias = rng.uniform(-0.02, 0.15, n) * scale
    inputs = rng.uniform(0.0, 20.0, (m, 3))
    constants = {"tmem": tmem, "tsyn": tsyn, "thresh": 1.0}

    def truth(weights, bias):
        population = neurons.refractory(neurons.lif(weights, bias, **constants), 0.5)
        return neurons.simulate(population, inputs, t_max=t_max, observe_at=[7.0, 29.0])

    trace = truth(weights, bias)
    n_spikes = len(trace.times)
    assert n_spikes > 10
    assert set(trace.neurons) >= {0, 2, 3}
    net = EvNN(
        Refractory(LIF),
        n,
        t_max,
        m,
        init_weights=weights,
        init_bias=bias,
        t_refrac=0.5,
        dtype=F64,
        max_event_steps=200,
        **constants,
    )
    times, who, _ = net.record(inputs)
    np.testing.assert_allclose(times[:n_spikes], trace.times, atol=1e-8)
    np.testing.assert_array_equal(who[:n_spikes], trace.neurons)
    states = net.state_at_t(inputs, [7.0, 29.0])
    np.testing.assert_allclose(
        states, np.swapaxes(trace.observed, 0, 1), rtol=1e-7, atol=1e-7
    )

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(net):
        return net.record(inputs)[0][n_spikes - 1]

    leaves = gradient(net).neuron_model.neuron
    for leaf, start in ((leaves.weights, weights), (leaves.ic, bias)):
        step = 1e-5 * scale[0]
        index = (5, 0) if start is weights else (0,)
        sides = []
        for sign in (1, -1):
            moved = start.copy()
            moved[index] += sign * step
            there = truth(moved, bias) if start is weights else truth(weights, moved)
            np.testing.assert_array_equal(there.neurons, trace.neurons)
            sides.append(there.times[-1])
        wanted = (sides[0] - sides[1]) / (2 * step)
        np.testing.assert_allclose(leaf[index], wanted, rtol=1e-4, atol=1e-6)


def test_without_leak_a_current_runs_up_and_stops():
    # v(t) = w τs (1 - exp(-t/τs)) tends to w τs, which is threshold or is not.
    weights = np.array([[1.01, 0.99, -1.0, 3.0]])
    net = FFEvNN(
        [4],
        1,
        LIF,
        400.0,
        tmem=jnp.inf,
        tsyn=5.0,
        thresh=5.0,
        dtype=F64,
        init_weights=np.concatenate([np.zeros((4, 4)), weights]),
        init_bias=0.0,
    )
    first = net.ttfs([[2.0]])
    wanted = 2.0 - 5.0 * np.log1p(-1 / weights[0, [0, 3]])
    np.testing.assert_allclose(first[jnp.array([0, 3])], wanted, rtol=1e-12)
    assert np.all(np.isinf(first[1:3]))
    assert net.neuron_model.tmem.value == np.inf


def test_plif_without_leak_keeps_its_constant():
    def first(tmem):
        net = EvNN(
            PLIF,
            1,
            20.0,
            1,
            wmask=[[0], [1]],
            thresh=1.0,
            init_tmem=tmem,
            init_tsyn=5.0,
            init_weights=0.4,
            init_bias=0.1,
            dtype=F64,
        )
        return net, eqx.filter_jit(
            eqx.filter_value_and_grad(lambda n: n.ttfs([[1.0]])[0])
        )(net)

    net, (time, gradient) = first(jnp.inf)
    assert net.neuron_model.log_tmem[0] == np.inf
    other = EvNN(
        LIF,
        1,
        20.0,
        1,
        wmask=[[0], [1]],
        thresh=1.0,
        tmem=jnp.inf,
        tsyn=5.0,
        init_weights=0.4,
        init_bias=0.1,
        dtype=F64,
    )
    np.testing.assert_allclose(time, other.ttfs([[1.0]])[0], rtol=1e-13)
    model = gradient.neuron_model
    assert model.log_tmem[0] == 0
    assert model.ic[0] < 0
    assert np.all(np.isfinite(model.log_tsyn))
    v = lambda t: 0.1 * t + 2.0 * -np.expm1(-(t - 1.0) / 5.0)  # noqa: E731
    np.testing.assert_allclose(v(float(time)), 1.0, rtol=1e-12)


# Integrals ----------------------------------------------------------------------------


def area(tmem, tsyn, ic, weight, arrival, t_end, decay):
    """The integral of a leaky integrator's potential, by quadrature."""

    def v(t):
        s = max(t - arrival, 0.0)
        if np.isinf(tmem):
            return ic * t + weight * tsyn * -np.expm1(-s / tsyn)
        a, b = 1 / tmem, 1 / tsyn
        x = abs(a - b) * s
        mean = -np.expm1(-x) / x if x else 1.0
        return ic * -np.expm1(-a * t) + weight * a * s * np.exp(-min(a, b) * s) * mean

    rate = 0.0 if decay is None else 1 / decay
    weighted = lambda t: v(t) * np.exp(-rate * t)  # noqa: E731
    ends = itertools.pairwise([0.0, arrival, arrival + 3 * tsyn, t_end])
    return sum(
        quad(weighted, *end, epsabs=0, epsrel=1e-12, limit=200)[0] for end in ends
    )


@pytest.mark.parametrize("decay", [None, 7.0, slow(1e3)])
@pytest.mark.parametrize("dtype", [F32, F64])
def test_integrals_at_every_time_constant(dtype, decay):
    # Found failing: relative 7e-7 at 1e3, 6e-3 at 1e6, 0.86 at 1e8; later 9e-9 at 1e10,
    # in float64.
    tmem = np.array([0.01, 0.3, 5.0, 5.0 * (1 + 1e-6), 20.0, *LONG[1:]])
    n = len(tmem)
    unit = np.where(np.isinf(tmem), 1.0, tmem)
    ic, weights = 0.2 * unit / 10, 3.0 * unit / 10
    net = FFEvNN(
        [n],
        1,
        LI,
        40.0,
        tmem=tmem,
        tsyn=5.0,
        init_bias=ic,
        dtype=dtype,
        init_weights=np.concatenate([np.zeros((n, n)), weights[None]]),
    )
    found = net.integral([[8.0]], decay=decay)
    # With what the type makes of the constants.
    tmem, ic, weights = (
        np.asarray(np.asarray(x, dtype), float) for x in (tmem, ic, weights)
    )
    truth = [area(tmem[k], 5.0, ic[k], weights[k], 8.0, 40.0, decay) for k in range(n)]
    tolerance = 1e-6 if dtype == F32 else 1e-11
    np.testing.assert_allclose(found, truth, rtol=tolerance)


RATES = [0.0, 1e-12, 1e-3, 0.0999, 0.1, 0.10001, 0.3, 2.0, 50.0]


def response(a, b, t):
    """(exp(-b t) - exp(-a t)) / (a - b)."""
    x = abs(a - b) * t
    return t * np.exp(-min(a, b) * t) * (-np.expm1(-x) / x if x else 1.0)


@pytest.mark.parametrize("step", [1e-6, 1.0, 5.0, 40.0])
def test_integrals_of_exponentials(step):
    grid = np.array([(a, b) for a in RATES for b in RATES])

    def exact(a, b):
        peak = min(step, 1 / max(a, b, 1e-9)) / 2
        return quad(
            lambda t: response(a, b, t), 0, step, epsabs=0, epsrel=1e-12, limit=500,
            points=[peak],
        )[0]  # fmt: skip

    truth = np.array([exact(a, b) for a, b in grid])
    values, by_step = jax.jit(
        jax.vmap(
            jax.value_and_grad(lambda s, r: integral_of_response(*r, s)), (None, 0)
        )
    )(step, grid)
    np.testing.assert_allclose(values, truth, rtol=1e-9)
    single = integral_of_response(*np.float32(grid.T), np.float32(step))
    np.testing.assert_allclose(single, truth, rtol=2e-6)
    # The derivative by the step is what is integrated.
    at_end = [response(a, b, step) for a, b in grid]
    np.testing.assert_allclose(by_step, at_end, rtol=1e-10, atol=1e-13 * step)
    one = [response(a, 0.0, step) for a in RATES]
    np.testing.assert_allclose(
        integral_of_decay(np.array(RATES), step), one, rtol=1e-13
    )


# Units --------------------------------------------------------------------------------


def upstroke(sharpness):
    """The spike of an EIF neuron at one input, by an integration that stops near it."""
    weights = np.array([[0.0], [6.0]])
    population = neurons.eif(
        weights,
        0.0,
        tmem=10.0,
        tsyn=5.0,
        deltaT=sharpness,
        v_peak=1.0 - sharpness * np.log(1e-4),
    )
    trace = neurons.simulate(population, np.array([[0.0]]), t_max=20.0)
    return trace.times[0]


def eif(potential=1.0, time=1.0, sharpness=0.2, dtype=F32, **keywords):
    net = EvNN(
        EIF,
        1,
        20.0 * time,
        1,
        wmask=[[0], [1]],
        tmem=10.0 * time,
        tsyn=5.0 * time,
        vT=potential,
        deltaT=sharpness * potential,
        init_bias=0.0,
        dtype=dtype,
        init_weights=6.0 * potential,
        max_event_steps=20,
        **keywords,
    )
    return float(net.ttfs([[0.0]])[0]) / time


@pytest.mark.parametrize(
    "sharpness", [1e-5, slow(1e-4), slow(1e-3), slow(0.01), slow(0.2)]
)
def test_a_sharp_upstroke(sharpness):
    # Found failing in float32: 10 ms late at 1e-4, and no spike at 1e-5.
    truth = upstroke(sharpness)
    assert abs(eif(sharpness=sharpness) - truth) < 2e-5
    if sharpness >= 1e-3:
        assert abs(eif(sharpness=sharpness, dtype=F64) - truth) < 1e-7


@pytest.mark.parametrize("potential", [1e-3, slow(1e3), slow(1e-6)])
def test_the_unit_of_the_potential_does_not_matter(potential):
    for sharpness in (0.2, 1e-3):
        wanted = upstroke(sharpness)
        assert abs(eif(potential, sharpness=sharpness) - wanted) < 2e-5


@pytest.mark.parametrize("time", [1e-3, slow(1e3)])
def test_the_unit_of_time_does_not_matter(time):
    # Found failing: in seconds the default of `spike_time_tol` was 1 ms.
    late = {1e-3: 1.0, 1e3: 1e-3}[time]  # before infinity, of the default in ms
    assert abs(eif(time=time) - upstroke(0.2) - 1e-3 * (1 - late)) < 2e-5
    part = eif(time=time, spike_time_tol=1e-4 * 10.0 * time)
    assert abs(part - upstroke(0.2)) < 2e-5


class Squared(LIF):
    """A user's model: the leak grows with the potential, in units of threshold."""

    def dynamics(self, t, y, args):
        v, i = y[:, 0], y[:, 1]
        leak = v * v / self.thresh.value
        return jnp.stack([(i + self.ic - leak) / 10.0, -i / 5.0], axis=-1)


@pytest.mark.parametrize("potential", [1.0, 1e-6, slow(1e6)])
def test_the_unit_of_a_users_potential_does_not_matter(potential):
    n = 2
    net = EvNN(
        Squared,
        n,
        30.0,
        1,
        thresh=potential,
        tsyn=5.0,
        tmem=10.0,
        init_bias=1.5 * potential,
        init_weights=potential * np.array([[0.0, 0.5], [-0.4, 0.0], [2.0, 3.0]]),
    )
    times, who, _ = net.record([[3.0]])
    population = neurons.lif(
        np.array([[0.0, 0.5], [-0.4, 0.0], [2.0, 3.0]]), 1.5, tmem=10.0, tsyn=5.0
    )

    def dynamics(t, state):
        v, i = state.T
        return np.stack([(i + 1.5 - v * v) / 10.0, -i / 5.0], axis=1)

    population = dataclasses.replace(population, dynamics=dynamics)
    trace = neurons.simulate(population, np.array([[3.0]]), t_max=30.0)
    k = len(trace.times)
    assert k > 4
    np.testing.assert_array_equal(who[:k], trace.neurons)
    np.testing.assert_allclose(times[:k], trace.times, atol=1e-4)


# Thresholds, pauses, delays and weights -----------------------------------------------


@pytest.mark.parametrize("kind", [EvNN, slow(FFEvNN)])
@pytest.mark.parametrize("dtype", [F32, slow(F64)])
def test_a_threshold_at_or_below_the_start(kind, dtype):
    # Neurons 0 and 1 start at or above threshold and fire at once, then from the reset.
    thresh, vreset = np.array([0.0, -0.5, 1.0]), np.array([-0.5, -1.0, 0.0])
    constants = {"thresh": thresh, "vreset": vreset, "tmem": 10.0, "tsyn": 5.0}
    trace = lif.simulate(np.zeros((3, 3)), 1.5, t_max=20.0, **constants)
    assert np.all(trace.times[:2] == 0)
    settings = constants | {"init_weights": 0.0, "init_bias": 1.5, "dtype": dtype}
    settings |= {"reset_grad_preserve": False}
    if kind is EvNN:
        net = EvNN(LIF, 3, 20.0, 0, **settings)
    else:
        net = FFEvNN([3], 0, LIF, 20.0, **settings)
    times, who, _ = net.record(None)
    k = len(trace.times)
    np.testing.assert_array_equal(who[:k], trace.neurons)
    np.testing.assert_allclose(times[:k], trace.times, rtol=8 * np.finfo(dtype).eps)
    assert np.all(np.isinf(times[k:]))


@pytest.mark.parametrize("weight", [1e-30, 1e10, -1e10])
@pytest.mark.parametrize("dtype", [F32, slow(F64)])
def test_weights_of_every_size(weight, dtype):
    # After a huge inhibition the potential comes back to what its bias holds.
    weights = np.array([[0.0, 0.0], [0.0, 0.0], [weight, 1.0]])
    bias, t_max = np.array([1.2 if weight < 0 else 0.0, 1.5]), 400.0
    constants = {"tmem": 10.0, "tsyn": 5.0, "thresh": 1.0}
    trace = lif.simulate(
        weights,
        bias,
        np.array([[3.0]]),
        t_max=t_max,
        stop_after=[0] if weight > 0 else None,
        **constants,
    )
    truth = trace.times[trace.neurons == 0]
    net = EvNN(
        LIF, 2, t_max, 1, wmask=[[0, 0], [0, 0], [1, 1]], dtype=dtype,
        init_weights=weights, init_bias=bias, output_neurons=np.array([True, False]),
        **constants,
    )  # fmt: skip
    first, slope = jax.jit(jax.value_and_grad(lambda x: net.ttfs(x)[0]))([[3.0]])
    tolerance = {F32: 2e-6, F64: 1e-12}[dtype]
    wanted = truth[0] if len(truth) else np.inf
    np.testing.assert_allclose(first, wanted, rtol=tolerance)
    # A spike that the input brings about moves with it, one long after has forgotten.
    moves = {1e-30: 0.0, 1e10: 1.0, -1e10: 1.0}[weight]
    np.testing.assert_allclose(slope[0], moves, atol=1e-5)


def test_no_pause_and_delays_beyond_the_end():
    constants = {"tmem": 10.0, "tsyn": 5.0, "thresh": 1.0, "init_bias": 1.5}
    constants |= {"init_weights": 3.0, "dtype": F64}
    plain = EvNN(LIF, 2, 20.0, 0, wmask=np.zeros((2, 2)), **constants)
    wanted = plain.record(None)[0]
    pause = EvNN(
        Refractory(LIF), 2, 20.0, 0, wmask=np.zeros((2, 2)), t_refrac=0.0, **constants
    )
    np.testing.assert_allclose(pause.record(None)[0], wanted, rtol=1e-14)
    late = EvNN(LIF, 2, 20.0, 1, init_delays=1e6, **constants)
    np.testing.assert_allclose(late.record([[1.0]])[0], wanted, rtol=1e-14)
    layered = FFEvNN([2], 1, LIF, 20.0, init_delays=1e6, **constants)
    times = layered.record([[1.0]])[0]
    np.testing.assert_allclose(times, wanted[: len(times)], rtol=1e-14)
