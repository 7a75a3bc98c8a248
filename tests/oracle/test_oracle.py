"""The oracle against truths derived by hand, and one integrator against the other.

The tolerances are a few times the rounding of the numbers involved (closed form), or
the integrator's accumulated error (1e-12 on times of order 10).
"""

import ast
from pathlib import Path

import numpy as np
import pytest

from . import finite_differences as fd
from . import lif, ode, qif

CLOSED_FORM = 1e-13
INTEGRATED = 2e-12


def drift_with_jumps(weights, slopes=0.0, **options):
    """V' = slopes, arrivals jump the voltage, threshold 1, reset to 0."""
    weights = np.asarray(weights, np.float64)

    def reset(v, neuron):
        v[neuron] = 0.0
        return v

    return ode.simulate(
        lambda t, v: np.broadcast_to(slopes, (len(v), 1)) + 0 * v,
        lambda t, v: v[:, 0] - 1.0,
        reset,
        lambda v, sender: v + weights[sender][:, None],
        **options,
    )


def lif_by_integration(weights, ic, inputs, *, tmem, tsyn, thresh, vreset, **options):
    def rate(t, y):
        return np.stack([(y[:, 1] + ic - y[:, 0]) / tmem, -y[:, 1] / tsyn], axis=1)

    def reset(y, neuron):
        y[neuron, 0] = vreset
        return y

    def arrive(y, sender):
        y[:, 1] += weights[sender]
        return y

    start = np.zeros((weights.shape[1], 2))
    return ode.simulate(
        rate, lambda t, y: y[:, 0] - thresh, reset, arrive, start, inputs, **options
    )


def random_network(seed, n=5, m=3, size=1.5):
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(n + m, n)) * size
    weights[n:] += size
    return {
        "weights": weights,
        "ic": rng.uniform(0.3, 1.3, n),
        "tmem": rng.uniform(8.0, 20.0, n),
        "tsyn": rng.uniform(3.0, 10.0, n),
        "in_spike_times": rng.uniform(1.0, 35.0, (m, 3)),
    }


def test_shares_no_code_with_what_it_checks():
    for path in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            roots = {name.split(".")[0] for name in names}
            assert not roots & {"jax", "jaxlib", "eventax", "equinox", "diffrax"}, path


# Closed forms


def test_lif_under_constant_drive():
    # v = ic (1 - exp(-t / tau)) reaches theta at tau ln(ic / (ic - theta)).
    tau, ic, theta = 10.0, np.array([1.7, 3.0]), np.array([1.0, 0.5])
    period = tau * np.log(ic / (ic - theta))
    trace = lif.simulate(
        np.zeros((2, 2)), ic, tmem=tau, tsyn=5.0, thresh=theta, t_max=30.0
    )
    for k in range(2):
        expected = period[k] * np.arange(1, int(30.0 / period[k]) + 1)
        np.testing.assert_allclose(trace.of(k), expected, rtol=CLOSED_FORM)


def test_lif_reset_to_a_value_of_its_own():
    # From vreset, ic - v = (ic - vreset) exp(-t / tau).
    trace = lif.simulate(
        [[0.0]], 2.0, tmem=10.0, tsyn=5.0, thresh=1.0, vreset=-0.5, t_max=30.0
    )
    np.testing.assert_allclose(
        np.diff(trace.times), 10.0 * np.log(2.5 / 1.0), rtol=CLOSED_FORM
    )


def test_a_spike_at_exactly_t_max_counts():
    last = 3 * 10.0 * np.log(2.0)
    options = {"tmem": 10.0, "tsyn": 5.0}
    assert len(lif.simulate([[0.0]], 2.0, t_max=last, **options).times) == 3
    # Within rounding of the last spike either side is "exactly".
    for t_max in (last * (1 - 4e-16), last * (1 + 4e-16)):
        assert len(lif.simulate([[0.0]], 2.0, t_max=t_max, **options).times) == 3
    trace = lif.simulate([[0.0]], 2.0, t_max=last * (1 - 1e-9), **options)
    assert len(trace.times) == 2

    tau, w = 10.0, np.sqrt(1.75)
    last = tau / w * (np.pi / 2 + np.arctan(0.5 / w)) + tau * np.pi / w
    for t_max in (last * (1 - 3e-13), last, last * (1 + 3e-13)):
        assert len(qif.simulate([[0.0]], 2.0, t_max=t_max, **options).times) == 2


@pytest.mark.parametrize("ratio", [1.0, 1.0 + 1e-12, 1.0 + 1e-9])
def test_equal_time_constants(ratio):
    # v = W (t / tau) exp(-t / tau), with its peak W / e at t = tau.
    tau, times = 10.0, np.array([1.0, 4.0, 10.0, 30.0])
    options = {"tmem": tau, "tsyn": tau * ratio, "t_max": 50.0}
    still = lif.simulate(
        [[0.0], [2.7]], 0.0, np.array([[0.0]]), observe_at=times, **options
    )
    assert len(still.times) == 0
    expected = 2.7 * times / tau * np.exp(-times / tau)
    tolerance = CLOSED_FORM + 2 * (ratio - 1)
    np.testing.assert_allclose(still.observed[:, 0, 0], expected, rtol=tolerance)

    fires = lif.simulate([[0.0], [2.8]], 0.0, np.array([[0.0]]), **options)
    x = fires.times[0] / tau
    assert x < 1
    assert 2.8 * x * np.exp(-x) == pytest.approx(1.0, rel=CLOSED_FORM + 2 * (ratio - 1))


@pytest.mark.parametrize(("tmem", "tsyn"), [(20.0, 5.0), (5.0, 20.0), (1.0, 1e-3)])
def test_lif_peak_decides_whether_a_hump_is_a_spike(tmem, tsyn):
    # W / (tmem / tsyn - 1) (e^(-t/tmem) - e^(-t/tsyn)) has its peak where
    # t = ln(tmem / tsyn) / (1 / tsyn - 1 / tmem).
    peak_at = np.log(tmem / tsyn) / (1 / tsyn - 1 / tmem)
    shape = (np.exp(-peak_at / tmem) - np.exp(-peak_at / tsyn)) / (tmem / tsyn - 1)
    for factor, spikes in ((1 - 1e-12, 0), (1 + 1e-12, 1)):
        trace = lif.simulate(
            np.array([[0.0], [factor / shape]]),
            0.0,
            np.array([[0.0]]),
            tmem=tmem,
            tsyn=tsyn,
            t_max=4 * peak_at,
        )
        assert len(trace.times) == spikes
        # Next to a tangent the time has the square root of the voltage's precision.
        np.testing.assert_allclose(trace.times, peak_at, rtol=1e-5)


@pytest.mark.parametrize("ic", [0.3, 2.0, 400.0])
def test_qif_under_constant_drive(ic):
    # tau V' = (V - 1/2)^2 + w^2 with w^2 = ic - 1/4: from V0 to infinity takes
    # tau / w (pi / 2 - atan((V0 - 1/2) / w)); a whole period tau pi / w.
    tau, w = 10.0, np.sqrt(ic - 0.25)
    first = tau / w * (np.pi / 2 + np.arctan(0.5 / w))
    trace = qif.simulate(
        [[0.0]], ic, tmem=tau, tsyn=5.0, t_max=first + 3.5 * tau * np.pi / w
    )
    expected = first + np.arange(4) * tau * np.pi / w
    np.testing.assert_allclose(trace.times, expected, rtol=INTEGRATED)


def test_qif_at_rest_follows_its_voltage():
    # ic = 1/4: tau V' = (V - 1/2)^2, so V - 1/2 = -1 / (2 + t / tau) from V = 0.
    times = np.array([0.0, 3.0, 50.0])
    trace = qif.simulate(
        [[0.0]], 0.25, tmem=10.0, tsyn=5.0, t_max=50.0, observe_at=times
    )
    np.testing.assert_allclose(
        qif.voltage(trace.observed[:, 0, 0]),
        0.5 - 1 / (2 + times / 10.0),
        rtol=INTEGRATED,
        atol=1e-15,
    )


# One integrator against the other


@pytest.mark.parametrize(("delayed", "alike"), [(False, False), (True, False), (0, 1)])
def test_closed_form_agrees_with_integration(delayed, alike):
    rng = np.random.default_rng(7)
    network = random_network(3)
    inputs, weights, ic = (
        network.pop(name) for name in ("in_spike_times", "weights", "ic")
    )
    if alike:
        network["tsyn"] = network["tmem"]
    options = {
        "thresh": rng.uniform(0.8, 1.2, 5),
        "vreset": -0.2,
        "t_max": 40.0,
        "delays": rng.uniform(-1.0, 4.0, weights.shape) if delayed else None,
        "observe_at": [40.0, 11.1, inputs[0, 0], 0.0],
    }
    exact = lif.simulate(weights, ic, inputs, **network, **options)
    integrated = lif_by_integration(weights, ic, inputs, **network, **options)
    assert len(exact.times) > 15
    assert exact.events == integrated.events
    np.testing.assert_allclose(exact.times, integrated.times, atol=INTEGRATED)
    np.testing.assert_allclose(exact.observed, integrated.observed, atol=INTEGRATED)
    np.testing.assert_array_equal(exact.observed[0], exact.state)


def test_rtol_of_a_recurrent_qif_network():
    network = random_network(1, size=15.0)
    fine = qif.simulate(**network, t_max=40.0)
    coarse = qif.simulate(**network, t_max=40.0, rtol=1e-12, atol=1e-12)
    assert len(fine.times) > 15
    assert fine.spike_order == coarse.spike_order
    np.testing.assert_allclose(fine.times, coarse.times, atol=1e-9)


def test_a_spike_that_hides_inside_one_step():
    # State (t, fired). The gap depth - (t - 3.3)^2 is seen at one instant only, and the
    # integrator takes x' = 1 in steps as long as it likes.
    def run(depth):
        def reset(y, neuron):
            y[neuron, 1] = 1.0
            return y

        return ode.simulate(
            lambda t, y: np.array([[1.0, 0.0]]),
            lambda t, y: depth - (y[:, 0] - 3.3) ** 2 - y[:, 1],
            reset,
            lambda y, sender: y,
            np.zeros((1, 2)),
            t_max=20.0,
        )

    # The root 3.3 - sqrt(depth) amplifies rounding of order 1e-15 by 1 / sqrt(depth).
    np.testing.assert_allclose(run(1e-8).times, [3.3 - 1e-4], atol=1e-10)
    assert len(run(-1e-8).times) == 0


# Events at one time


@pytest.mark.parametrize("model", [lif, qif])
def test_inhibition_by_current_comes_too_late(model):
    weights = np.array([[0.0, -9.0], [-9.0, 0.0]])
    trace = model.simulate(weights, 2.0, tmem=10.0, tsyn=5.0, t_max=25.0)
    assert trace.spike_order[:2] == (0, 1)
    assert trace.times[0] == trace.times[1]


def test_inhibition_by_voltage_is_in_time():
    trace = drift_with_jumps(
        [[0.0, -0.5], [-0.5, 0.0]], 0.1, state=np.zeros((2, 1)), t_max=12.0
    )
    # Both arrive at 1 at t = 10; the first pulls the second to 1/2.
    assert trace.spike_order == (0,)
    np.testing.assert_allclose(trace.times, 10.0, rtol=CLOSED_FORM)
    np.testing.assert_allclose(trace.state[:, 0], [0.2, 0.7], atol=CLOSED_FORM)


@pytest.mark.parametrize("rate", [0.1, 0.17, 0.3, 0.7])
def test_crossings_that_differ_by_rounding_are_simultaneous(rate):
    # Both reach 1 at t = 1 / rate, in different floating-point numbers. Were 1 first
    # by an ulp it would fire; at the same instant 0 comes first and holds it back.
    start = np.array([[0.0], [-2.0], [-0.7]])
    weights = np.zeros((3, 3))
    weights[0, 1:] = -0.5
    trace = drift_with_jumps(
        weights, rate * (1.0 - start), state=start, t_max=1.1 / rate
    )
    assert trace.spike_order == (0,)
    np.testing.assert_allclose(trace.times, 1 / rate, rtol=INTEGRATED)


def test_a_jump_over_threshold_fires_at_once_and_cascades():
    weights = np.zeros((4, 3))
    weights[3, 1] = 1.2  # the input lifts 1, which lifts 2, which lifts 0
    weights[1, 2] = weights[2, 0] = 1.5
    trace = drift_with_jumps(
        weights,
        state=np.zeros((3, 1)),
        in_spike_times=np.array([[4.0]]),
        t_max=4.0,
    )
    assert trace.spike_order == (1, 2, 0)
    np.testing.assert_array_equal(trace.times, 4.0)
    assert trace.events == (3, 1, 2, 0)


def test_lowest_index_first_after_a_jump():
    trace = drift_with_jumps(
        [[0.0] * 3] * 3 + [[1.1, 0.0, 1.1]],
        state=np.zeros((3, 1)),
        in_spike_times=np.array([[4.0]]),
        t_max=5.0,
    )
    assert trace.spike_order == (0, 2)


def test_simultaneous_arrivals_in_ascending_sender_order():
    # Sender 1 adds 2, sender 2 multiplies by 3: (1 + 2) 3 = 9, not 1 3 + 2 = 5.
    trace = ode.simulate(
        lambda t, y: 0 * y,
        lambda t, y: np.full(1, -1.0),
        lambda y, neuron: y,
        lambda y, sender: y + 2 if sender == 1 else y * 3,
        np.ones((1, 1)),
        np.array([[5.0], [5.0]]),
        t_max=6.0,
    )
    assert trace.state.item() == 9.0


def test_a_neuron_that_stays_at_threshold_is_reported():
    with pytest.raises(RuntimeError, match="neuron 0 is still at threshold"):
        lif.simulate([[0.0]], 2.0, tmem=10.0, tsyn=5.0, vreset=1.5, t_max=20.0)


def test_delays():
    # Neuron 0 fires at t1 = 10 ln 2 and again at 2 t1. Its spike reaches 1 (current 5,
    # tau_s = 5) after 3, itself at once.
    weights = np.array([[0.1, 5.0], [0.0, 0.0]])
    delays = np.array([[-2.0, 3.0], [0.0, 0.0]])
    t1 = 10.0 * np.log(2.0)
    trace = lif.simulate(
        weights,
        np.array([2.0, 0.0]),
        tmem=10.0,
        tsyn=5.0,
        thresh=np.array([1.0, 99.0]),
        delays=delays,
        t_max=t1 + 4.0,
        observe_at=[t1, t1 + 2.9, t1 + 3.0, t1 + 4.0],
    )
    expected = [0.0, 0.0, 5.0, 5.0 * np.exp(-1 / 5.0)]
    np.testing.assert_allclose(trace.observed[:, 1, 1], expected, rtol=CLOSED_FORM)
    np.testing.assert_allclose(trace.observed[0, 0], [0.0, 0.1], atol=CLOSED_FORM)
    assert trace.events == (0, -1)


# Requests


def test_observation_is_right_continuous_and_in_the_order_given():
    trace = lif.simulate(
        [[0.0], [1.0]],
        -9.0,
        np.array([[7.0, np.inf, 0.0]]),
        tmem=10.0,
        tsyn=5.0,
        t_max=7.0,
        observe_at=[7.0, 0.0, 5.0],
    )
    assert trace.observed.shape == (3, 1, 2)
    expected = [1.0 + np.exp(-7 / 5.0), 1.0, np.exp(-1.0)]
    np.testing.assert_allclose(trace.observed[:, 0, 1], expected, rtol=CLOSED_FORM)


def test_state_at_a_spike_is_the_state_after_it():
    t1 = 10.0 * np.log(2.0)
    run = lif.simulate([[0.0]], 2.0, tmem=10.0, tsyn=5.0, t_max=30.0)
    trace = lif.simulate(
        [[0.0]], 2.0, tmem=10.0, tsyn=5.0, t_max=30.0, observe_at=run.times[:1]
    )
    assert run.times[0] == pytest.approx(t1, rel=CLOSED_FORM)
    assert trace.observed[0, 0, 0] == 0.0


def test_stop_after_and_spike_tables():
    options = {"tmem": 10.0, "tsyn": 5.0, "t_max": 100.0}
    ic = np.array([2.0, 0.5, 4.0])
    weights = np.zeros((3, 3))
    trace = lif.simulate(weights, ic, stop_after=[0, 2], **options)
    first = 10.0 * np.log(ic[[2, 0]] / (ic[[2, 0]] - 1))
    assert trace.spike_order == (2, 2, 0)
    assert trace.end == trace.times[-1]
    table = trace.spike_table(2, neurons=[2, 1, 0], fill=-1.0)
    expected = [[first[0], 2 * first[0]], [-1, -1], [first[1], -1]]
    np.testing.assert_allclose(table, expected, rtol=CLOSED_FORM)
    np.testing.assert_array_equal(trace.first_spikes()[1:2], np.inf)

    short = lif.simulate(weights, ic, stop_after=lambda t, k: len(t) == 1, **options)
    assert short.spike_order == (2,)
    seen = lif.simulate(
        weights, ic, stop_after=lambda t, k: len(t) > 0, observe_at=[50.0], **options
    )
    assert 50.0 <= seen.end < 100.0
    assert np.isfinite(seen.observed).all()


@pytest.mark.parametrize(
    ("inputs", "observe_at", "message"),
    [
        ([[-1.0]], [], "in_spike_times must be >= t0"),
        ([[np.nan]], [], "in_spike_times must be >= t0"),
        ([1.0], [], "must be \\(M, K\\)"),
        ([[1.0]], [10.1], "observe_at must lie in"),
        ([[1.0]], [np.nan], "observe_at must lie in"),
    ],
)
def test_bad_requests(inputs, observe_at, message):
    with pytest.raises(ValueError, match=message):
        lif.simulate(
            np.zeros((2, 1)),
            0.0,
            np.asarray(inputs),
            tmem=10.0,
            tsyn=5.0,
            t_max=10.0,
            observe_at=observe_at,
        )


# Finite differences


def first_lif_spike(params):
    trace = lif.simulate(
        np.zeros((2, 2)), tsyn=5.0, t_max=40.0, stop_after=[0, 1], **params
    )
    return float(trace.first_spikes() @ [1.0, 2.0]), trace.events


def test_differences_of_a_lif_spike():
    # t = tau ln(ic / (ic - 1)): dt/dic = -tau / (ic (ic - 1)), dt/dtau = t / tau.
    ic, tau = np.array([1.9, 3.0]), np.array([10.0, 12.0])
    found = fd.gradient(first_lif_spike, {"ic": ic, "tmem": tau})
    outer = np.array([1.0, 2.0])
    exact = {
        "ic": -outer * tau / (ic * (ic - 1)),
        "tmem": outer * np.log(ic / (ic - 1)),
    }
    for name, value in exact.items():
        assert fd.relative_error(value, found.value[name]) < 1e-10
        assert np.all(np.abs(found.value[name] - value) <= found.error[name])


def test_differences_of_a_qif_spike():
    # t = tau / w (pi / 2 + atan(1 / (2 w))), w = sqrt(ic - 1/4), dw/dic = 1 / (2 w).
    tau, ic = 10.0, 2.0
    w = np.sqrt(ic - 0.25)
    dt_dw = -tau / w**2 * (np.pi / 2 + np.arctan(0.5 / w))
    dt_dw -= tau / w * 0.5 / (w**2 + 0.25)

    def first_spike(params):
        trace = qif.simulate([[0.0]], tsyn=5.0, t_max=30.0, stop_after=[0], **params)
        return trace.times[0], trace.events

    found = fd.gradient(
        first_spike, {"ic": np.array(ic), "tmem": np.array(tau)}, noise=fd.ODE_NOISE
    )
    assert found.value["ic"] == pytest.approx(dt_dw / (2 * w), rel=1e-9)


@pytest.mark.parametrize(
    ("model", "size", "noise", "tolerance"),
    [
        (lif, 1.5, fd.LIF_NOISE, 1e-9),
        pytest.param(qif, 15.0, fd.ODE_NOISE, 1e-8, marks=pytest.mark.slow),
    ],
)
def test_entries_add_up_to_the_directional_derivative(model, size, noise, tolerance):
    params = random_network(2, n=2, m=1, size=size)
    rng = np.random.default_rng(0)

    def loss(p):
        trace = model.simulate(**p, t_max=40.0)
        return float(np.sin(trace.times / 10.0).sum()), trace.events

    assert len(loss(params)[1]) >= 8
    names = ("weights", "in_spike_times", "tsyn")
    every = {name: np.ones(params[name].shape, bool) for name in names}
    found = fd.gradient(loss, params, entries=every, noise=noise)
    direction = {name: rng.normal(size=params[name].shape) for name in names}
    along = fd.directional(loss, params, direction, noise=noise)
    total = sum(float((found.value[n] * direction[n]).sum()) for n in names)
    assert along.value == pytest.approx(total, rel=tolerance)


def test_chosen_entries_and_padding():
    params = {"x": np.array([[1.0, 2.0], [3.0, np.inf]]), "y": np.array([2.0])}

    def product(p):
        finite = p["x"][np.isfinite(p["x"])]
        return float(finite.prod() * p["y"][0] ** 3), ()

    found = fd.gradient(product, params, entries={"x": [(0, 1), (1, 1)]})
    np.testing.assert_allclose(found.value["x"], [[np.nan, 24.0], [np.nan, 0.0]])
    assert set(found.value) == {"x"}
    mask = np.array([[False, True], [False, True]])
    assert fd.relative_error(found.value["x"], found.value["x"], mask) == 0.0
    assert np.isnan(fd.relative_error(found.value["x"], found.value["x"]))


def test_the_step_shrinks_until_the_order_holds():
    sizes = []

    def bent(p):  # smooth within 1e-3 only
        x = float(p["x"])
        sizes.append(abs(x - 1.0))
        return x**2 + 100.0 * max(0.0, x - 1.001), x < 1.001

    found = fd.gradient(bent, {"x": np.array(1.0)})
    assert max(sizes) > 1e-3
    assert found.value["x"] == pytest.approx(2.0, abs=1e-9)


def test_a_change_of_order_at_every_step_is_an_error():
    def tied(p):  # two neurons that are equal but for the perturbation
        trace = lif.simulate(np.zeros((2, 2)), p["ic"], tmem=10.0, tsyn=5.0, t_max=9.0)
        return trace.times.sum(), trace.spike_order

    with pytest.raises(fd.SpikeOrderError, match=r"changes within .* of ic\[0\]"):
        fd.gradient(tied, {"ic": np.array([2.0, 2.0])})


def test_relative_error():
    assert fd.relative_error(np.array([3.0, 4.0]), np.array([3.0, 4.5])) == 0.1
    assert fd.relative_error(np.zeros(2), np.zeros(2)) == 0.0
    assert fd.relative_error(np.zeros(2), np.ones(2)) == np.inf
