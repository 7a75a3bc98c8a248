"""Models, wrappers and delays of the oracle against closed forms and second routes.

Tolerances: `INTEGRATED` is the integrator's accumulated error on times and states of
order ten, in the sense of `test_oracle`. Where the second route is itself numerical its
precision is given beside it.
"""

import heapq

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.optimize import brentq
from scipy.special import expit

from . import finite_differences as fd
from . import lif, neurons, qif

CLOSED_FORM = 1e-13
INTEGRATED = 2e-12
QUADRATURE = {"epsabs": 1e-13, "epsrel": 1e-13, "limit": 200}

SILENT = np.zeros((1, 1))  # weights of one neuron that nothing reaches
LIF = {"tmem": 10.0, "tsyn": 5.0}
T_LIF = 10.0 * np.log(2.0)  # period of a LIF neuron of these constants with ic = 2


def lone_lif(ic=2.0, weight=None, **constants):
    """One LIF neuron, with an input channel if it has a weight."""
    weights = SILENT if weight is None else [[0.0], [weight]]
    return neurons.lif(weights, ic, **{**LIF, **constants})


def jumpers(weights, tmem=10.0, preserve=False):
    """Neurons that leak to 0 and jump; they fire at 1 and start again from 0."""
    return neurons.alif(
        weights, 0.0, tmem=tmem, ta=1.0, b0=1.0, beta=0.0, preserve=preserve
    )


def random_lif(seed, n=5, m=3, size=1.5):
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(n + m, n)) * size
    weights[n:] += size
    constants = {
        "tmem": rng.uniform(8.0, 20.0, n),
        "tsyn": rng.uniform(3.0, 10.0, n),
        "thresh": rng.uniform(0.8, 1.2, n),
        "vreset": rng.uniform(-0.3, 0.1, n),
    }
    inputs = rng.uniform(1.0, 35.0, (m, 3))
    return weights, rng.uniform(0.3, 1.3, n), inputs, constants


def assert_same(a, b, atol=INTEGRATED):
    assert a.events == b.events
    np.testing.assert_allclose(a.times, b.times, atol=atol)
    np.testing.assert_allclose(a.observed, b.observed, atol=atol)
    np.testing.assert_allclose(a.state, b.state, atol=atol)


# Starts


@pytest.mark.parametrize(
    ("population", "start"),
    [
        (lone_lif(), [0.0, 0.0]),
        (neurons.qif(SILENT, 0.0, **LIF), [0.5, 0.0]),
        (neurons.alif(SILENT, 0.0, tmem=9.0, ta=8.0, b0=0.7, beta=1.0), [0.0, 0.7]),
        (neurons.eif(SILENT, 0.0, **LIF, EL=-0.3), [-0.3, 0.0]),
        (neurons.izhikevich(SILENT, 0.0, b=0.25, c=-60.0), [-60.0, -15.0, 0.0]),
        (neurons.egru(*[SILENT] * 3, -2.0, 1.0, 0.0), [0.0] * 4),
    ],
)
def test_starts(population, start):
    trace = neurons.simulate(population, t_max=1.0, observe_at=[0.0])
    np.testing.assert_array_equal(trace.observed[0], [start])


# LIF and QIF


@pytest.mark.parametrize("delayed", [False, True])
def test_lif_agrees_with_its_closed_form(delayed):
    weights, ic, inputs, constants = random_lif(3)
    rng = np.random.default_rng(7)
    options = {
        "t_max": 40.0,
        "observe_at": [40.0, 11.1, inputs[0, 0], 0.0],
        "delays": rng.uniform(-1.0, 4.0, weights.shape) if delayed else None,
    }
    exact = lif.simulate(weights, ic, inputs, **constants, **options)
    found = neurons.simulate(neurons.lif(weights, ic, **constants), inputs, **options)
    assert len(exact.times) > 15
    assert_same(exact, found)


def test_constants_of_one_neuron_each():
    # tau ln(ic / (ic - theta)) for LIF; QIF as in test_oracle.
    tau, ic = np.array([10.0, 4.0]), np.array([1.7, 3.0])
    zero = np.zeros((2, 2))
    trace = neurons.simulate(neurons.lif(zero, ic, tmem=tau, tsyn=5.0), t_max=20.0)
    np.testing.assert_allclose(
        trace.first_spikes(), tau * np.log(ic / (ic - 1)), rtol=INTEGRATED
    )
    w = np.sqrt(ic - 0.25)
    trace = neurons.simulate(neurons.qif(zero, ic, tmem=tau, tsyn=5.0), t_max=20.0)
    np.testing.assert_allclose(
        trace.first_spikes(),
        tau / w * (np.pi / 2 + np.arctan(0.5 / w)),
        rtol=INTEGRATED,
    )


# ALIF

ALIF = {"tmem": 10.0, "ta": 30.0, "b0": 0.8, "beta": 9.0}


@pytest.mark.parametrize("preserve", [True, False])
def test_alif_under_constant_drive(preserve):
    # Between spikes v = ic + (v0 - ic) e^(-t/tm), b = b0 + (b - b0) e^(-t/ta).
    ic, (tm, ta, b0, beta) = 2.0, ALIF.values()
    t, b, expected = 0.0, b0, []
    for _ in range(8):
        after = b
        gap = brentq(
            lambda s: (
                ic * -np.expm1(-s / tm) - b0 - (after - b0) * np.exp(-s / ta)  # noqa: B023
            ),
            0.1,
            100.0,
            xtol=1e-300,
        )
        b = b0 + (b - b0) * np.exp(-gap / ta) + beta / ta
        t += gap
        expected.append(t)
    trace = neurons.simulate(
        neurons.alif(SILENT, ic, **ALIF, preserve=preserve),
        t_max=t + 1.0,
        observe_at=[t + 0.5],
    )
    np.testing.assert_allclose(trace.times, expected, rtol=INTEGRATED)
    after = [ic * -np.expm1(-0.5 / tm), b0 + (b - b0) * np.exp(-0.5 / ta)]
    np.testing.assert_allclose(trace.observed[0], [after], rtol=1e-11)


@pytest.mark.parametrize(("preserve", "rest"), [(True, 0.7), (False, 0.0)])
def test_alif_jump_over_threshold(preserve, rest):
    # 0.75 * 2 = 1.5 over b = 0.8 at t = 4; then b = 0.8 + 0.3, back to 0.8 with ta.
    trace = neurons.simulate(
        neurons.alif([[0.0], [0.75]], 0.0, **ALIF, rm=2.0, preserve=preserve),
        np.array([[4.0]]),
        t_max=9.0,
        observe_at=[4.0, 9.0],
    )
    np.testing.assert_array_equal(trace.times, [4.0])
    after = np.array([rest, 1.1])
    later = [rest * np.exp(-0.5), 0.8 + 0.3 * np.exp(-5 / 30.0)]
    np.testing.assert_allclose(trace.observed[:, 0], [after, later], rtol=CLOSED_FORM)


def test_alif_jump_of_two_thresholds_fires_twice():
    # 2.5 - 0.8 = 1.7 over 1.1, 1.7 - 1.1 = 0.6 under 1.4.
    trace = neurons.simulate(
        neurons.alif([[0.0], [2.5]], 0.0, **ALIF), np.array([[4.0]]), t_max=4.0
    )
    np.testing.assert_array_equal(trace.times, [4.0, 4.0])
    np.testing.assert_allclose(trace.state, [[0.6, 1.4]], rtol=CLOSED_FORM)


def test_alif_at_threshold_is_reset_by_either_rule():
    # Inhibition by -3 of the neuron's own spike arrives after its reset.
    trace = neurons.simulate(
        neurons.alif([[-3.0]], 2.0, **ALIF), t_max=5.2, observe_at=[5.2]
    )
    first = brentq(lambda s: -2.0 * np.expm1(-s / 10.0) - 0.8, 1.0, 9.0)
    np.testing.assert_allclose(trace.times, [first], rtol=1e-11)
    decay = np.exp(-(5.2 - first) / 10.0)
    assert trace.state[0, 0] == pytest.approx(2.0 - 5.0 * decay, rel=1e-11)


# EIF


def eif_duration(start, stop, ic, tau, vT, deltaT, EL):
    """Integral of dV / V' by quadrature."""

    def slowness(v):
        return tau / (EL - v + deltaT * np.exp((v - vT) / deltaT) + ic)

    return quad(slowness, start, stop, points=[vT], **QUADRATURE)[0]


@pytest.mark.parametrize("deltaT", [0.05, 0.2, 1.5])
def test_eif_under_constant_drive(deltaT):
    tau, vT, EL, vreset, ic = 12.0, 1.1, -0.1, -0.4, 1.9
    constants = {"deltaT": deltaT, "vT": vT, "EL": EL}
    for options, peak in (
        ({"spike_time_tol": None}, vT + 5 * deltaT),
        ({"v_peak": 1.3}, 1.3),
        ({}, vT - deltaT * np.log(0.001 / tau)),
        ({"v_peak": vT + 24 * deltaT}, vT + 24 * deltaT),
    ):
        first = eif_duration(EL, peak, ic, tau, **constants)
        period = eif_duration(vreset, peak, ic, tau, **constants)
        trace = neurons.simulate(
            neurons.eif(
                SILENT, ic, tmem=tau, tsyn=5.0, vreset=vreset, **constants, **options
            ),
            t_max=first + 3.5 * period,
        )
        expected = first + period * np.arange(4)
        np.testing.assert_allclose(trace.times, expected, rtol=5e-12)


def test_eif_with_inputs_agrees_with_another_coordinate():
    # y = ln(1 + w), w = exp(-(V - vT) / deltaT), in which the upstroke is a straight
    # line, V = vT - deltaT ln(e^y - 1):
    # tm y' = -((1 - e^-y) (EL - V + I) / deltaT + e^-y)
    tau, tsyn, vT, deltaT, peak = 12.0, 4.0, 1.0, 0.2, 2.9
    arrivals, weights = [3.0, 9.0, 15.0, 20.5], [4.0, 5.5, -2.0, 9.0]

    def coordinate(v):
        return np.log1p(np.exp(-(v - vT) / deltaT))

    def rate(t, state):
        y, i = state
        with np.errstate(invalid="ignore"):  # in trial steps
            v = vT - deltaT * np.log(np.expm1(y))
        drift = -np.expm1(-y) * (-v + i + 0.6) / deltaT + np.exp(-y)
        return [-drift / tau, -i / tsyn]

    def spike(t, state):
        return state[0] - coordinate(peak)

    spike.terminal, spike.direction = True, -1
    t, state, expected = 0.0, np.array([coordinate(0.0), 0.0]), []
    for end, weight in zip([*arrivals, 30.0], [*weights, 0.0], strict=True):
        while t < end:
            run = solve_ivp(
                rate, (t, end), state, "DOP853", events=spike, rtol=1e-13, atol=1e-14
            )
            t, state = run.t[-1], run.y[:, -1]
            if run.status == 1:
                expected.append(t)
                state[0] = coordinate(0.0)
        state[1] += weight
    trace = neurons.simulate(
        neurons.eif(
            [[0.0]] + [[w] for w in weights], 0.6, tmem=tau, tsyn=tsyn, v_peak=peak
        ),
        np.array(arrivals)[:, None],
        t_max=30.0,
    )
    assert len(expected) >= 3
    # The second route's event lies on an interpolant of order 7.
    np.testing.assert_allclose(trace.times, expected, atol=1e-10)
    v = vT - deltaT * np.log(np.expm1(state[0]))
    np.testing.assert_allclose(trace.state, [[v, state[1]]], atol=1e-10)


def test_eif_too_steep_for_the_clock():
    with pytest.raises(ValueError, match="v_peak must be <="):
        neurons.eif(SILENT, 0.0, **LIF, v_peak=1.0 + 26 * 0.2)


# Izhikevich


@pytest.mark.parametrize(
    ("ic", "constants"),
    [(10.0, {}), (6.0, {"a": 0.1, "b": 0.25, "c": -65.0, "d": 2.5, "v_thresh": 25.0})],
)
def test_izhikevich_agrees_with_an_ordinary_solver(ic, constants):
    named = {"a": 0.02, "b": 0.2, "c": -51.0, "d": 2.0, "v_thresh": 30.0, **constants}
    a, b, c, d, v_thresh = named.values()
    weight, arrival, tsyn = 3.0, 12.0, 4.0

    def rate(t, y):
        v, u = y
        i = weight * np.exp(-(t - arrival) / tsyn) if t >= arrival else 0.0
        return [0.04 * v**2 + 5 * v + 140 - u + ic + i, a * (b * v - u)]

    def spike(t, y):
        return y[0] - v_thresh

    spike.terminal = True
    t, y, expected = 0.0, np.array([c, b * c]), []
    for end in (arrival, 60.0):
        while t < end:
            run = solve_ivp(
                rate, (t, end), y, "DOP853", events=spike, rtol=1e-13, atol=1e-12
            )
            t, y = run.t[-1], run.y[:, -1]
            if run.status == 1:
                expected.append(t)
                y = np.array([c, y[1] + d])
    trace = neurons.simulate(
        neurons.izhikevich([[0.0], [weight]], ic, tau_syn=tsyn, **constants),
        np.array([[arrival]]),
        t_max=60.0,
    )
    assert len(expected) >= 4
    np.testing.assert_allclose(trace.times, expected, atol=1e-9)
    end = [*y, weight * np.exp(-(60.0 - arrival) / tsyn)]
    np.testing.assert_allclose(trace.state, [end], atol=1e-8)


# EGRU

BIASES = (-0.5, 1.0, 1.4)  # b_u, b_r, b_z


def egru_c(t, c0, a_u, a_z, tsyn=5.0, tmem=20.0):
    """c after t with a_x decaying from the given values, by quadrature.

    c = c0 e^-G(t) + integral of g tanh(a_z) e^-(G(t) - G(s)), G' = g = sigma(a_u) / tm.
    """
    b_u, _, b_z = BIASES

    def g(s):
        return expit(b_u + (a_u - b_u) * np.exp(-s / tsyn)) / tmem

    def G(lower, upper):
        return quad(g, lower, upper, **QUADRATURE)[0]

    def gain(s):
        return g(s) * np.tanh(b_z + (a_z - b_z) * np.exp(-s / tsyn)) * np.exp(-G(s, t))

    return c0 * np.exp(-G(0.0, t)) + quad(gain, 0.0, t, **QUADRATURE)[0]


def test_egru_between_events():
    population = neurons.egru(*[SILENT] * 3, *BIASES, thresh=0.4)
    run = neurons.simulate(population, t_max=150.0)
    first, second = run.times[:2]
    trace = neurons.simulate(
        population, t_max=150.0, observe_at=[first / 2, first, second]
    )
    decay = np.exp(-np.array([first / 2, first, second]) / 5.0)
    a = np.array(BIASES) * (1 - decay[:, None])
    np.testing.assert_allclose(trace.observed[:, 0, 1:], a, rtol=INTEGRATED)
    c = trace.observed[:, 0, 0]
    half = egru_c(first / 2, 0.0, 0.0, 0.0)
    np.testing.assert_allclose(c, [half, 0.0, 0.0], rtol=INTEGRATED, atol=INTEGRATED)
    assert egru_c(first, 0.0, 0.0, 0.0) == pytest.approx(0.4, rel=INTEGRATED)
    again = egru_c(second - first, 0.0, a[1, 0], a[1, 2])
    assert again == pytest.approx(0.4, rel=INTEGRATED)


def test_egru_arrival_uses_the_gate_before_it():
    # Two channels at t = 2, the lower first: its W_r opens the gate of the second.
    W_u, W_r, W_z = (np.array([[0.0], *x]) for x in ([[0.3], [0.1]], [[2.0], [5.0]],
                                                     [[1.5], [-0.7]]))  # fmt: skip
    trace = neurons.simulate(
        neurons.egru(W_u, W_r, W_z, *BIASES),
        np.array([[2.0], [2.0]]),
        t_max=8.0,
        observe_at=[2.0, 8.0],
    )
    a_u, a_r, a_z = np.array(BIASES) * -np.expm1(-2.0 / 5.0)
    a_z += 1.5 * expit(a_r) - 0.7 * expit(a_r + 2.0)
    after = [egru_c(2.0, 0.0, 0.0, 0.0), a_u + 0.4, a_r + 7.0, a_z]
    np.testing.assert_allclose(trace.observed[0, 0], after, rtol=INTEGRATED)
    c = egru_c(6.0, after[0], after[1], after[3])
    assert trace.observed[1, 0, 0] == pytest.approx(c, rel=INTEGRATED)


# Wrappers: refractory


def test_refractory_period_adds_to_the_lif_period():
    t_refrac = np.array([0.0, 1.5, 20.0])
    trace = neurons.simulate(
        neurons.refractory(neurons.lif(np.zeros((3, 3)), 2.0, **LIF), t_refrac),
        t_max=40.0,
    )
    for k, extra in enumerate(t_refrac):
        count = int((40.0 - T_LIF) / (T_LIF + extra)) + 1
        expected = T_LIF + (T_LIF + extra) * np.arange(count)
        np.testing.assert_allclose(trace.of(k), expected, rtol=INTEGRATED)


def test_refractory_closed_form_with_inputs():
    # Plain LIF in closed form between the periods, whose inputs are taken away.
    rng = np.random.default_rng(11)
    inputs, weights = np.sort(rng.uniform(0.0, 60.0, (1, 40))), [[0.0], [1.3]]
    t_refrac, t, state, expected = 2.7, 0.0, np.zeros((1, 2)), []
    while True:
        later = inputs[inputs >= t][None]
        run = lif.simulate(
            weights, 0.4, later, **LIF, t_max=60.0, t0=t, state=state, stop_after=[0]
        )
        if not len(run.times) or run.end + t_refrac > 60.0:
            expected += run.times.tolist()
            break
        expected.append(run.end)
        t, state = run.end + t_refrac, run.state
    trace = neurons.simulate(
        neurons.refractory(lone_lif(0.4, 1.3), t_refrac), inputs, t_max=60.0
    )
    assert len(expected) >= 5
    np.testing.assert_allclose(trace.times, expected, atol=INTEGRATED)


@pytest.mark.parametrize("block", [True, False])
@pytest.mark.parametrize("held", [None, [True, False], [False, True], False])
def test_refractory_channels(block, held):
    # Fires at t1, an input of 3 arrives 1 later, the period ends 4 later.
    trace = neurons.simulate(
        neurons.refractory(lone_lif(weight=3.0), 4.0, block, held),
        np.array([[T_LIF + 1.0, np.inf]]),
        t_max=T_LIF + 4.2,
        observe_at=T_LIF + np.array([0.5, 3.5]),
    )
    v_held, i_held = np.broadcast_to(True if held is None else held, (2,))
    start = 0.0 if block else 3.0

    def v(s):
        if v_held:
            return 0.0
        shape = -np.expm1(-s / 10.0)  # of a constant current
        if not i_held:
            shape = np.exp(-s / 10.0) - np.exp(-s / 5.0)
        return 2.0 * -np.expm1(-(s + 1.0) / 10.0) + start * shape

    i = start * (1.0 if i_held else np.exp(-2.5 / 5.0))
    early = 0.0 if v_held else 2.0 * -np.expm1(-0.05)
    np.testing.assert_allclose(
        trace.observed[:, 0], [[early, 0.0], [v(2.5), i]], atol=INTEGRATED
    )
    # What passed threshold in the period fires at its end.
    assert (v(3.0) > 1.0) == (not v_held and not block)
    expected = [T_LIF, T_LIF + 4.0][: 1 + (v(3.0) > 1.0)]
    np.testing.assert_allclose(trace.times, expected, rtol=INTEGRATED)


def test_threshold_passed_within_the_period():
    # v goes on from 0 and is beyond 1 when the period of 9 > T_LIF ends.
    population = neurons.refractory(lone_lif(), 9.0, held=False)
    trace = neurons.simulate(population, t_max=30.0, observe_at=[T_LIF + 8.0])
    np.testing.assert_allclose(trace.times, T_LIF + np.array([0, 9, 18]), rtol=1e-12)
    assert trace.observed[0, 0, 0] == pytest.approx(-2.0 * np.expm1(-0.8), rel=1e-11)


def test_refractory_period_is_half_open():
    # Every number is exact: periods [4, 6) and [6, 8), and so on.
    population = neurons.refractory(jumpers([[0.0], [1.5]]), 2.0)
    trace = neurons.simulate(
        population, np.array([[4.0, 6.0, 7.9999, 8.0, 9.0]]), t_max=11.0
    )
    np.testing.assert_array_equal(trace.times, [4.0, 6.0, 8.0])
    # Channel 1 arrives, 0 fires, period ends (id N + M + 0 = 2), ...
    assert trace.events == (1, 0, 2, 1, 0, 1, 2, 1, 0, 1, 2)


def test_end_of_period_comes_before_arrivals_of_its_instant():
    # Unblocked: 1.5 at t = 5 waits, fires at the end t = 6 and so opens a new period
    # before the arrivals at 6: -9 would have held it back.
    weights = [[0.0], [1.5], [-9.0]]
    inputs = np.array([[4.0, 5.0], [6.0, np.inf]])
    trace = neurons.simulate(
        neurons.refractory(jumpers(weights), 2.0, block=False), inputs, t_max=7.0
    )
    np.testing.assert_array_equal(trace.times, [4.0, 6.0])
    assert trace.events == (1, 0, 1, 3, 0, 2)
    assert trace.state[0, 0] == -9.0
    blocked = neurons.simulate(
        neurons.refractory(jumpers(weights), 2.0), inputs, t_max=7.0
    )
    np.testing.assert_array_equal(blocked.times, [4.0])
    # The period is over: -9 is received, and decays.
    assert blocked.state[0, 0] == pytest.approx(-9.0 * np.exp(-0.1), rel=INTEGRATED)


def test_own_spike_and_arrivals_of_one_instant():
    # Its own undelayed spike finds the neuron in its period; so does channel 1 at 4.
    weights = [[0.3], [1.5], [0.4]]
    inputs = np.array([[4.0], [4.0]])
    for block, v in ((True, 0.0), (False, 0.7)):
        trace = neurons.simulate(
            neurons.refractory(jumpers(weights), 2.0, block), inputs, t_max=5.0
        )
        assert trace.state[0, 0] == pytest.approx(v, rel=CLOSED_FORM)
        assert trace.spike_order == (0,)


def test_still_above_threshold_fires_once_a_period():
    trace = neurons.simulate(
        neurons.refractory(lone_lif(vreset=1.5), 4.0), t_max=T_LIF + 9.0
    )
    np.testing.assert_allclose(trace.times, T_LIF + np.array([0, 4, 8]), rtol=1e-12)


def test_neurons_released_together_fire_in_ascending_order():
    weights = np.zeros((3, 2))
    weights[2] = 1.5
    trace = neurons.simulate(
        neurons.refractory(jumpers(weights), 2.0, block=False),
        np.array([[4.0, 5.0]]),
        t_max=6.0,
    )
    np.testing.assert_array_equal(trace.times, [4.0, 4.0, 6.0, 6.0])
    assert trace.spike_order == (0, 1, 0, 1)


# Wrappers: AMOS


@pytest.mark.parametrize("freeze", [True, False])
@pytest.mark.parametrize("deaf", [True, False])
def test_amos(freeze, deaf):
    trace = neurons.simulate(
        neurons.amos(lone_lif(weight=3.0), freeze, deaf),
        np.array([[T_LIF + 2.0]]),
        t_max=T_LIF + 3.0,
        observe_at=[T_LIF + 1.0, T_LIF + 3.0],
    )
    np.testing.assert_allclose(trace.times, [T_LIF], rtol=INTEGRATED)
    i = 0.0 if deaf else 3.0
    early = v = 0.0
    if not freeze:
        early = 2.0 * -np.expm1(-0.1)
        v = 2.0 * -np.expm1(-0.3) + i * (np.exp(-0.1) - np.exp(-0.2))
        i *= np.exp(-1 / 5.0)
    expected = [[early, 0.0], [v, i]]
    np.testing.assert_allclose(trace.observed[:, 0], expected, atol=INTEGRATED)


def test_amos_neurons_go_on_above_threshold_and_others_go_on_firing():
    population = neurons.amos(neurons.lif(np.zeros((2, 2)), [2.0, 1.2], **LIF))
    trace = neurons.simulate(population, t_max=90.0)
    assert trace.spike_order == (0, 1)
    assert trace.state[0, 0] == pytest.approx(2.0, abs=1e-3)
    alone = neurons.lif(np.zeros((2, 1)), 2.0, **LIF)
    mixed = neurons.multi([neurons.amos(alone), alone], [0, 1])
    assert neurons.simulate(mixed, t_max=30.0).spike_order == (0, 1, 1, 1, 1)


def test_amos_whose_neuron_reaches_infinity_is_reported():
    population = neurons.amos(neurons.eif(SILENT, 3.0, **LIF))
    with pytest.raises(RuntimeError, match="integration failed"):
        neurons.simulate(population, t_max=50.0)
    frozen = neurons.amos(neurons.eif(SILENT, 3.0, **LIF), freeze=True)
    trace = neurons.simulate(frozen, t_max=50.0)
    np.testing.assert_array_equal(trace.state, [[0.0, 0.0]])


# Wrappers: together


def leaking_jumpers(weights, delays, inputs, t_refrac, block, t_max, tmem=10.0):
    """Spikes of `jumpers` held wholly for `t_refrac`, as a queue of three numbers.

    The delays, one for each sender, are such that no two events coincide.
    """
    n = weights.shape[1]
    v, seen, until = np.zeros(n), np.zeros(n), np.full(n, -np.inf)
    queue = [(t + delays[n + m], n + m) for m, row in enumerate(inputs) for t in row]
    heapq.heapify(queue)
    spikes = []

    def fire(t, k):
        spikes.append((t, k))
        v[k], until[k], seen[k] = 0.0, t + t_refrac[k], t + t_refrac[k]
        heapq.heappush(queue, (t + delays[k], k))
        if np.isfinite(until[k]):
            heapq.heappush(queue, (until[k], -1 - k))

    while queue and queue[0][0] <= t_max:
        t, sender = heapq.heappop(queue)
        for k in range(n):
            free = t >= until[k]
            if free:
                v[k] *= np.exp(-(t - seen[k]) / tmem)
                seen[k] = t
            if sender >= 0 and (free or not block):
                v[k] += weights[sender, k]
            if free and v[k] >= 1.0:
                fire(t, k)
    return spikes


@pytest.mark.parametrize("block", [True, False])
@pytest.mark.parametrize("once", [False, True])
def test_recurrent_network_with_holds_agrees_with_a_queue(block, once):
    rng = np.random.default_rng(4)
    n, m, t_max = 4, 3, 60.0
    weights = rng.normal(0.35, 0.5, (n + m, n))
    delays, inputs = rng.uniform(0.3, 5.0, n + m), rng.uniform(0.0, 55.0, (m, 12))
    t_refrac = rng.uniform(0.5, 6.0, n)
    population = neurons.refractory(jumpers(weights), t_refrac, block)
    if once:  # two neurons may fire once only, frozen and deaf if blocked
        t_refrac[1:3] = np.inf
        odd = jumpers(weights[:, 1:3])
        even = neurons.refractory(jumpers(weights[:, [0, 3]]), t_refrac[[0, 3]], block)
        population = neurons.multi(
            [even, neurons.amos(odd, freeze=True, deaf=block)], [0, 1, 1, 0]
        )
    expected = leaking_jumpers(weights, delays, inputs, t_refrac, block, t_max)
    trace = neurons.simulate(population, inputs, t_max=t_max, axonal_delays=delays)
    assert len(expected) > (10 if once else 25)
    assert trace.spike_order == tuple(k for _, k in expected)
    np.testing.assert_allclose(trace.times, [t for t, _ in expected], rtol=CLOSED_FORM)


def test_wrappers_in_any_order():
    weights, ic, inputs, constants = random_lif(5)
    base = neurons.lif(weights, ic, **constants)
    options = {"t_max": 40.0, "observe_at": [5.0, 20.0, 33.0]}

    def run(population):
        return neurons.simulate(population, inputs, **options)

    # The shorter of two periods says when arrivals come through, the longer when the
    # neuron may fire, in either order.
    held = [True, False]
    one = neurons.refractory(neurons.refractory(base, 1.0), 3.0, False, held)
    other = neurons.refractory(neurons.refractory(base, 3.0, False, held), 1.0)
    first, second = run(one), run(other)
    assert len(first.times) > 5
    np.testing.assert_allclose(first.times, second.times, atol=INTEGRATED)
    np.testing.assert_allclose(first.observed, second.observed, atol=INTEGRATED)
    np.testing.assert_allclose(
        run(neurons.refractory(neurons.refractory(base, 1.0), 3.0)).times,
        run(neurons.refractory(base, 3.0)).times,
        atol=INTEGRATED,
    )
    once = neurons.amos(neurons.refractory(base, 2.0, False), freeze=True)
    again = neurons.refractory(neurons.amos(base, freeze=True), 2.0, False)
    np.testing.assert_allclose(run(once).times, run(again).times, atol=INTEGRATED)
    assert max(np.bincount(run(once).neurons)) == 1


# Wrappers: several models


def test_multi_of_equal_models_is_one_population():
    weights, ic, inputs, constants = random_lif(3)
    types = np.array([1, 0, 0, 1, 0])

    def part(p):
        mine = types == p
        own = {name: value[mine] for name, value in constants.items()}
        return neurons.lif(weights[:, mine], ic[mine], **own)

    t_refrac = np.array([2.0, 1.0, 0.0, 0.5, 3.0])
    options = {"t_max": 40.0, "observe_at": [11.1, 30.0], "axonal_delays": 0.7}
    for wrap in (
        lambda whole, mine: whole,
        lambda whole, mine: neurons.refractory(whole, t_refrac[mine], False, [1, 0]),
    ):
        whole = wrap(neurons.lif(weights, ic, **constants), types >= 0)
        joined = neurons.multi([wrap(part(p), types == p) for p in (0, 1)], types)
        exact = neurons.simulate(whole, inputs, **options)
        assert len(exact.times) > 10
        assert_same(exact, neurons.simulate(joined, inputs, **options))


def test_multi_of_different_models():
    # LIF (0 and 2) feed EGRU (1), which feeds QIF (3): each as an input of the next.
    rng = np.random.default_rng(2)
    inputs = rng.uniform(0.0, 20.0, (1, 6))
    to_lif, to_egru, to_qif = np.zeros((5, 2)), np.zeros((3, 5, 1)), np.zeros((5, 1))
    to_lif[4] = 2.0, 3.0
    to_egru[:, [0, 2], 0] = [[2.0, -0.5], [1.0, 0.5], [1.5, 1.0]]
    to_qif[1] = 25.0
    biases = {"b_u": 1.5, "b_r": 0.5, "b_z": 1.0}
    joined = neurons.multi(
        [
            neurons.lif(to_lif, 0.5, **LIF),
            neurons.egru(*to_egru, **biases),
            neurons.qif(to_qif, 0.3, **LIF),
        ],
        [0, 1, 0, 2],
    )
    times = [7.0, 22.0, 40.0]
    options = {"t_max": 40.0, "observe_at": times}
    trace = neurons.simulate(joined, inputs, **options)
    unused = [[0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    for states in (trace.state, *trace.observed):
        np.testing.assert_array_equal(np.isnan(states), np.array(unused, bool))

    def feed(population, times):
        return neurons.simulate(population, np.atleast_2d(times), **options)

    first = lif.simulate(to_lif[[0, 2, 4]], 0.5, inputs, **LIF, **options)
    np.testing.assert_allclose(
        first.observed, trace.observed[:, [0, 2], :2], atol=1e-11
    )
    sent = first.spike_table(30)
    second = feed(neurons.egru(*to_egru[:, [1, 0, 2]], **biases), sent)
    np.testing.assert_allclose(second.observed, trace.observed[:, [1]], atol=1e-11)
    third = feed(neurons.qif(to_qif[[3, 1]], 0.3, **LIF), second.times)
    np.testing.assert_allclose(third.observed, trace.observed[:, [3], :2], atol=1e-11)
    for k, own in ((1, second.times), (3, third.times), (0, first.of(0))):
        assert len(own) > 1
        np.testing.assert_allclose(trace.of(k), own, atol=1e-11)


def test_multi_needs_matching_types():
    with pytest.raises(ValueError, match="sub-populations of"):
        neurons.multi([lone_lif(), lone_lif()], [0, 0])
    with pytest.raises(ValueError, match="sub-populations of"):
        neurons.multi([lone_lif()], [0, 1])


# Delays


def test_total_delays():
    synaptic, axonal = np.array([[1.0, -2.0], [-1.0, 0.5]]), np.array([0.25, -3.0])
    expected = [[1.25, 0.25], [0.0, 0.5]]
    np.testing.assert_array_equal(neurons.total_delays(synaptic, axonal), expected)
    assert neurons.total_delays(None, None) is None
    np.testing.assert_array_equal(neurons.total_delays(None, axonal), [[0.25], [0.0]])


def test_axonal_delay_of_an_input_shifts_it():
    weights, ic, inputs, constants = random_lif(3)
    weights[:5] = 0.0
    population = neurons.lif(weights, ic, **constants)
    options = {"t_max": 40.0, "observe_at": [13.0]}
    axonal = np.array([9.0] * 5 + [1.5, -2.0, 0.0])
    late = neurons.simulate(population, inputs, axonal_delays=axonal, **options)
    shifted = inputs + np.array([[1.5], [0.0], [0.0]])
    plain = neurons.simulate(population, shifted, **options)
    np.testing.assert_allclose(late.times, plain.times, atol=INTEGRATED)
    np.testing.assert_allclose(late.observed, plain.observed, atol=INTEGRATED)


def test_axonal_delay_of_a_neuron():
    # 0 fires at T, its spike of current 3 reaches 1 after 1 + 0.5, itself after 0.5.
    trace = neurons.simulate(
        neurons.lif([[0.1, 3.0], [0.0, 0.0]], [2.0, 0.0], thresh=[1.0, 9.0], **LIF),
        t_max=T_LIF + 2.0,
        delays=np.array([[-4.0, 1.0], [0.0, 0.0]]),
        axonal_delays=[0.5, 7.0],
        observe_at=T_LIF + np.array([0.4, 0.6, 1.4, 1.6]),
    )
    assert trace.spike_order == (0,)
    own, other = trace.observed[:, :, 1].T
    expected = 0.1 * np.exp(-np.array([np.inf, 0.1, 0.9, 1.1]) / 5.0)
    np.testing.assert_allclose(own, expected, rtol=1e-11)
    np.testing.assert_allclose(other, [0.0, 0.0, 0.0, 3.0 * np.exp(-0.02)], rtol=1e-11)


# Derivatives


def test_derivative_by_a_refractory_period():
    # The third spike is at 3 T + 2 t_refrac.
    def third(params):
        trace = neurons.simulate(
            neurons.refractory(lone_lif(), params["t_refrac"]), t_max=30.0
        )
        return trace.times[2], trace.events

    found = fd.gradient(third, {"t_refrac": np.array(1.5)}, noise=fd.ODE_NOISE)
    assert found.value["t_refrac"] == pytest.approx(2.0, rel=1e-9)


def test_qif_module_is_the_qif_population():
    weights, ic, inputs, _ = random_lif(1, size=15.0)
    trace = qif.simulate(weights, ic, inputs, tmem=10.0, tsyn=5.0, t_max=20.0)
    found = neurons.simulate(neurons.qif(weights, ic, **LIF), inputs, t_max=20.0)
    np.testing.assert_array_equal(trace.times, found.times)
