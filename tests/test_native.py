"""The native core beside the engine in JAX: which one runs, batches, errors."""

import copy
import pickle
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import needs_native, slow
from populations import Case

from eventax import EvNN, FFEvNN
from eventax.adjoint import EventPropAdjoint
from eventax.neuron_models import (
    ALIF,
    AMOS,
    EIF,
    LI,
    LIF,
    PLIF,
    MultiNeuronModel,
    Refractory,
)

pytestmark = [pytest.mark.usefixtures("x64"), needs_native]
F32, F64 = jnp.float32, jnp.float64
N, M = 6, 3
RNG = np.random.default_rng(3)
WEIGHTS = 0.7 * RNG.normal(size=(N + M, N)) + 0.3
BIAS = RNG.uniform(0.8, 1.5, N)
CONSTANTS = {"thresh": 1.0, "tsyn": 5.0, "tmem": 10.0}
BOTH = pytest.mark.parametrize("engine", ["native", "jax"])


def network(engine="native", model=LIF, dtype=F64, **more):
    given = {"init_weights": WEIGHTS, "init_bias": BIAS} | CONSTANTS
    return EvNN(model, N, 30.0, M, dtype=dtype, engine=engine, **(given | more))


def inputs(seed, shape=()):
    return np.random.default_rng(seed).uniform(0, 25, (*shape, M, 4))


# Which engine -----------------------------------------------------------------------


@pytest.mark.usefixtures("unchecked")
def test_engine_is_one_of_three():
    with pytest.raises(ValueError, match="`engine` must be 'auto', 'native' or 'jax'"):
        network("cpp")


@pytest.mark.parametrize(
    ("model", "more", "reason"),
    [
        (EIF, {"thresh": None}, "EIF is another equation"),
        (LIF, {"solver": "Tsit5"}, "`solver` asks for numerical integration"),
        (LIF, {"adjoint": EventPropAdjoint()}, "another way back"),
        (
            Refractory(MultiNeuronModel),
            {
                **dict.fromkeys([*CONSTANTS, "init_weights", "init_bias"]),
                "t_refrac": 1.0,
                "neuron_models": [Refractory(LIF)],
                "neuron_model_kwargs": [
                    CONSTANTS | {"init_weights": 0.0, "init_bias": 0.0, "t_refrac": 2.0}
                ],
                "neuron_type_ids": np.zeros(2, int),
            },
            "one `Refractory` around a model",
        ),
        (
            Refractory(LIF),
            {"t_refrac": 1.0, "refrac_mask": (0, 1)},
            "drives one that it does not",
        ),
    ],
)
def test_native_where_it_cannot_says_why(model, more, reason):
    if "solver" in more:
        import diffrax

        more = {"solver": diffrax.Tsit5()}
    given = CONSTANTS | {"init_weights": 0.0, "init_bias": 0.0} | more
    given = {k: v for k, v in given.items() if v is not None}
    with pytest.raises(ValueError, match=reason):
        EvNN(model, 2, 10.0, 1, dtype=F64, engine="native", **given)


class Other(LIF):
    def spike_condition(self, t, y, **kwargs):
        return y[:, 0] - 2.0


class Shown(LIF):
    def observe(self, y):
        return y[..., :1]


def test_a_subclass_with_other_equations_runs_on_jax():
    given = CONSTANTS | {"init_weights": 0.0, "init_bias": 3.0}
    with pytest.raises(ValueError, match="Other overrides `spike_condition`"):
        EvNN(Other, 1, 50.0, 0, dtype=F64, engine="native", **given)
    net = EvNN(Other, 1, 50.0, 0, dtype=F64, **given)
    np.testing.assert_allclose(net.ttfs(None), 10 * np.log(3.0), rtol=1e-6)


def test_a_subclass_that_shows_its_state_otherwise_is_native():
    seen = network(model=Shown).state_at_t(inputs(0), [3.0, 7.0])
    assert seen.shape == (N, 2, 1)
    wanted = network().state_at_t(inputs(0), [3.0, 7.0])
    np.testing.assert_array_equal(seen[..., 0], wanted[..., 0])


def test_auto_is_native_here():
    jaxpr = str(jax.make_jaxpr(network("auto").ttfs)(inputs(0)))
    assert "eventax_forward" in jaxpr
    assert "eventax_forward" not in str(jax.make_jaxpr(network("jax").ttfs)(inputs(0)))


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))]
)
def test_a_copy_is_native_and_equal(copied):
    net = network()
    other = copied(net)
    assert jax.tree.structure(net) == jax.tree.structure(other)
    np.testing.assert_array_equal(net.ttfs(inputs(0)), other.ttfs(inputs(0)))


# Both engines -----------------------------------------------------------------------

QUESTIONS = {
    "ttfs": lambda net, x: net.ttfs(x),
    "trains": lambda net, x: net.spikes_until_t(x, 25.0, 6),
    "states": lambda net, x: net.state_at_t(x, jnp.array([20.0, 0.0, 3.0])),
    "record": lambda net, x: net.record(x)[0],
    "integral": lambda net, x: net.integral(x, 20.0),
    "highest": lambda net, x: net.max_over_time(x),
}
KINDS = {
    "LIF": {},
    "Refractory": {"model": Refractory(LIF), "t_refrac": 2.0},
    "delays": {"init_delays": RNG.uniform(0, 4, (N + M, N)), "max_event_steps": 3000},
    "ALIF": {
        "model": ALIF,
        "init_weights": 0.1 * WEIGHTS,
        **dict.fromkeys(["thresh", "tsyn"]),
        "ta": 30.0,
        "b0": 1.0,
        "beta": 5.0,
    },
}


def finite_sum(values):
    flat = jnp.where(jnp.isfinite(values), values, 0.0).reshape(-1)
    return jnp.sum(flat * jnp.cos(jnp.arange(flat.size)))


def kind(name, engine):
    more = {k: v for k, v in KINDS[name].items() if v is not None}
    if name == "ALIF":
        given = {"init_bias": BIAS + 0.3, "tmem": 10.0} | more
        model = given.pop("model")
        return EvNN(model, N, 30.0, M, dtype=F64, engine=engine, **given)
    return network(engine, **more)


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("name", ["LIF", *map(slow, list(KINDS)[1:])])
def test_both_engines_say_the_same(name, question):
    x = jnp.asarray(inputs(1))

    @eqx.filter_jit  # one program for both
    @eqx.filter_value_and_grad(has_aux=True)
    def loss(given):
        values = QUESTIONS[question](*given)
        return finite_sum(values), values

    found = {}
    for engine in ("native", "jax"):
        (_, values), slopes = loss((kind(name, engine), x))
        found[engine] = values, slopes
    pairs = zip(*map(jax.tree.leaves, found.values()), strict=True)
    for a, b in pairs:
        size = 1 + np.abs(np.where(np.isfinite(b), b, 0)).max()
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8 * size)


@pytest.mark.parametrize("engine", ["native", slow("jax")])
def test_leaves_of_another_type_are_taken_in_the_networks(engine):
    """As somebody puts them there: delays of a whole number, weights of NumPy's."""
    more = {"thresh": 1.0, "init_tsyn": 5.0, "init_tmem": 10.0, "wlim": 1.0}
    delays = {"init_bias": 1.2, "init_delays": 1.0, "init_axonal_delays": 2.0}
    key = jax.random.key(0)
    net = EvNN(PLIF, 2, 30.0, 1, key=key, dtype=F32, engine=engine, **more, **delays)
    leaves, static = eqx.partition(net, eqx.is_inexact_array)
    wide = jax.tree.map(lambda x: jnp.asarray(x, F64), leaves)
    x = jnp.array([[1.0, 2.0, 9.0]], F32)

    def loss(leaves):
        return finite_sum(eqx.combine(leaves, static).spikes_until_t(x, 25.0, 4))

    found = [jax.tree.leaves(jax.grad(loss)(x)) for x in (leaves, wide)]
    for a, b in zip(*found, strict=True):
        assert (a.dtype, b.dtype) == (F32, F64)
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
    whole = eqx.tree_at(lambda n: n.delays, net, jnp.ones((3, 2), int))
    np.testing.assert_array_equal(whole.ttfs(x), net.ttfs(x))


# What no other engine is asked to do: gradients of readouts and states by differences.


@pytest.mark.parametrize("question", ["states", "integral", "highest"])
@pytest.mark.parametrize("name", KINDS)
def test_gradients_of_readouts_are_differences(name, question):
    net, x = kind(name, "native"), jnp.asarray(inputs(2))
    # Weak, lest the order of spikes depends on the last digits.
    at = lambda n: n.neuron_model.weights  # noqa: E731
    if name != "Refractory":
        net = eqx.tree_at(at, net, 0.3 * at(net))
    leaves, static = eqx.partition(net, eqx.is_array)
    rng = np.random.default_rng(0)
    draw = lambda v: jnp.asarray(rng.normal(size=v.shape))  # noqa: E731
    moved = jax.tree.map(draw, (leaves, x))

    @jax.jit
    def at(step):
        p, times = jax.tree.map(lambda v, d: v + step * d, (leaves, x), moved)
        values = QUESTIONS[question](eqx.combine(p, static), times)
        return finite_sum(values), eqx.combine(p, static).record(times)[1]

    @jax.grad
    def slope(step):
        p, times = jax.tree.map(lambda v, d: v + step * d, (leaves, x), moved)
        return finite_sum(QUESTIONS[question](eqx.combine(p, static), times))

    h = 1e-6
    (low, before), (high, after) = at(-h), at(h)
    np.testing.assert_array_equal(before, after)
    np.testing.assert_allclose(slope(0.0), (high - low) / (2 * h), rtol=2e-4, atol=1e-4)


# Batches ----------------------------------------------------------------------------


def test_batches_of_inputs_of_parameters_and_of_both():
    net, x = network(), jnp.asarray(inputs(4, (3,)))
    one = [np.asarray(net.ttfs(sample)) for sample in x]
    np.testing.assert_array_equal(jax.vmap(net.ttfs)(x), one)
    many = jnp.stack([net.neuron_model.weights * s for s in (0.9, 1.0, 1.2)])

    def ttfs(weights, x):
        at = lambda n: n.neuron_model.weights  # noqa: E731
        return eqx.tree_at(at, net, weights).ttfs(x)

    rows = [[np.asarray(ttfs(w, sample)) for sample in x] for w in many]
    grid = jax.vmap(jax.vmap(ttfs, (None, 0)), (0, None))(many, x)
    np.testing.assert_array_equal(grid, rows)
    np.testing.assert_array_equal(
        jax.vmap(ttfs)(many, x), [rows[k][k] for k in range(3)]
    )


def test_gradients_of_a_batch():
    net, x = network(), jnp.asarray(inputs(5, (4,)))

    def loss(weights, x):
        at = lambda n: n.neuron_model.weights  # noqa: E731
        return finite_sum(eqx.tree_at(at, net, weights).record(x)[0][:20])

    weights = net.neuron_model.weights
    each = jnp.stack([jax.grad(loss)(weights, sample) for sample in x])
    np.testing.assert_allclose(jax.vmap(jax.grad(loss), (None, 0))(weights, x), each)
    total = jax.grad(lambda w: jnp.sum(jax.vmap(loss, (None, 0))(w, x)))(weights)
    np.testing.assert_allclose(total, each.sum(0), rtol=1e-12, atol=1e-12)
    many = jnp.stack([weights, 1.1 * weights])
    nested = jax.vmap(jax.vmap(jax.grad(loss), (None, 0)), (0, None))(many, x)
    np.testing.assert_allclose(nested[0], each)
    remat = jax.grad(lambda w: jnp.sum(jax.vmap(jax.checkpoint(loss), (None, 0))(w, x)))
    np.testing.assert_allclose(remat(weights), total, rtol=1e-12, atol=1e-12)

    def body(sum, sample):
        return sum + loss(weights, sample), None

    scanned, _ = jax.lax.scan(body, 0.0, x)
    np.testing.assert_allclose(scanned, sum(loss(weights, sample) for sample in x))


def test_the_same_numbers_run_to_run():
    net, x = network(dtype=F32), jnp.asarray(inputs(6, (9,)), F32)
    grad = eqx.filter_jit(
        eqx.filter_grad(lambda net: finite_sum(jax.vmap(net.ttfs)(x)))
    )
    one, other = grad(net), grad(net)
    jax.tree.map(np.testing.assert_array_equal, one, other)


# Blocks -----------------------------------------------------------------------------


@pytest.mark.parametrize("model", [LIF, AMOS(LIF), Refractory(LIF)])
def test_a_mask_of_layers_is_a_layered_network(model):
    more = {"t_refrac": 1.0} if model is Refractory(LIF) else {}
    sizes, n = [4, 3], 7
    given = CONSTANTS | more | {"init_bias": np.linspace(0.5, 1.2, n)}
    given["init_weights"] = 1.5 * RNG.normal(size=(n + M, n)) + 1
    layers = FFEvNN(
        sizes, M, model, 30.0, dtype=F64, max_event_steps=500, engine="native", **given
    )
    masked = EvNN(
        model,
        n,
        30.0,
        M,
        wmask=layers.get_wmask(),
        output_neurons=np.arange(n) >= 4,
        dtype=F64,
        engine="native",
        **given,
    )
    x = inputs(7)
    for asked in QUESTIONS.values():
        a, b = asked(layers, x), asked(masked, x)
        k = min(len(a), len(b))
        np.testing.assert_array_equal(a[:k], b[:k])


def test_early_stop_counts_no_later_events():
    """Hidden neurons fire on and on, long after the output has fired."""
    given = CONSTANTS | {"init_weights": 3.0, "init_bias": np.array([5.0] * 5 + [0.0])}
    mask = np.zeros((6, 6))
    mask[:5, 5] = 1
    net = EvNN(
        LIF,
        6,
        1e4,
        0,
        wmask=mask,
        output_neurons=np.arange(6) == 5,
        max_event_steps=40,
        dtype=F64,
        engine="native",
        **given,
    )
    assert net.ttfs(None)[0] < 10
    with pytest.raises(RuntimeError, match="`max_event_steps` = 40 was reached"):
        net.record(None)


def test_readouts_of_a_recurrent_network():
    hidden = CONSTANTS | {"init_weights": WEIGHTS[:, :4], "init_bias": BIAS[:4]}
    readout = {"tsyn": 5.0, "tmem": 20.0, "init_bias": 0.1}
    mask = np.ones((N + M, N))
    mask[:, 4:] = np.arange(N + M)[:, None] < 4
    mask[4:6] = 0
    nets = [
        EvNN(
            MultiNeuronModel,
            N,
            30.0,
            M,
            wmask=mask,
            output_neurons=np.arange(N) >= 4,
            neuron_models=[LIF, LI],
            neuron_model_kwargs=[hidden, readout | {"init_weights": WEIGHTS[:, 4:]}],
            neuron_type_ids=np.arange(N) // 4,
            dtype=F64,
            engine=engine,
        )
        for engine in ("native", "jax")
    ]
    x = inputs(8)
    grid = np.linspace(0, 30, 20001)
    v = np.asarray(nets[0].state_at_t(x, grid))[..., 0]
    np.testing.assert_allclose(nets[0].max_over_time(x), v.max(1), atol=1e-5)
    weight = np.exp(-grid / 15.0)
    wanted = np.trapezoid(v * weight, grid, axis=1)
    np.testing.assert_allclose(nets[0].integral(x, 15.0), wanted, rtol=1e-5)
    for asked in (QUESTIONS["highest"], QUESTIONS["integral"]):
        np.testing.assert_allclose(asked(nets[0], x), asked(nets[1], x), rtol=1e-10)


# Bad input --------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("times", "text"),
    [
        ([[np.nan]], "must not contain NaN"),
        ([[-1.0]], "must not lie before `t0`"),
    ],
)
def test_bad_times(engine, times, text):
    net = EvNN(
        LIF,
        1,
        9.0,
        1,
        dtype=F64,
        engine=engine,
        init_weights=1.0,
        init_bias=0.0,
        **CONSTANTS,
    )
    one, batch = jnp.asarray(times), jnp.asarray([times])
    for call, given in (
        (net.ttfs, one),
        (jax.jit(lambda x: net.ttfs(x)), one),
        (jax.vmap(net.ttfs), batch),
    ):
        with pytest.raises(RuntimeError, match=text):
            jax.block_until_ready(call(given))


@BOTH
def test_too_many_events_tells_who_fired(engine):
    net = network(engine, max_event_steps=9)
    with pytest.raises(
        RuntimeError, match=r"= 9 was reached.*Spikes until t = .*neuron"
    ):
        net.record(inputs(0))


@pytest.mark.parametrize("kind", ["EvNN", slow("FFEvNN")])
@BOTH
def test_too_many_events_tells_how_many_would_do(engine, kind):
    def build(**more):
        kwargs = {**CONSTANTS, "init_weights": 0.0, "init_bias": 1.5, "engine": engine}
        if kind == "EvNN":
            return EvNN(LIF, 1, 300.0, 1, **kwargs, **more)
        return FFEvNN([1], 1, LIF, 300.0, **kwargs, **more)

    x = jnp.asarray([[10.0, 60.0, 290.0, 310.0]])
    n_spikes = int(300.0 / (CONSTANTS["tmem"] * np.log(1.5 / 0.5)))
    with pytest.raises(RuntimeError) as caught:
        build(max_event_steps=12).record(x)
    (said,) = re.findall(r"about `max_event_steps=(\d+)`", str(caught.value))
    # Two digits, from a time at which some of a period is left.
    assert n_spikes + 3 <= int(said) <= n_spikes + 6
    times, *_ = build(max_event_steps=int(said)).record(x)
    assert np.sum(np.isfinite(times)) == n_spikes


def test_a_guess_needs_a_time():
    # All at one instant: no rate, and no number.
    kwargs = {**CONSTANTS, "init_weights": 1e6, "init_bias": 0.0}
    net = EvNN(LIF, 4, 300.0, 1, max_event_steps=20, **kwargs)
    with pytest.raises(RuntimeError, match="= 20 was reached") as caught:
        net.record(jnp.asarray([[0.01]]))
    assert "would be enough" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(value):
    net = network(init_weights=np.where(np.eye(N + M, N) > 0, value, WEIGHTS))
    with pytest.raises(RuntimeError, match="infinite or NaN"):
        net.ttfs(inputs(0))


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("m", [0, 1])
def test_smallest_sizes(n, m):
    net = EvNN(
        LIF,
        n,
        50.0,
        m,
        dtype=F64,
        engine="native",
        init_weights=0.5,
        init_bias=1.5,
        **CONSTANTS,
    )
    for x in (None, np.zeros((m, 0)), np.full((m, 2), np.inf)):
        np.testing.assert_allclose(net.ttfs(x)[0], 10 * np.log(3.0), rtol=1e-13)
    empty = jax.vmap(net.ttfs)(jnp.zeros((0, m, 1)))
    assert empty.shape == (0, n)


def test_a_case_of_the_table_in_single_precision():
    case = Case("LIF", "Refractory", "axonal")
    leaves = case.leaves()
    times = {}
    for dtype in (F32, F64):
        net = case.with_leaves(case.network(dtype, engine="native"), leaves)
        times[dtype] = np.asarray(net.record(leaves["in_spike_times"])[0])
    np.testing.assert_allclose(times[F32], times[F64], rtol=0, atol=1e-4)


def test_a_layer_of_alif_fires_at_once_and_the_next_one_hears_it():
    # Several spikes at one time: the derivative is that of the one which lifts a neuron
    # over threshold, not that of the last.
    net = FFEvNN(
        [6, 3],
        4,
        ALIF,
        60.0,
        key=jax.random.PRNGKey(1),
        wlim=0.6,
        blim=2.0,
        tmem=10.0,
        ta=30.0,
        b0=1.0,
        beta=5.0,
        dtype=F64,
        max_event_steps=200,
        engine="native",
    )
    x = np.random.default_rng(0).uniform(0, 30, (3, 4, 5))[1]
    factors = jnp.cos(jnp.arange(90.0)).reshape(3, 30)
    weights = net.neuron_model.weights

    @jax.jit
    def loss(weights):
        changed = eqx.tree_at(lambda n: n.neuron_model.weights, net, weights)
        spikes = changed.spikes_until_t(x, 50.0, 30)
        return jnp.sum(jnp.where(jnp.isfinite(spikes), spikes * factors, 0))

    gradient = jax.grad(loss)(weights)
    for sender, neuron in np.argwhere(np.asarray(gradient) != 0)[::5]:
        ends = [loss(weights.at[sender, neuron].add(h)) for h in (1e-6, -1e-6)]
        slope = float(ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(
            gradient[sender, neuron], slope, rtol=1e-6, atol=1e-6
        )
