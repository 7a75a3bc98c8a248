"""Constructors of the built-in models: names, what is drawn, leaves, starts, errors."""

import inspect
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eventax import EvNN
from eventax._static import Constant
from eventax.neuron_models import (
    ALIF,
    EGRU,
    EIF,
    LIF,
    PLIF,
    PQIF,
    QIF,
    Izhikevich,
    pIzhikevich,
)

KEY = jax.random.PRNGKey(7)
N, M = 4, 3
MASK = np.array(
    [[0, 1, 1, 0]] * 2 + [[1, 0, 0, 1]] * 2 + [[1, 1, 0, 1], [0, 1, 0, 0], [0, 0, 1, 1]]
)
REQUIRED = inspect.Parameter.empty
BUILD = dict.fromkeys(("key", "n_neurons", "in_size", "wmask"), REQUIRED)
TIMES = {
    "init_tmem": None,
    "init_tsyn": None,
    "tmem_low": None,
    "tmem_high": None,
    "tsyn_low": None,
    "tsyn_high": None,
    "shared_time_constants": True,
    "fan_in_mode": None,
    "dtype": jnp.float32,
}
WEIGHTS = {"wlim": None, "init_weights": None, "positive_weights": True}
BIAS = {"blim": None, "init_bias": None, "positive_bias": True}
IZHIKEVICH = {
    "a": 0.02,
    "b": 0.2,
    "c": -51.0,
    "d": 2.0,
    "v_thresh": 30.0,
    "tau_syn": 5.0,
}
MEANS = {"wmean": None, "bmean": None}
SIGNATURES = {
    PLIF: (
        {
            **BUILD,
            "thresh": REQUIRED,
            "vreset": 0.0,
            **WEIGHTS,
            **BIAS,
            **TIMES,
            "reset_grad_preserve": True,
        },
        MEANS,
    ),
    PQIF: ({**BUILD, **BIAS, **WEIGHTS, **TIMES}, {**MEANS, "flow_tolerance": None}),
    ALIF: (
        {
            **BUILD,
            **dict.fromkeys(("tmem", "ta", "b0", "beta"), REQUIRED),
            "rm": 1.0,
            **BIAS,
            **WEIGHTS,
            "dtype": jnp.float32,
            "reset_grad_preserve": True,
        },
        {},
    ),
    EIF: (
        {
            **BUILD,
            **dict.fromkeys(("tmem", "tsyn"), REQUIRED),
            "vT": 1.0,
            "deltaT": 0.2,
            "EL": 0.0,
            "vreset": 0.0,
            "blim": 0.05,
            "bmean": 0.025,
            "init_bias": None,
            "wlim": 40.0,
            "wmean": 20.0,
            "init_weights": None,
            "fan_in_mode": "linear",
            "v_peak": None,
            "spike_time_tol": 0.001,
            "dtype": jnp.float32,
            "reset_grad_preserve": False,
        },
        {},
    ),
    EGRU: (
        {
            **BUILD,
            "tsyn": 5.0,
            "tmem": 20.0,
            "thresh": 0.5,
            "bias_u_mean": -2.0,
            "bias_r_mean": 1.0,
            "bias_z_mean": 0.0,
            "bias_scale": 0.1,
            "weight_scale": 1.0,
            "weight_mean": 0.0,
            "dtype": jnp.float32,
        },
        {},
    ),
    Izhikevich: (
        {
            **BUILD,
            **IZHIKEVICH,
            "wlim": None,
            "wmean": 0.0,
            "init_weights": None,
            "blim": None,
            "bmean": 0.0,
            "init_bias": None,
            "fan_in_mode": None,
            "dtype": jnp.float32,
            "reset_grad_preserve": True,
        },
        {},
    ),
    pIzhikevich: (
        {
            **BUILD,
            **IZHIKEVICH,
            "shared_izhi_params": True,
            **WEIGHTS,
            **BIAS,
            "fan_in_mode": None,
            "dtype": jnp.float32,
            "reset_grad_preserve": False,
        },
        MEANS,
    ),
}
NEEDED = {
    LIF: {"thresh": 1.0, "tmem": 20.0, "tsyn": 5.0},
    PLIF: {"thresh": 1.0, "init_tmem": 20.0, "init_tsyn": 5.0},
    PQIF: {"init_tmem": 20.0, "init_tsyn": 5.0},
    ALIF: {"tmem": 20.0, "ta": 100.0, "b0": 1.0, "beta": 20.0},
    EIF: {"tmem": 20.0, "tsyn": 5.0},
    EGRU: {},
    Izhikevich: {},
    pIzhikevich: {},
}
GIVEN = {"init_weights": 2.0, "init_bias": 0.5}
FIXED = [PLIF, PQIF, ALIF, EIF, Izhikevich, pIzhikevich]


def build(model, **changes):
    """A model as a network builds it; a change to `...` leaves the keyword out."""
    given = {} if model is EGRU else GIVEN
    settings = {"key": None, "wmask": MASK, **NEEDED[model], **given} | changes
    settings = {k: v for k, v in settings.items() if v is not ...}
    return model(n_neurons=N, in_size=M, **settings)


def drawn(model, **changes):
    return build(model, key=KEY, init_weights=None, init_bias=None, **changes)


def fails(*words):
    return pytest.raises(
        ValueError, match="(?s)" + ".*".join(re.escape(w) for w in words)
    )


# Names, order, defaults ---------------------------------------------------------------


@pytest.mark.parametrize("model", SIGNATURES)
def test_constructors(model):
    wanted, extra = SIGNATURES[model]
    found = {p.name: p.default for p in inspect.signature(model).parameters.values()}
    assert list(found.items()) == [*wanted.items(), *extra.items()]


@pytest.mark.parametrize("model", [Izhikevich, pIzhikevich])
def test_izhikevichs_constants_are_keywords(model):
    kinds = {p.name: p.kind for p in inspect.signature(model).parameters.values()}
    only = {name for name, kind in kinds.items() if kind is kind.KEYWORD_ONLY}
    assert only == {*kinds} - {*BUILD}


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (PLIF, ["thresh", "vreset"]),
        (ALIF, ["tmem", "ta", "b0", "beta", "rm"]),
        (EIF, ["tmem", "tsyn", "vT", "deltaT", "EL", "vreset", "v_peak"]),
        (EGRU, ["tsyn", "tmem", "thresh"]),
        (Izhikevich, ["a", "b", "c", "d", "thresh", "tau_syn"]),
        (pIzhikevich, ["thresh", "tau_syn"]),
    ],
)
def test_constants(model, names):
    neuron = build(model, key=KEY)
    statics = {
        name for name, value in vars(neuron).items() if isinstance(value, Constant)
    }
    assert statics == {*names}
    for name in names:
        assert getattr(neuron, name).value.dtype == np.float32


def test_constants_of_each_neuron():
    each = np.arange(1.0, N + 1)
    assert np.array_equal(build(ALIF, beta=each).beta.value, each)
    assert np.array_equal(build(Izhikevich, v_thresh=each).thresh.value, each)
    neuron = build(EIF, tmem=each, deltaT=0.1 * each)
    np.testing.assert_allclose(
        neuron.v_peak.value, 1 - 0.1 * each * np.log(0.001 / each), rtol=1e-6
    )


# Leaves -------------------------------------------------------------------------------

PLAIN = {"weights": (N + M, N), "ic": (N,)}
LEAVES = {
    PLIF: {**PLAIN, "log_tmem": (1,), "log_tsyn": (1,)},
    PQIF: {**PLAIN, "log_tmem": (1,), "log_tsyn": (1,)},
    ALIF: PLAIN,
    EIF: PLAIN,
    EGRU: {
        **dict.fromkeys(("W_u", "W_r", "W_z"), (N + M, N)),
        **dict.fromkeys(("b_u", "b_r", "b_z"), (N,)),
    },
    Izhikevich: PLAIN,
    pIzhikevich: {**PLAIN, "log_a": (1,), "log_b": (1,), "c": (1,), "log_d": (1,)},
}


@pytest.mark.parametrize("model", LEAVES)
@pytest.mark.parametrize("shared", [True, False])
def test_leaves(model, shared):
    own = {PLIF: "shared_time_constants", PQIF: "shared_time_constants"}
    own = {**own, pIzhikevich: "shared_izhi_params"}
    neuron = build(model, key=KEY, **({own[model]: shared} if model in own else {}))
    shapes = {
        name: (N,) if shape == (1,) and not shared else shape
        for name, shape in LEAVES[model].items()
    }
    found = {k: v.shape for k, v in vars(neuron).items() if isinstance(v, jax.Array)}
    assert found == shapes
    leaves = jax.tree.leaves(neuron)
    assert len(leaves) == len(shapes)
    assert all(eqx.is_inexact_array(leaf) for leaf in leaves)
    assert all(leaf.dtype == jnp.float32 for leaf in leaves)


@pytest.mark.parametrize("model", LEAVES)
def test_equal_settings_are_one_program(model):
    one, other = (build(model, key=KEY) for _ in range(2))
    assert jax.tree.structure(one) == jax.tree.structure(other)
    assert hash(jax.tree.structure(one)) == hash(jax.tree.structure(other))


# What is drawn ------------------------------------------------------------------------


@pytest.mark.parametrize("model", FIXED)
def test_no_key_where_nothing_is_random(model):
    neuron = build(model)
    np.testing.assert_array_equal(neuron.weights, 2.0 * MASK)
    np.testing.assert_array_equal(neuron.ic, [0.5] * N)


SIGNED = [PLIF, PQIF, ALIF, pIzhikevich]


def wide(model, **changes):
    """Many weights, to see their range."""
    settings = {**NEEDED[model], **changes}
    return model(
        key=KEY, n_neurons=200, in_size=0, wmask=np.ones((200, 200)), **settings
    )


def in_range(values, low, high):
    assert values.min() >= low
    assert values.max() <= high
    reach = 0.05 * (high - low)
    assert values.min() < low + reach
    assert values.max() > high - reach


@pytest.mark.parametrize("model", SIGNED)
def test_positive_or_of_either_sign(model):
    limits = {"wlim": 4.0, "blim": 0.5}
    neuron = wide(model, **limits)
    in_range(neuron.weights, 0.0, 4.0)
    in_range(neuron.ic, 0.0, 0.5)
    neuron = wide(model, positive_weights=False, positive_bias=False, **limits)
    in_range(neuron.weights, -2.0, 2.0)
    in_range(neuron.ic, -0.25, 0.25)


@pytest.mark.parametrize("model", [PLIF, PQIF, pIzhikevich])
@pytest.mark.parametrize("positive", [True, False])
def test_means_that_are_given_win(model, positive):
    signs = {"positive_weights": positive, "positive_bias": positive}
    neuron = wide(model, wlim=4.0, blim=0.5, wmean=1.0, bmean=-2.0, **signs)
    in_range(neuron.weights, -1.0, 3.0)
    in_range(neuron.ic, -2.25, -1.75)


def test_defaults_of_eif():
    neuron = wide(EIF)
    in_range(neuron.weights, 0.0, 40.0 / 200)  # 1/fan-in
    in_range(neuron.ic, 0.0, 0.05)


def test_izhikevich_draws_around_its_means():
    neuron = wide(Izhikevich, wlim=4.0, blim=2.0, bmean=10.0)
    in_range(neuron.weights, -2.0, 2.0)
    in_range(neuron.ic, 9.0, 11.0)


@pytest.mark.parametrize("model", SIGNED)
def test_the_mask_is_multiplied_in(model):
    weights = drawn(model, wlim=4.0, blim=0.5).weights
    np.testing.assert_array_equal(weights != 0, MASK == 1)


@pytest.mark.parametrize("model", [PLIF, PQIF, Izhikevich, pIzhikevich, EIF])
@pytest.mark.parametrize(("mode", "power"), [("linear", -1), ("sqrt", -0.5)])
def test_fan_in(model, mode, power):
    limits = {"wlim": 4.0, "blim": 0.5}
    plain = drawn(model, fan_in_mode=None, **limits).weights
    scaled = drawn(model, fan_in_mode=mode, **limits).weights
    np.testing.assert_allclose(
        scaled, plain * MASK.sum(0, dtype=float) ** power, rtol=1e-6
    )


@pytest.mark.parametrize("model", [PLIF, PQIF])
def test_time_constants_that_are_given(model):
    neuron = build(model)
    np.testing.assert_allclose(np.exp(neuron.log_tmem), [20.0], rtol=1e-6)
    np.testing.assert_allclose(np.exp(neuron.log_tsyn), [5.0], rtol=1e-6)
    neuron = build(model, init_tsyn=[5.0])
    np.testing.assert_allclose(np.exp(neuron.log_tsyn), [5.0], rtol=1e-6)
    each = np.arange(1.0, N + 1)
    neuron = build(model, init_tsyn=each, shared_time_constants=False)
    np.testing.assert_allclose(np.exp(neuron.log_tmem), [20.0] * N, rtol=1e-6)
    np.testing.assert_allclose(np.exp(neuron.log_tsyn), each, rtol=1e-6)


@pytest.mark.parametrize("model", [PLIF, PQIF])
def test_time_constants_that_are_drawn(model):
    ranges = {"tmem_low": 10.0, "tmem_high": 30.0, "tsyn_low": 2.0, "tsyn_high": 3.0}
    either = {"init_tmem": None, "init_tsyn": None, **ranges}
    neuron = wide(model, shared_time_constants=False, **either, **GIVEN)
    in_range(np.exp(neuron.log_tmem), 10.0, 30.0)
    in_range(np.exp(neuron.log_tsyn), 2.0, 3.0)
    one = wide(model, **either, **GIVEN)
    assert 10.0 <= np.exp(one.log_tmem[0]) <= 30.0
    # Weights do not depend on whether time constants are drawn.
    limits = {"wlim": 4.0, "blim": 0.5}
    one, other = drawn(model, **limits, **either), drawn(model, **limits)
    np.testing.assert_array_equal(one.weights, other.weights)
    np.testing.assert_array_equal(one.ic, other.ic)
    assert one.log_tmem[0] != other.log_tmem[0]


def test_plif_draws_the_weights_of_a_lif():
    limits = {"wlim": 4.0, "blim": 0.5}
    signs = {"positive_weights": False, "positive_bias": False}
    one, other = drawn(PLIF, **signs, **limits), drawn(LIF, **limits)
    np.testing.assert_array_equal(one.weights, other.weights)
    np.testing.assert_array_equal(one.ic, other.ic)


def test_egru_is_normally_distributed():
    neuron = wide(EGRU, weight_scale=2.0, weight_mean=1.0)
    matrices = [neuron.W_u, neuron.W_r, neuron.W_z]
    for weights in matrices:
        # 40,000 values: the mean is off by 0.01, the deviation by 0.007.
        np.testing.assert_allclose(weights.mean(), 1.0, atol=0.05)
        np.testing.assert_allclose(weights.std(), 2.0, atol=0.04)
    assert not np.array_equal(neuron.W_u, neuron.W_r)
    assert not np.array_equal(neuron.W_u, neuron.W_z)
    for bias, mean in ((neuron.b_u, -2.0), (neuron.b_r, 1.0), (neuron.b_z, 0.0)):
        np.testing.assert_allclose(bias.mean(), mean, atol=0.03)
        np.testing.assert_allclose(bias.std(), 0.1, atol=0.03)
    masked = build(EGRU, key=KEY)
    for name in ("W_u", "W_r", "W_z"):
        np.testing.assert_array_equal(getattr(masked, name) != 0, MASK == 1)


def test_egru_without_scales_needs_no_key():
    neuron = build(EGRU, weight_scale=0.0, bias_scale=0, weight_mean=3.0)
    np.testing.assert_array_equal(neuron.W_z, 3.0 * MASK)
    np.testing.assert_array_equal(neuron.b_r, [1.0] * N)


# Parameters with a meaning of their own -----------------------------------------------


def test_where_an_eif_spikes():
    by_tolerance = 1 - 0.2 * np.log(0.001 / 20)
    np.testing.assert_allclose(build(EIF).v_peak.value, by_tolerance, rtol=1e-6)
    assert build(EIF, spike_time_tol=None).v_peak.value == np.float32(2.0)
    given = build(EIF, spike_time_tol=None, v_peak=1.5, vT=0.5)
    assert given.v_peak.value == np.float32(1.5)


def test_trainable_izhikevich():
    neuron = build(pIzhikevich, a=0.1, b=0.25, c=-65.0, d=8.0)
    a, b, c, d = (np.asarray(x) for x in neuron._constants())
    np.testing.assert_allclose([a, b, c, d], [[0.1], [0.25], [-65.0], [8.0]], rtol=1e-6)
    each = np.linspace(1.0, 2.0, N)
    neuron = build(pIzhikevich, d=each, shared_izhi_params=False)
    np.testing.assert_allclose(np.exp(neuron.log_d), each, rtol=1e-6)


STARTS = {
    PLIF: ({}, [0, 0]),
    PQIF: ({}, [0.5, 0]),
    ALIF: ({"b0": 1.5}, [0, 1.5]),
    EIF: ({"EL": -0.5}, [-0.5, 0]),
    EGRU: ({"key": KEY}, [0, 0, 0, 0]),
    Izhikevich: ({"c": -60.0, "b": 0.25}, [-60, -15, 0]),
    pIzhikevich: ({"c": -60.0, "b": 0.25}, [-60, -15, 0]),
}


@pytest.mark.parametrize("model", STARTS)
def test_starts(model):
    changes, wanted = STARTS[model]
    y = build(model, **changes).init_state(N)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, np.tile(wanted, (N, 1)), rtol=1e-6)


# Errors -------------------------------------------------------------------------------


@pytest.mark.parametrize("model", FIXED)
@pytest.mark.parametrize(
    ("name", "limit"), [("init_weights", "wlim"), ("init_bias", "blim")]
)
def test_what_is_drawn_needs_a_width_and_a_key(model, name, limit):
    with fails(f"`{name}`", f"`{limit}`"):
        build(model, **{name: None, limit: None})
    with fails("`key`", f"`{name}`"):
        build(model, **{name: None, limit: 1.0})


def test_egru_needs_a_key():
    with fails("`key`", "`weight_scale` is 1.0", "`weight_scale=0`"):
        build(EGRU)
    with fails("`key`", "`bias_scale` is 0.1"):
        build(EGRU, weight_scale=0)
    with fails("`bias_scale`", "not negative", "-1"):
        build(EGRU, key=KEY, bias_scale=-1)


@pytest.mark.parametrize("model", [PLIF, PQIF])
@pytest.mark.parametrize("name", ["tmem", "tsyn"])
def test_a_time_constant_is_given_or_drawn(model, name):
    given, low, high = f"init_{name}", f"{name}_low", f"{name}_high"
    for only in (low, high):
        with fails(f"`{given}`", f"`{low}` and `{high}` must be given", f"{only}=1.0"):
            build(model, **{given: None, only: 1.0})
    for pair in ((0.0, 1.0), (2.0, 1.0), (1.0, np.inf), (np.nan, 1.0)):
        with fails(f"`{low}` must be positive", f"`{high}`", f"{low}={pair[0]}"):
            build(model, key=KEY, **{given: None, low: pair[0], high: pair[1]})
    with fails("`key`", f"`{given}`"):
        build(model, **{given: None, low: 1.0, high: 2.0})
    for value in (0.0, -1.0):
        with fails(f"`{given}` must be positive", str(value)):
            build(model, **{given: value})
    with fails(f"`{given}` must be a scalar", "share", f"({N},)"):
        build(model, **{given: np.ones(N)})
    with fails(f"`{given}` must be a scalar or have shape ({N},)", f"({N + 1},)"):
        build(model, shared_time_constants=False, **{given: np.ones(N + 1)})


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (ALIF, ["tmem", "ta"]),
        (EIF, ["tmem", "tsyn", "deltaT", "spike_time_tol"]),
        (EGRU, ["tsyn", "tmem", "thresh"]),
        (Izhikevich, ["tau_syn"]),
        (pIzhikevich, ["tau_syn", "a", "b", "d"]),
    ],
)
def test_what_must_be_positive(model, names):
    for name in names:
        for value in (0.0, -1.0):
            with fails(f"`{name}` must be positive", str(value)):
                build(model, key=KEY, **{name: value})


@pytest.mark.parametrize(
    ("model", "changes", "words"),
    [
        (PLIF, {"vreset": 1.0}, ("`vreset` must be below `thresh`",)),
        (EIF, {"vreset": 3.0}, ("`vreset` must be below `v_peak`", "vreset=", "2.98")),
        (Izhikevich, {"c": 30.0}, ("`c` must be below `v_thresh`", "30")),
        (pIzhikevich, {"c": 31.0}, ("`c` must be below `v_thresh`", "31")),
        (ALIF, {"b0": -1.0}, ("`b0` + `beta`/`ta`", "positive", "b0=", "ta=")),
    ],
)
def test_a_reset_takes_the_neuron_below_threshold(model, changes, words):
    with fails(*words):
        build(model, **changes)


def test_an_eif_has_one_peak():
    with fails("`v_peak`", "`spike_time_tol`", "v_peak=2.0", "`spike_time_tol=None`"):
        build(EIF, v_peak=2.0)


@pytest.mark.parametrize("model", [Izhikevich, pIzhikevich])
def test_constants_are_not_none(model):
    for name in ("a", "b", "c", "d"):
        with fails(f"`{name}` must be given"):
            build(model, **{name: None})


def test_parameters_of_each_neuron_must_not_be_shared():
    with fails("`d` must be a scalar", "share", f"({N},)"):
        build(pIzhikevich, d=np.ones(N))


def test_a_network_takes_their_keywords():
    """Through EvNN, which checks the model's methods by their shapes."""
    for model in NEEDED:
        given = {} if model is EGRU else GIVEN
        net = EvNN(model, N, 10.0, M, key=KEY, wmask=MASK, **NEEDED[model], **given)
        assert isinstance(net.neuron_model, model)
        assert not isinstance(net.neuron_model, QIF)
