"""Networks take lists of events for padded arrays, with equal results."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marks import slow

from eventax import EvNN, FFEvNN, Spikes
from eventax._native import load, why_missing
from eventax.encoding import list_spikes, pad_spikes
from eventax.neuron_models import LIF, QIF
from eventax.testing import check_gradient

pytestmark = pytest.mark.usefixtures("x64")

INF = np.inf
M, E = 3, 6
TIMES = (0.0, 3.0, 11.0, 30.0)


def fails(error, *words):
    """The error's message holds all of these, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(w) for w in words))


def lif(**options):
    keywords = {"thresh": 1.0, "tsyn": 5.0, "tmem": 10.0, "init_bias": 0.9}
    return {"key": jax.random.key(0), "wlim": 2.0, "wmean": 0.5, **keywords, **options}


def unheard(**options):
    """Nobody hears the second input."""
    mask = np.ones((4 + M, 4), bool)
    mask[5] = False
    return EvNN(LIF, 4, 30.0, M, wmask=mask, **lif(**options))


LAYERS = {"wmean": 1.5, "max_event_steps": 500}

NETWORKS = {
    "recurrent": lambda **o: unheard(**o),
    "delays": lambda **o: unheard(dlim=4.0, axonal_dlim=3.0, **o),
    "one layer": lambda **o: FFEvNN([4], M, LIF, 30.0, **lif(**LAYERS, **o)),
    "layers": lambda **o: FFEvNN([4, 3], M, LIF, 30.0, **lif(**LAYERS, **o)),
    "layers with delays": lambda **o: FFEvNN(
        [4, 3], M, LIF, 30.0, **lif(**LAYERS, dlim=4.0, axonal_dlim=3.0, **o)
    ),
}


def of_spikes(net, inputs):
    """What has a derivative."""
    trains = net.spikes_until_t(inputs, 25.0, 5)
    return jnp.sum(jnp.where(jnp.isfinite(trains), jnp.sin(trains), 0.0))


def loss(net, inputs):
    return of_spikes(net, inputs) + jnp.sum(net.state_at_t(inputs, TIMES))


NATIVE = "native"


@pytest.fixture(scope="module")
def known(x64):
    return {}


@pytest.fixture
def built(known, request):
    """Networks by name, each of them made once."""

    def get(name, engine):
        if engine == NATIVE:
            if load() is None:
                pytest.skip(why_missing())
            request.getfixturevalue("unchecked")
        if (name, engine) not in known:
            known[name, engine] = NETWORKS[name](dtype=jnp.float64, engine=engine)
        return known[name, engine]

    return get


EVENTS = st.lists(
    # Also at equal times, too late, and no spikes, whose channel may be any number.
    st.tuples(
        st.one_of(st.integers(0, 8).map(float), st.floats(0, 28), st.just(INF)),
        st.integers(0, M - 1),
    ),
    min_size=E,
    max_size=E,
)


def padded_and_listed(events, rng):
    """An array, and a list of as many entries in any order: they share programs."""
    padded = np.full((M, E), INF)
    for k, (t, channel) in enumerate(events):
        padded[channel, k] = t
    order = rng.permutation(M * E)
    times, channels = padded.reshape(-1)[order], np.repeat(np.arange(M), E)[order]
    odd = rng.integers(-99, 99, M * E)
    return padded, Spikes(times, np.where(times < INF, channels, odd)), order


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("recurrent", "jax"),
        slow("delays", "jax"),
        ("layers", "jax"),
        slow("layers with delays", "jax"),
        *((name, NATIVE) for name in NETWORKS if name != "one layer"),
    ],
)
def test_a_list_is_as_good_as_an_array(name, engine, built):
    net = built(name, engine)
    rng = np.random.default_rng(0)

    @given(EVENTS)
    @settings(max_examples=20, deadline=None)
    def check(events):
        padded, listed, _ = padded_and_listed(events, rng)
        for x, y in zip(net.record(listed), net.record(padded), strict=True):
            np.testing.assert_array_equal(x, y)

    check()


# How a list is read is the same for every engine; in JAX it compiles five programs.
@pytest.mark.parametrize(
    ("name", "engine"),
    [
        slow("recurrent", "jax"),
        slow("delays", "jax"),
        slow("layers", "jax"),
        ("layers", NATIVE),
    ],
)
def test_every_method_takes_lists(name, engine, built):
    net = built(name, engine)
    events = [(3.0, 2), (1.0, 0), (3.0, 0), (7.5, 1), (20.0, 1), (INF, 0)]
    padded, listed, _ = padded_and_listed(events, np.random.default_rng(0))
    for ask in (
        lambda x: net.ttfs(x),
        lambda x: net.spikes_until_t(x, 25.0, 5),
        lambda x: net.state_at_t(x, TIMES),
        lambda x: net.max_over_time(x),
        lambda x: net.integral(x, decay=8.0),
    ):
        found = ask(listed)
        assert np.any(np.isfinite(found) & (found != 0))
        np.testing.assert_array_equal(found, ask(padded))


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        slow("recurrent", "jax"),
        slow("delays", "jax"),
        slow("layers", "jax"),  # `make test` has it against differences, below
        slow("layers with delays", "jax"),
        ("recurrent", NATIVE),
        ("delays", NATIVE),
    ],
)
def test_gradients_are_those_of_an_array(name, engine, built):
    net = built(name, engine)
    events = [(3.0, 2), (1.0, 0), (4.0, 0), (7.5, 1), (20.0, 1), (INF, 0)]
    padded, listed, order = padded_and_listed(events, np.random.default_rng(0))
    params, static = eqx.partition(net, eqx.is_array)

    def total(params, times, channels=None):
        inputs = times if channels is None else Spikes(times, channels)
        return loss(eqx.combine(params, static), inputs)

    grad = jax.jit(jax.grad(total, argnums=(0, 1)))
    by_params, by_times = grad(params, jnp.asarray(padded))
    of_list, of_times = grad(params, *map(jnp.asarray, listed))
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)  # noqa: E731
    jax.tree.map(close, of_list, by_params)
    close(of_times, by_times.reshape(-1)[order])
    assert np.sum(of_times != 0) >= 3


@pytest.mark.parametrize("engine", ["jax", NATIVE])
def test_batches_of_lists(engine, built):
    net = built("recurrent", engine)
    rng = np.random.default_rng(0)
    # As many entries as the padded arrays have: in JAX they share programs.
    times = np.full((4, M * E), INF)
    times[:, :E] = rng.uniform(0, 20, (4, E))
    times[1:, 4:] = INF
    lists = Spikes(jnp.asarray(times), jnp.asarray(rng.integers(M, size=(4, M * E))))
    padded = jnp.stack(
        [pad_spikes(*sample, M, E) for sample in zip(*lists, strict=True)]
    )
    trains = lambda x: net.spikes_until_t(x, 25.0, 5)  # noqa: E731
    compiled = jax.jit if engine == NATIVE else lambda function: function
    found = compiled(jax.vmap(trains))(lists)
    np.testing.assert_allclose(found, jax.vmap(trains)(padded), rtol=1e-12)
    again = jax.vmap(trains)(list_spikes(padded, M * E))
    np.testing.assert_allclose(found, again, rtol=1e-12)
    # Channels that all samples share.
    shared = Spikes(lists.times, lists.channels[0])
    axes = (Spikes(0, None),)
    each = jnp.stack([trains(Spikes(t, shared.channels)) for t in lists.times])
    np.testing.assert_allclose(jax.vmap(trains, axes)(shared), each, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "function"), [("one layer", of_spikes), slow("layers", loss)]
)
def test_gradients_by_a_list(name, function, built):
    """Against differences, those by the times of the list too."""
    net = built(name, "jax")
    inputs = Spikes(jnp.array([7.0, 1.0, 2.5, INF]), jnp.array([2, 0, 1, 0]))
    check = check_gradient(
        function, net, inputs, by_inputs=True, directions=1, entries=1
    )
    assert check.ok, check
    assert check.rows[-1].gradient != 0


def test_empty_lists(built):
    net = built("recurrent", "jax")
    nothing = Spikes(jnp.zeros(0), jnp.zeros(0, int))
    for empty in (nothing, Spikes(jnp.full(2, INF), jnp.array([5, -1]))):
        found = net.spikes_until_t(empty, 25.0, 5)
        np.testing.assert_array_equal(found, net.spikes_until_t(None, 25.0, 5))
    no_input = EvNN(LIF, 2, 30.0, 0, **lif(dtype=jnp.float64))
    np.testing.assert_array_equal(no_input.ttfs(nothing), no_input.ttfs(None))
    with fails(ValueError, "`in_spike_times` must be None or empty", "1 events"):
        no_input.ttfs(Spikes(jnp.zeros(1), jnp.zeros(1, int)))


def test_errors_of_form(unchecked):
    net = NETWORKS["recurrent"](dtype=jnp.float64)
    with fails(ValueError, "`in_spike_times` as `Spikes`", "(E,)", "(2,) and (3,)"):
        net.ttfs(Spikes(jnp.zeros(2), jnp.zeros(3, int)))
    with fails(ValueError, "`in_spike_times` as `Spikes`", "(2, 3)", "`jax.vmap`"):
        net.ttfs(Spikes(jnp.zeros((2, 3)), jnp.zeros((2, 3), int)))
    with fails(TypeError, "`in_spike_times.channels` must be whole", "float"):
        net.ttfs(Spikes(jnp.zeros(2), jnp.zeros(2)))
    with fails(TypeError, "`in_spike_times.times` must hold real numbers", "bool"):
        net.ttfs(Spikes(jnp.zeros(2, bool), jnp.zeros(2, int)))
    with fails(ValueError, "`in_spike_times`", "(3, K)", "`eventax.Spikes`", "(2,)"):
        net.ttfs(jnp.zeros(2))


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("recurrent", "jax"),
        slow("delays", "jax"),
        slow("layers", "jax"),
        ("delays", NATIVE),
    ],
)
def test_errors_of_values(name, engine, built):
    net = built(name, engine)
    one = lambda t, c: Spikes(jnp.array([1.0, t]), jnp.array([0, c]))  # noqa: E731
    batch = lambda t, c: jax.tree.map(lambda x: x[None], one(t, c))  # noqa: E731
    for channel in (M, -1, 2**30):
        with fails(Exception, "`in_spike_times.channels`", "between 0 and 2", "`inf`"):
            jax.block_until_ready(net.ttfs(one(2.0, channel)))
        with fails(Exception, "`in_spike_times.channels`", "between 0 and 2"):
            jax.block_until_ready(jax.vmap(net.ttfs)(batch(2.0, channel)))
    with fails(Exception, "`in_spike_times` must not lie before `t0` = 0.0"):
        jax.block_until_ready(net.ttfs(one(-1.0, 0)))
    with fails(Exception, "`in_spike_times` must not contain NaN"):
        jax.block_until_ready(net.ttfs(one(np.nan, 0)))


def test_single_precision():
    """There the layers sort times by their bits."""
    net = FFEvNN([4, 3], M, LIF, 30.0, **lif(**LAYERS, engine="jax"))
    times = np.array([5.0, 1.0, 1.0, 9.5, INF, 2.0], np.float32)
    channels = np.array([2, 1, 0, 1, -5, 2])
    padded = pad_spikes(times[times < INF], channels[times < INF], M)
    listed = Spikes(jnp.asarray(times), jnp.asarray(channels))
    for x, y in zip(net.record(listed), net.record(padded), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_model_that_is_integrated():
    net = EvNN(
        QIF,
        2,
        10.0,
        M,
        key=jax.random.key(0),
        tmem=2.0,
        tsyn=1.0,
        wlim=2.0,
        wmean=1.0,
        init_bias=0.5,
        dtype=jnp.float64,
        engine="jax",
    )
    padded = jnp.array([[1.0, INF], [2.0, 0.5], [1.0, 3.0]])
    np.testing.assert_array_equal(
        net.record(list_spikes(padded))[0], net.record(padded)[0]
    )
