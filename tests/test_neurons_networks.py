"""Networks of models with trainable constants, subclasses, and cases at the edge."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow
from oracle import finite_differences as fd
from oracle import lif, neurons, qif
from samples import largest_gap, random_params

from eventax import EvNN
from eventax.neuron_models import ALIF, AMOS, EIF, LIF, PLIF, PQIF, Izhikevich

pytestmark = pytest.mark.usefixtures("x64")

F32, F64 = jnp.float32, jnp.float64
N, M, T_MAX, RANK = 3, 2, 40.0, 6
TMEM = np.array([10.0, 10.0, 20.0])
TSYN = np.array([5.0, 10.0, 20.0 * (1 + 1e-7)])  # different, equal, nearly equal


def sample(size):
    (weights,), (ic,), (inputs,) = random_params((4,), n=N, m=M, size=size)
    return weights, ic, inputs


# Trainable time constants -------------------------------------------------------------

PARAMETRIC = {
    "PLIF": (PLIF, lif.simulate, 1.5, {"thresh": 1.0}, fd.LIF_NOISE, 1e-6),
    # The flow's own error, default tolerance.
    "PQIF": (PQIF, qif.simulate, 15.0, {}, fd.ODE_NOISE, 1e-4),
}


@pytest.mark.parametrize("name", PARAMETRIC)
@pytest.mark.parametrize("shared", [True, slow(False)])
def test_gradients_by_time_constants(name, shared):
    model, simulate, size, constants, noise, tolerance = PARAMETRIC[name]
    weights, ic, inputs = sample(size)
    tmem, tsyn = ([TMEM[:1], TMEM[:1]]) if shared else (TMEM, TSYN)
    logs = {"log_tmem": np.log(tmem), "log_tsyn": np.log(tsyn)}

    def truth(logs):
        taus = {k[4:]: np.exp(v) for k, v in logs.items()}
        fixed = {} if model is PQIF else constants
        trace = simulate(weights, ic, inputs, **taus, **fixed, t_max=T_MAX)
        return trace.times[RANK], trace.events

    wanted = fd.gradient(truth, logs, noise=noise, rtol=1e-8)
    net = EvNN(
        model,
        N,
        T_MAX,
        M,
        dtype=F64,
        max_event_steps=200,
        init_weights=weights,
        init_bias=ic,
        init_tmem=tmem,
        init_tsyn=tsyn,
        shared_time_constants=shared,
        **constants,
    )

    @jax.jit
    @jax.vmap
    def gradient(scale):
        """Of a batch: time constants of each sample are traced."""

        def loss(leaves):
            where = lambda n: [getattr(n.neuron_model, k) for k in logs]  # noqa: E731
            changed = eqx.tree_at(where, net, [leaves[k] for k in logs])
            return changed.record(inputs)[0][RANK]

        return jax.grad(loss)({k: v + scale for k, v in logs.items()})

    found = gradient(jnp.array([0.0, 0.01]))
    for leaf, value in wanted.value.items():
        size = np.abs(value).max() + 1
        np.testing.assert_allclose(found[leaf][0], value, atol=tolerance * size)
        assert not np.any(found[leaf][0] == found[leaf][1])


# Subclasses of models that are simulated in another coordinate ------------------------


class OtherJumps(EIF):
    def input_spike(self, y, from_idx, to_idx, valid_mask):
        y = super().input_spike(y, from_idx, to_idx, valid_mask)
        return super().input_spike(y, from_idx, to_idx, valid_mask)

    def reset_spiked(self, y, spiked_mask):
        v = jnp.where(spiked_mask, -0.5, y[:, 0])
        return jnp.stack([v, y[:, 1]], axis=1)


class OtherMotion(EIF):
    def dynamics(self, t, y, args):
        return super().dynamics(t, y, args) + jnp.array([0.02, 0.0], y.dtype)

    def spike_condition(self, t, y, **kwargs):
        return y[:, 0] - 1.9


class OtherCurve(Izhikevich):
    def reset_spiked(self, y, spiked_mask):
        return jnp.where(spiked_mask[:, None], y + jnp.array([-80.0, 4.0, 0.0]), y)


TAUS = {"tmem": 10.0, "tsyn": 5.0}
SUBCLASSES = {
    "EIF, other jumps": (
        OtherJumps,
        TAUS,
        lambda w, ic: neurons.eif(2 * w, ic, **TAUS, vreset=-0.5),
        3.0,
    ),
    "EIF, other motion": (
        OtherMotion,
        {**TAUS, "spike_time_tol": None},
        lambda w, ic: neurons.eif(
            w, ic + 0.02 * 10.0, **TAUS, spike_time_tol=None, v_peak=1.9
        ),
        6.0,
    ),
    "Izhikevich, other reset": (
        OtherCurve,
        {},
        lambda w, ic: neurons.izhikevich(w, ic, c=-50.0, d=4.0),
        10.0,
    ),
}


@pytest.mark.parametrize("name", SUBCLASSES)
def test_subclasses(name):
    model, constants, population, size = SUBCLASSES[name]
    weights, ic, inputs = sample(size)
    if model is OtherCurve:
        ic = 10 * ic
        constants = {"c": -50.0, **constants}
    trace = neurons.simulate(population(weights, ic), inputs, t_max=T_MAX)
    assert len(trace.times) >= 8
    net = EvNN(
        model,
        N,
        T_MAX,
        M,
        dtype=F64,
        init_weights=weights,
        init_bias=ic,
        **constants,
    )
    assert largest_gap(net.record(inputs), trace) < 1e-5


# At the edge --------------------------------------------------------------------------


def test_a_jump_over_an_adaptive_threshold():
    """v jumps to 3.5 over b = 1: spikes at once until v < b, which is after two."""
    constants = {"tmem": 10.0, "ta": 20.0, "b0": 1.0, "beta": 20.0, "init_bias": 0.0}
    for preserve, spikes in ((True, [2.0, 2.0]), (False, [2.0])):
        net = EvNN(
            ALIF,
            1,
            9.0,
            1,
            wmask=[[0], [1]],
            init_weights=3.5,
            dtype=F64,
            reset_grad_preserve=preserve,
            **constants,
        )
        found = net.spikes_until_t([[2.0]], 9.0, 4)[0]
        np.testing.assert_array_equal(found[: len(spikes)], spikes)
        assert np.all(np.isinf(found[len(spikes) :]))
        # 3.5 - 1 - 2 is kept; b rises by 1 at each spike.
        state = [[0.5, 3.0]] if preserve else [[0.0, 2.0]]
        np.testing.assert_allclose(net.state_at_t([[2.0]], [2.0])[0], state)


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("model", [LIF, ALIF])
def test_a_potential_that_only_tends_to_threshold(model, dtype):
    """It is there to within rounding after 40 time constants, but never above."""
    own = {"thresh": 1.0, "tsyn": 5.0}
    own = own if model is LIF else {"ta": 5.0, "b0": 1.0, "beta": 1.0}
    net = EvNN(
        model,
        1,
        4000.0,
        0,
        dtype=dtype,
        init_weights=0.0,
        init_bias=1.0,
        tmem=10.0,
        **own,
    )
    assert net.ttfs(None)[0] == np.inf


def test_a_potential_that_starts_level():
    """v' is 0 at first, as the input cancels the bias; v rises as the input decays."""
    constants = {"thresh": 1.0, "tmem": 10.0, "tsyn": 5.0}
    weights, ic, inputs = np.array([[0.0], [-1.5]]), np.array([1.5]), np.zeros((1, 1))
    net = EvNN(
        LIF, 1, 90.0, 1, dtype=F64, init_weights=weights, init_bias=ic, **constants
    )
    trace = lif.simulate(weights, ic, inputs, **constants, t_max=90.0)
    assert largest_gap(net.record(inputs), trace) < 1e-12
    assert len(trace.times) > 2


# Two programs, which are rounded alike if they are compiled as users do it.
@pytest.mark.parametrize(
    ("model", "drive", "rtol"),
    [(EIF, 2.0, 1e-6), slow(EIF, 2.0, 0), slow(Izhikevich, 20.0, 0)],
)
def test_a_neuron_that_may_not_fire_goes_beyond_infinity(model, drive, rtol):
    own = TAUS if model is EIF else {}
    build = lambda cls: EvNN(  # noqa: E731
        cls, 1, 200.0, 0, init_weights=0.0, init_bias=drive, **own
    )
    once, often = build(AMOS(model)), build(model)
    first = often.ttfs(None)[0]
    assert len(np.unique(often.spikes_until_t(None, 200.0))) > 5
    found = once.spikes_until_t(None, 200.0, 3)[0]
    np.testing.assert_allclose(found, [first, np.inf, np.inf], rtol=rtol)
    assert np.all(np.isfinite(once.state_at_t(None, [100.0, 200.0])))
