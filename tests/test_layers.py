"""Feed-forward networks layer by layer in JAX: the same results as event by event.

Event by event the native core simulates, where it is there.
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import needs_native
from oracle import lif

from eventax import EvNN, FFEvNN
from eventax._layers import _back
from eventax._layers._back import ROOM_FOR_ROUNDS, ROOM_FOR_STARTS
from eventax.losses import first_spike_cross_entropy
from eventax.neuron_models import (
    ALIF,
    AMOS,
    LI,
    LIF,
    PLIF,
    QIF,
    MultiNeuronModel,
    Refractory,
)

pytestmark = pytest.mark.usefixtures("x64")

T_END, LAYERS, M = 60.0, (6, 5, 3), 4
N = sum(LAYERS)
FIRST, LAST = LAYERS[0], LAYERS[-1]
DRAWN = {"wmean": 2.0, "wlim": 3.0, "bmean": 0.5, "blim": 0.5}
LIF_KEYWORDS = {"thresh": 1.0, "tsyn": 5.0, "tmem": 20.0, **DRAWN}
TWO = (6, 3)  # have all that three have, and compile in less time


def per_neuron(layers):
    n = sum(layers)
    own = {"tmem": np.linspace(12.0, 25.0, n), "thresh": np.linspace(0.8, 1.2, n)}
    return LIF_KEYWORDS | own | {"layers": layers}


ALIF_KEYWORDS = {"tmem": 10.0, "ta": 30.0, "b0": 1.0, "beta": 5.0, "wlim": 0.6}
ALIF_KEYWORDS |= {"blim": 2.0}
PLIF_KEYWORDS = {"thresh": 1.0, "init_tsyn": 5.0, "init_tmem": 20.0, "wlim": 6.0}
PLIF_KEYWORDS |= {"blim": 0.4}
REFRACTORY_ALIF = ALIF_KEYWORDS | {"t_refrac": 2.0}
JUMPS = (ALIF, Refractory(ALIF), MultiNeuronModel)
DELAYS = {"dlim": 5.0, "axonal_dlim": 3.0}
MULTI = {
    "neuron_models": [Refractory(LIF), ALIF, LI],
    "neuron_model_kwargs": [
        LIF_KEYWORDS | {"t_refrac": 2.0},
        ALIF_KEYWORDS,
        {"tsyn": 3.0, "tmem": 8.0, **DRAWN},
    ],
    "neuron_type_ids": np.repeat([0, 1, 2], LAYERS),
}


def case(name, model, keywords, query="spikes", core=False):
    marks = () if core else (pytest.mark.slow,)
    return pytest.param(model, keywords, query, id=name, marks=marks)


CASES = [
    # Without delays `make test` compares batches with the native core, below.
    case(
        "Refractory(LIF), delays, constants of each neuron",
        Refractory(LIF),
        per_neuron(TWO) | DELAYS | {"t_refrac": 2.0},
        "record",
        core=True,
    ),
    case("LIF, constants of each neuron", LIF, per_neuron(TWO), "record"),
    case("LIF, three layers", LIF, per_neuron(LAYERS), "record"),
    case("LIF, first spikes", LIF, LIF_KEYWORDS, "first"),
    case("LIF, synaptic delays", LIF, LIF_KEYWORDS | {"dlim": 5.0}, "states"),
    case("LIF, axonal delays", LIF, LIF_KEYWORDS | {"axonal_dlim": 5.0}),
    case(
        "Refractory(LIF), delays",
        Refractory(LIF),
        LIF_KEYWORDS | DELAYS | {"t_refrac": 2.0, "layers": TWO},
    ),
    case(
        "Refractory(LIF), open, v held",
        Refractory(LIF),
        LIF_KEYWORDS
        | {"t_refrac": 2.0, "block_input_during_refrac": False, "refrac_mask": [1, 0]},
        "states",
    ),
    case("AMOS(LIF)", AMOS(LIF), LIF_KEYWORDS, "states"),
    case(
        "AMOS(Refractory(LIF))",
        AMOS(Refractory(LIF), freeze_dynamics=True, stop_incoming=True),
        LIF_KEYWORDS | {"t_refrac": 1.0},
        "record",
    ),
    case("PLIF", PLIF, PLIF_KEYWORDS, "record"),
    case("ALIF", ALIF, ALIF_KEYWORDS, "states"),
    case("Refractory(ALIF)", Refractory(ALIF), REFRACTORY_ALIF),
    case("three models", MultiNeuronModel, MULTI, "states"),
]


def layered_mask(layers=LAYERS, m=M):
    """Who hears whom, said once more."""
    layer = np.concatenate([np.full(m, -1), np.repeat(np.arange(len(layers)), layers)])
    senders = np.concatenate([layer[m:], layer[:m]])
    return (senders[:, None] + 1 == layer[None, m:]).astype(float)


def pair(model, layers=LAYERS, m=M, **keywords):
    """A layered network and the same one for the general engine."""
    key = jax.random.PRNGKey(0)
    n, last = sum(layers), layers[-1]
    common = {"key": key, "max_event_steps": 2000, "dtype": jnp.float64} | keywords
    net = FFEvNN(list(layers), m, model, T_END, engine="jax", **common)
    other = EvNN(
        model,
        n,
        T_END,
        m,
        wmask=layered_mask(layers, m),
        output_neurons=np.arange(n) >= n - last,
        **common,
    )
    assert net._plans.value is not None
    return net, other


def inputs(ties):
    """Three samples: one padded, one without any spike, one with ties if wanted."""
    rng = np.random.default_rng(0)
    times = rng.uniform(0, 0.5 * T_END, (3, M, 5))
    times[0, 0, 2:] = np.inf
    times[1] = np.inf
    if ties:
        times[2, 1] = times[2, 0]
    return jnp.asarray(times)


AT = np.array([0.0, 3.0, 17.3, T_END])
QUERIES = {
    "first": lambda net, x: net.ttfs(x),
    "spikes": lambda net, x: net.spikes_until_t(x, 50.0, 30),
    "states": lambda net, x: net.state_at_t(x, AT),
    "record": lambda net, x: net.record(x)[0],
}


def results_and_gradients(net, query, x):
    """Of a batch; gradients by all leaves and the input times."""
    params, static = eqx.partition(net, eqx.is_array)

    def loss(params, x):
        out = jax.vmap(lambda x: QUERIES[query](eqx.combine(params, static), x))(x)
        weights = jnp.cos(jnp.arange(out.size)).reshape(out.shape)
        return jnp.sum(jnp.where(jnp.isfinite(out), out * weights, 0)), out

    both = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    (_, out), gradients = both(params, x)
    return np.asarray(out), [np.asarray(g) for g in jax.tree.leaves(gradients)]


@pytest.mark.parametrize(("model", "keywords", "query"), CASES)
def test_same_as_event_by_event(model, keywords, query):
    both = pair(model, **keywords)
    # Jumps of the potential at one time have no derivative by one of their times.
    x = inputs(ties=model not in JUMPS)
    (out, gradients), (wanted, other) = (
        results_and_gradients(net, query, x) for net in both
    )
    assert np.sum(np.isfinite(wanted)) >= 5
    np.testing.assert_allclose(out, wanted, rtol=0, atol=1e-9)
    assert len(gradients) == len(other) > 2
    for mine, theirs in zip(gradients, other, strict=True):
        np.testing.assert_allclose(
            mine, theirs, rtol=1e-9, atol=1e-9 * np.abs(theirs).max()
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("starts", "rounds"), [(ROOM_FOR_STARTS, ROOM_FOR_ROUNDS), (4, 30), (0, 0)]
)
def test_many_arrivals_and_many_spikes(monkeypatch, starts, rounds):
    """More than a window of arrivals, and more spikes than rounds in a stretch."""
    monkeypatch.setattr(_back, "ROOM_FOR_STARTS", starts)
    monkeypatch.setattr(_back, "ROOM_FOR_ROUNDS", rounds)
    keywords = LIF_KEYWORDS | {"wmean": 1.5, "bmean": 6.0}
    # Networks of equal settings share what is compiled, so there are others each time.
    keywords |= {"max_event_steps": 2000 + rounds}
    net, other = pair(LIF, layers=(3, 2), m=40, **keywords)
    times = np.random.default_rng(1).uniform(0, 50, (2, 40, 4))
    (out, gradients), (wanted, others) = (
        results_and_gradients(net, "record", jnp.asarray(times)) for net in (net, other)
    )
    assert np.isfinite(wanted).sum() > 2 * 3 * 40
    np.testing.assert_allclose(out, wanted, rtol=0, atol=1e-9)
    for mine, theirs in zip(gradients, others, strict=True):
        np.testing.assert_allclose(
            mine, theirs, rtol=1e-8, atol=1e-8 * np.abs(theirs).max()
        )


# The Yin-Yang network of the literature ----------------------------------------------


def yin_yang_network(hidden=30, **keywords):
    """5-hidden-3 with the published constants, and its weights."""
    n = hidden + 3
    rng = np.random.default_rng(3)
    weights = np.zeros((n + 5, n))
    weights[n:, :hidden] = rng.normal(1.5, 0.78, (5, hidden))
    weights[:hidden, hidden:] = rng.normal(0.93, 0.1, (hidden, 3)) * 120 / hidden
    common = {"max_event_steps": 500, "dtype": jnp.float32, "engine": "jax"}
    keywords = common | keywords
    net = FFEvNN(
        [hidden, 3],
        5,
        LIF,
        60.0,
        thresh=1.0,
        tsyn=5.0,
        tmem=20.0,
        init_weights=weights,
        init_bias=0.0,
        **keywords,
    )
    return net, weights


def yin_yang_times(n):
    x = np.random.default_rng(4).uniform(0, 1, (n, 2))
    columns = [x[:, 0], x[:, 1], 1 - x[:, 0], 1 - x[:, 1], 0 * x[:, 0]]
    return (30.0 * np.stack(columns, axis=1)[..., None]).astype(np.float32)


@eqx.filter_jit
def first_spikes(net, x):
    """Of a batch; networks of equal settings share this program."""
    return jax.vmap(net.ttfs)(x)


def test_single_precision_against_the_oracle():
    net, weights = yin_yang_network()
    x = yin_yang_times(16)
    first = np.asarray(first_spikes(net, x))
    assert first.dtype == np.float32
    weights = weights.astype(np.float32).astype(float)
    for sample, times in zip(x, first, strict=True):
        truth = lif.simulate(
            weights,
            np.zeros(33),
            sample.astype(float),
            tmem=20.0,
            tsyn=5.0,
            thresh=1.0,
            t_max=60.0,
        )
        wanted = [
            min(truth.times[truth.neurons == k], default=np.inf) for k in (30, 31, 32)
        ]
        np.testing.assert_allclose(times, wanted, rtol=0, atol=1e-5)


@needs_native
@pytest.mark.slow
@pytest.mark.parametrize("own", ["inputs", "weights", "both", "nested"])
def test_a_batch_of_inputs_or_of_weights(own):
    """The same as by the native core, some with more inputs than others."""
    x = yin_yang_times(5).astype(float)
    silent = np.arange(5) < np.array([0, 5, 2, 4, 1])[:, None]
    x = jnp.asarray(np.where(silent[..., None], np.inf, x))
    scales = jnp.linspace(0.8, 1.2, 5)

    def everything(engine):
        net, _ = yin_yang_network(8, dtype=jnp.float64, engine=engine)
        params, static = eqx.partition(net, eqx.is_array)

        def first(params, scale, x):
            weights = jax.tree.map(lambda p: p * scale, params)
            return eqx.combine(weights, static).ttfs(x)

        batch = {
            "inputs": jax.vmap(first, (None, None, 0)),
            "weights": jax.vmap(first, (None, 0, None)),
            "both": jax.vmap(first, (None, 0, 0)),
            "nested": jax.vmap(jax.vmap(first, (None, None, 0)), (None, 0, None)),
        }[own]

        def loss(params, scales, x):
            scale = scales[1] if own == "inputs" else scales
            seen = batch(params, scale, x[0] if own == "weights" else x)
            return jnp.sum(jnp.where(jnp.isfinite(seen), jnp.cos(seen), 0)), seen

        both = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)
        (_, seen), gradients = jax.jit(both)(params, scales, x)
        return np.asarray(seen), [np.asarray(g) for g in jax.tree.leaves(gradients)]

    (wanted, others), (seen, gradients) = everything("native"), everything("jax")
    assert np.isfinite(wanted).sum() >= 6
    np.testing.assert_allclose(seen, wanted, rtol=1e-12)
    for mine, theirs in zip(gradients, others, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-11, atol=1e-12)
    assert max(np.abs(g).max() for g in others) > 1e-3


@needs_native
def test_each_sample_has_a_gradient_of_its_own():
    # Found failing: those of weights that samples share were the sum over the batch.
    x = jnp.asarray(yin_yang_times(3), jnp.float64)

    def each(engine):
        # One layer shares its weights as two do, and compiles in half the time.
        net = FFEvNN(
            [3], 5, LIF, 60.0, jax.random.PRNGKey(0), thresh=1.0, tsyn=5.0, tmem=20.0,
            wmean=4.0, wlim=1.0, init_bias=0.0, dtype=jnp.float64, engine=engine,
        )  # fmt: skip
        params, static = eqx.partition(net, eqx.is_array)

        def loss(params, x):
            return jnp.sum(jnp.cos(eqx.combine(params, static).ttfs(x)))

        gradients = jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(params, x)
        return gradients.neuron_model.weights

    found, wanted = each("jax"), each("native")
    assert np.abs(wanted[0] - wanted[1]).max() > 0.1
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_a_batch_is_its_samples():
    """`vmap` over inputs, over parameters, and of the gradient."""
    net, _ = yin_yang_network(hidden=8)
    x = jnp.asarray(yin_yang_times(3))
    params, static = eqx.partition(net, eqx.is_array)

    def loss(params, x):
        times = eqx.combine(params, static).ttfs(x)
        return first_spike_cross_entropy(times, 1, tau0=0.5, t_max=60.0)

    scaled = jax.tree.map(lambda p: jnp.stack([p * s for s in (0.9, 1.0, 1.1)]), params)
    both = jax.jit(jax.value_and_grad(loss))
    together = jax.jit(jax.vmap(jax.value_and_grad(loss)))(scaled, x)
    shared = jax.jit(jax.vmap(jax.value_and_grad(loss), (None, 0)))(params, x)
    for k in range(3):
        alone = both(jax.tree.map(lambda p, k=k: p[k], scaled), x[k])
        same = both(params, x[k])
        for batch, one in ((together, alone), (shared, same)):
            for a, b in zip(jax.tree.leaves(batch), jax.tree.leaves(one), strict=True):
                np.testing.assert_allclose(a[k], b, rtol=1e-4, atol=1e-5)


# Limits -------------------------------------------------------------------------------


@pytest.mark.slow
def test_events_after_the_last_first_spike_do_not_count():
    net, _ = yin_yang_network(dtype=jnp.float64)
    x = yin_yang_times(1)[0]
    times, neurons, _ = net.record(x)
    stop = float(jnp.max(net.ttfs(x)))
    before = int(np.sum(np.asarray(times) <= stop)) + int(np.sum(x <= stop))
    after = int(np.sum(np.asarray(neurons) >= 0)) + x.size
    assert before < after - 10
    enough, _ = yin_yang_network(dtype=jnp.float64, max_event_steps=before)
    np.testing.assert_allclose(enough.ttfs(x), net.ttfs(x))
    with pytest.raises(Exception, match="`max_event_steps` = "):
        enough.spikes_until_t(x, 60.0)
    little, _ = yin_yang_network(dtype=jnp.float64, max_event_steps=before - 1)
    with pytest.raises(Exception, match="`max_event_steps` = "):
        little.ttfs(x)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (np.nan, "`in_spike_times` must not contain NaN"),
        (-1.0, "`in_spike_times` must not lie before `t0`"),
    ],
)
def test_one_bad_sample_of_a_batch_is_an_error(times, message):
    net, _ = yin_yang_network()
    x = yin_yang_times(16)
    x[1, 0, 0] = times
    with pytest.raises(Exception, match=message):
        jax.block_until_ready(first_spikes(net, x))


def test_weights_that_are_nan_are_reported():
    net, _ = yin_yang_network()
    broken = eqx.tree_at(
        lambda net: net.neuron_model.weights, net, replace_fn=lambda w: w * jnp.nan
    )
    with pytest.raises(Exception, match="infinite or NaN"):
        jax.block_until_ready(first_spikes(broken, yin_yang_times(16)))


# Who is simulated layer by layer ------------------------------------------------------


class Coupled(LIF):
    """Neurons that inhibit each other when one of them fires."""

    def reset_spiked(self, y, spiked_mask):
        y = super().reset_spiked(y, spiked_mask)
        return y - jnp.where(jnp.any(spiked_mask), 0.1, 0).astype(y.dtype)


class Softer(LIF):
    """A reset to half of the threshold, each neuron by itself."""

    independent: ClassVar[bool] = True

    def reset_spiked(self, y, spiked_mask):
        drop = jnp.array([0.5, 0.0], y.dtype)
        return jnp.where(spiked_mask[:, None], y - drop, y)


class Again(Softer):
    """What a class says does not hold for a subclass that overrides a method."""

    def reset_spiked(self, y, spiked_mask):
        return super().reset_spiked(y, spiked_mask)


def is_layered(model, **keywords):
    net = FFEvNN([3, 2], 1, model, T_END, jax.random.PRNGKey(0), **keywords)
    return net._plans.value is not None


def test_neurons_that_may_depend_on_each_other_are_not():
    assert is_layered(Softer, **LIF_KEYWORDS)
    assert is_layered(Refractory(Softer), **LIF_KEYWORDS)
    for model in (Coupled, Again, Refractory(Coupled)):
        assert not is_layered(model, **LIF_KEYWORDS)


def test_layers_of_two_models_are_not():
    keywords = {
        "neuron_models": [LIF, LIF],
        "neuron_model_kwargs": [LIF_KEYWORDS, LIF_KEYWORDS],
    }
    assert is_layered(MultiNeuronModel, **keywords)
    mixed = {"neuron_type_ids": np.array([0, 1, 0, 1, 1])}
    assert not is_layered(MultiNeuronModel, **keywords, **mixed)


@pytest.mark.slow
def test_a_declared_subclass_gets_its_own_reset():
    results = [
        results_and_gradients(net, "record", inputs(ties=True)[:1])
        for net in pair(Softer, **LIF_KEYWORDS)
    ]
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=0, atol=1e-9)


def test_equal_settings_are_one_program():
    traces = []

    @eqx.filter_jit
    def first(net, x):
        traces.append(jax.eval_shape(net.ttfs, x))  # traced, and not compiled
        return x

    x = yin_yang_times(1)[0]
    for _ in range(2):
        first(yin_yang_network(hidden=8)[0], x)
    assert len(traces) == 1
    assert not is_layered(QIF, tsyn=5.0, tmem=20.0, wlim=1.0, blim=1.0)
