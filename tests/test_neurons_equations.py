"""Each model's methods against the oracle's equations, in either of its coordinates."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import neurons as oracle

from eventax.neuron_models import (
    ALIF,
    EGRU,
    EIF,
    PLIF,
    PQIF,
    Izhikevich,
    pIzhikevich,
)

pytestmark = pytest.mark.usefixtures("x64")

N, M, T = 4, 3, np.zeros(())
RNG = np.random.default_rng(11)
W, IC = RNG.normal(size=(N + M, N)), RNG.normal(size=N)
TMEM, TSYN = np.array([5.0, 10.0, 20.0, 7.0]), np.array([5.0, 2.0, 8.0, 7.0])
TAUS = {"tmem": TMEM, "tsyn": TSYN}
P_TAUS = {"init_tmem": TMEM, "init_tsyn": TSYN, "shared_time_constants": False}
LIMITS = {"thresh": np.array([1.0, 0.8, 1.2, 2.0]), "vreset": np.linspace(-1, 0, N)}
ADAPTS = {"tmem": TMEM, "ta": TSYN, "b0": 1.0, "beta": TMEM / 10, "rm": 1 + TSYN / 10}
EXPONENTIAL = {
    **TAUS,
    "vT": np.array([1.0, 0.8, 1.0, -0.2]),
    "deltaT": np.array([0.2, 0.1, 0.5, 0.2]),
    "EL": np.array([0.0, -0.2, 0.1, -1.0]),
    "vreset": np.linspace(-1.0, -0.2, N),
}
QUADRATIC = {
    "a": np.array([0.02, 0.1, 0.02, 0.05]),
    "b": np.array([0.2, 0.25, 0.1, 0.2]),
    "c": np.array([-65.0, -50.0, -55.0, -51.0]),
    "d": np.array([8.0, 2.0, 4.0, 0.05]),
    "v_thresh": np.array([30.0, 25.0, 30.0, 40.0]),
    "tau_syn": TSYN,
}
GATES = {k: RNG.normal(size=(N + M, N)) for k in ("W_u", "W_r", "W_z")}
GATES |= {k: RNG.normal(size=N) for k in ("b_u", "b_r", "b_z")}

# Class, keywords, the oracle's population, range of each state channel.
LIF_CHANNELS, EIF_CHANNELS = [(-1, 3), (-3, 3)], [(-3, 0.8), (-3, 3)]
CURVED_CHANNELS = [(-90, 25), (-20, 20), (-30, 30)]
CASES = {
    "PLIF": (
        PLIF,
        {**P_TAUS, **LIMITS, "reset_grad_preserve": False},
        oracle.lif(W, IC, **TAUS, **LIMITS),
        LIF_CHANNELS,
    ),
    "PQIF": (PQIF, P_TAUS, oracle.qif(W, IC, **TAUS), [(0, 1), (-3, 3)]),
    "ALIF": (ALIF, ADAPTS, oracle.alif(W, IC, **ADAPTS), [(-1, 3), (1, 3)]),
    "ALIF, written": (
        ALIF,
        {**ADAPTS, "reset_grad_preserve": False},
        oracle.alif(W, IC, **ADAPTS, preserve=False),
        [(-1, 3), (1, 3)],
    ),
    "EIF": (EIF, EXPONENTIAL, oracle.eif(W, IC, **EXPONENTIAL), EIF_CHANNELS),
    "Izhikevich": (
        Izhikevich,
        {**QUADRATIC, "reset_grad_preserve": False},
        oracle.izhikevich(W, IC, **QUADRATIC),
        CURVED_CHANNELS,
    ),
    "pIzhikevich": (
        pIzhikevich,
        {**QUADRATIC, "shared_izhi_params": False},
        oracle.izhikevich(W, IC, **QUADRATIC),
        CURVED_CHANNELS,
    ),
    "EGRU": (
        EGRU,
        {"tsyn": TSYN, "tmem": TMEM, "thresh": 0.3},
        oracle.egru(**GATES, tsyn=TSYN, tmem=TMEM, thresh=0.3),
        [(-1, 1)] * 4,
    ),
}
IN_COORDINATES = ["EIF", "Izhikevich", "pIzhikevich"]


def build(model, dtype=jnp.float64, **settings):
    given = {} if issubclass(model, EGRU) else {"init_weights": W, "init_bias": IC}
    neuron = model(
        key=jax.random.PRNGKey(0),
        n_neurons=N,
        in_size=M,
        wmask=np.ones((N + M, N)),
        dtype=dtype,
        **{**given, **settings},
    )
    if issubclass(model, EGRU):
        leaves = lambda m: [getattr(m, name) for name in GATES]  # noqa: E731
        values = [jnp.asarray(x, dtype) for x in GATES.values()]
        neuron = eqx.tree_at(leaves, neuron, values)
    return neuron


def states(channels, count=20):
    rng = np.random.default_rng(3)
    low, high = np.array(channels, float).T
    return rng.uniform(low, high, (count, N, len(channels)))


@pytest.fixture(params=CASES)
def case(request, x64):
    """The model, the oracle, and states (20, N, S)."""
    model, settings, population, channels = CASES[request.param]
    return build(model, **settings), population, jnp.asarray(states(channels))


def test_start_and_motion(case):
    neuron, population, ys = case
    np.testing.assert_allclose(neuron.init_state(N), population.start, rtol=1e-14)
    found = jax.vmap(lambda y: neuron(jnp.zeros(()), y, None))(ys)
    truth = [population.dynamics(0.0, y) for y in np.asarray(ys)]
    np.testing.assert_allclose(found, truth, rtol=1e-11, atol=1e-13)
    found = jax.vmap(lambda y: neuron.spike_condition(T, y))(ys)
    truth = [population.gap(0.0, y) for y in np.asarray(ys)]
    np.testing.assert_allclose(found, truth, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_what_is_shown_of_a_quadratic_neuron(dtype):
    """V, of limited size at φ = 0 and φ = 1; a neuron in a pause goes on past φ = 1."""
    neuron = build(PQIF, **P_TAUS, dtype=dtype)
    phase = jnp.array([0, 1e-3, 0.5, 0.999, 1, 1.001, 1.2, 1.5], dtype)
    shown = neuron.observe(jnp.stack([phase, 2 * phase], axis=-1))
    truth = np.pi * np.tan(np.pi * (np.asarray(phase, float) - 0.5))
    eps = jnp.finfo(dtype).eps
    truth[[0, 4]] = -np.pi / eps, np.pi / eps
    # The steeper V is, the more a rounding of φ does.
    np.testing.assert_allclose(shown[:, 0], truth, rtol=1e4 * eps, atol=20 * eps)
    np.testing.assert_array_equal(shown[:, 1], 2 * phase)


def test_jumps(case):
    neuron, population, ys = case
    fired = np.array([True, False, True, False])
    for y in ys[:3]:
        truth = population.reset(population.reset(np.array(y), 0), 2)
        np.testing.assert_allclose(neuron.reset_spiked(y, fired), truth, rtol=1e-13)
        truth = np.array(y)
        truth[[3, 1]] = population.arrive(np.array(y), 5)[[3, 1]]
        to = jnp.array([3, 0, 1])
        valid = jnp.array([True, False, True])
        found = neuron.input_spike(y, 5, to, valid)
        np.testing.assert_allclose(found, truth, rtol=1e-13)
        one = neuron.input_spike(y, 5, 3, True)
        np.testing.assert_allclose(one[3], truth[3], rtol=1e-13)
        np.testing.assert_array_equal(one[:3], y[:3])


def test_the_engines_form_says_the_same(case):
    neuron, _, ys = case
    fired = jnp.array([True, False, True, False])
    for y in ys[:5]:
        z = neuron._unpack(y)
        np.testing.assert_allclose(neuron._pack(z), y, rtol=1e-8, atol=1e-12)
        y_dot = neuron.dynamics(T, y, None)
        _, truth = jax.jvp(neuron._unpack, (y,), (y_dot,))
        for found, wanted in zip(neuron._slope(T, z), truth, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)
        gaps = [neuron._gap(T, z), neuron.spike_condition(T, y)]
        far = abs(gaps[1]) > 1e-12
        np.testing.assert_array_equal(np.sign(gaps[0])[far], np.sign(gaps[1])[far])
        np.testing.assert_allclose(
            neuron._pack(neuron._fire(z, fired)),
            neuron.reset_spiked(y, fired),
            rtol=1e-8,
            atol=1e-12,
        )
        rows = [leaf[5] for leaf in neuron._weight_leaves()]
        found = neuron._pack(neuron.receive(z, jnp.asarray(5), rows, jnp.ones(N, bool)))
        truth = neuron.input_spike(y, 5, jnp.arange(N), jnp.ones(N, bool))
        np.testing.assert_allclose(found, truth, rtol=1e-8, atol=1e-12)


# Coordinates --------------------------------------------------------------------------


@pytest.mark.parametrize("name", IN_COORDINATES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_a_potential_survives_the_coordinate(name, dtype):
    model, settings, *_ = CASES[name]
    neuron = build(model, dtype, **settings)
    peak = np.broadcast_to(neuron._threshold(), (N,)).astype(float)
    for v in np.linspace(peak - (6 if model is EIF else 120), peak, 50):
        back = neuron._potential(neuron._coordinate(jnp.asarray(v, dtype)))
        # Near a spike V is the logarithm of a small s, which rounding changes.
        steep = (
            np.exp((v - neuron.vT.value) / neuron.deltaT.value) if model is EIF else 0
        )
        atol = jnp.finfo(dtype).eps * (1e3 + np.max(steep))
        np.testing.assert_allclose(back, v, rtol=0, atol=atol)
        assert jnp.all(
            neuron._coordinate(jnp.asarray(v - 0.1, dtype))
            < neuron._coordinate(jnp.asarray(v, dtype))
        )


@pytest.mark.parametrize("name", IN_COORDINATES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_beyond_infinity_a_neuron_moves_on(name, dtype):
    """One that may not fire, as in AMOS, or in the padding of a population."""
    model, settings, *_ = CASES[name]
    neuron = build(model, dtype, **settings)
    rest = [jnp.zeros(N, dtype)] * (1 if model is EIF else 2)
    infinity = 0.0 if model is EIF else 1.0
    for x in (infinity - 1e-30, infinity, infinity + 1e-8, infinity + 50.0):
        z = (jnp.full(N, x, dtype), *rest)
        slope = neuron._slope(T, z)
        assert all(np.isfinite(s).all() for s in slope)
        np.testing.assert_array_less(0, slope[0])
        assert np.isfinite(neuron._pack(z)).all()
        grads = jax.grad(lambda z: sum(map(jnp.sum, neuron._slope(T, z))))(z)
        assert all(np.isfinite(g).all() for g in grads)


# Found failing: where V is infinite to within rounding the motion of EIF had no
# derivative, and a stage of a step that ended there made 7 % of a gradient wrong.
@pytest.mark.parametrize("name", IN_COORDINATES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_the_motion_has_a_derivative_up_to_infinity(name, dtype):
    model, settings, *_ = CASES[name]

    def rate(x, dtype=dtype):
        neuron = build(model, dtype, **settings)
        rest = [jnp.ones(N, dtype)] * (1 if model is EIF else 2)
        return neuron._slope(T, (x, *rest))[0]

    infinity, h = (0.0, 1e-5) if model is EIF else (1.0, 1e-7)
    before = [rate(jnp.full(N, infinity - k * h), jnp.float64) for k in (0, 1)]
    wanted = (before[0] - before[1]) / h
    for back in (1e-6, 1e-7, 3e-8, 1e-8, 1e-9, 1e-30):
        x = jnp.full(N, infinity - back, dtype)
        x = jnp.minimum(x, np.nextafter(dtype(infinity), dtype(-1)))
        found = jax.jvp(rate, (x,), (jnp.ones(N, dtype),))[1]
        np.testing.assert_allclose(found, wanted, rtol=1e-2)


@pytest.mark.parametrize("name", IN_COORDINATES)
def test_the_coordinate_is_not_stiff(name):
    """Rates change slowly on the whole way up, unlike those of the potential."""
    model, settings, *_ = CASES[name]
    neuron = build(model, **settings)
    peak = np.broadcast_to(neuron._threshold(), (N,))
    rest = [jnp.zeros(N)] * (1 if model is EIF else 2)

    def stiffness(slope, x):
        rate = lambda x: slope((x, *rest))[0]  # noqa: E731
        return np.abs(jax.jvp(rate, (x,), (jnp.ones(N),))[1]).max()

    told = lambda z: neuron._derivative(*z)  # noqa: E731
    v = jnp.asarray(peak)
    slow = max(
        stiffness(lambda z: neuron._slope(T, z), neuron._coordinate(v - back))
        for back in np.linspace(0, 3 if model is EIF else 60, 200)
    )
    assert stiffness(told, v - 1e-9) > 3 * slow
    if model is EIF:
        # (v_peak - EL)/(ΔT τm), against exp((v_peak - vT)/ΔT)/τm = 1000.
        assert slow < 25 / TMEM.min()
        assert stiffness(told, v - 1e-9) > 900


def test_the_potential_does_not_overflow():
    neuron = build(EIF, jnp.float32, **TAUS)
    y = jnp.stack([jnp.array([3.0, 1e3, 1e30, -1e30]), jnp.zeros(N)], 1)
    assert np.isfinite(neuron.dynamics(T, y.astype(jnp.float32), None)).all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_a_qif_neuron_at_rest_is_at_0_exactly(dtype):
    neuron = build(PQIF, dtype, **P_TAUS)
    rest = jnp.stack([jnp.full(N, 0.5, dtype), jnp.zeros(N, dtype)], axis=-1)
    assert np.all(neuron.observe(rest) == 0)
    flow = neuron.flow()
    back = flow.leave(neuron, flow.enter(neuron, rest))
    np.testing.assert_array_equal(back, rest)
