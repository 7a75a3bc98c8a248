"""Delays: how they are given, when a spike arrives, and how its time is learned."""

import re
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow
from oracle import lif, neurons

from eventax import EvNN, FFEvNN
from eventax.neuron_models import ALIF, EGRU, LIF, QIF

pytestmark = pytest.mark.usefixtures("x64")

F32, F64 = jnp.float32, jnp.float64
N, M, T_MAX, RANK = 4, 2, 40.0, 3
I0, I1 = N, N + 1  # the input channels as senders
SENDERS = (N + M, N)
TAUS = {"tmem": 10.0, "tsyn": 5.0}
CONSTANTS = {
    LIF: {"thresh": 1.0, **TAUS},
    QIF: TAUS,
    ALIF: {"tmem": 10.0, "ta": 30.0, "b0": 1.0, "beta": 20.0},
}
INF = np.inf
KEY = jax.random.PRNGKey(3)


def network(weights, ic, *, model=LIF, dtype=F64, **options):
    """Networks of one model and one kind of delay share their compilations."""
    settings = {
        "max_event_steps": 300,
        "init_weights": np.asarray(weights, float),
        "init_bias": ic,
    }
    constants = CONSTANTS.get(model, CONSTANTS[LIF])
    return EvNN(model, N, T_MAX, M, dtype=dtype, **(constants | settings | options))


def spikes(net, inputs):
    """Times and neurons without the fill, and spikes under way after each."""
    times, ids, pending = (np.asarray(x) for x in net.record(inputs))
    n = np.count_nonzero(ids >= 0)
    assert np.all(pending[n:] == -1)
    return times[:n].tolist(), ids[:n].tolist(), pending[:n].tolist()


def finite(table):
    return jnp.where(jnp.isfinite(table), table, 0.0)


@eqx.filter_jit
def jacobian(net, inputs):
    """Of the first spikes of each neuron (N, RANK), by the network and the inputs."""
    leaves, rest = eqx.partition(net, eqx.is_array)

    def table(leaves, inputs):
        net = eqx.combine(leaves, rest)
        return finite(net.spikes_until_t(inputs, T_MAX, RANK))

    return jax.jacrev(table, argnums=(0, 1))(leaves, jnp.asarray(inputs))


def sample(seed=3, size=0.8):
    """Random weights, bias currents that make each neuron fire, and inputs."""
    rng = np.random.default_rng(seed)
    weights = size * rng.normal(size=SENDERS)
    weights[N:] += size
    return weights, rng.uniform(1.2, 1.9, N), np.array([[1.0, 9.0], [4.0, 20.0]])


def truth(weights, ic, inputs, delays):
    return lif.simulate(
        weights, ic, inputs, **CONSTANTS[LIF], t_max=T_MAX, delays=delays
    )


def differences(simulate, delays, places, *, one_sided=False, h=1e-4):
    """Derivatives of the first spikes by single delays, each (N, RANK).

    Delays that are equal stop being so on either side, by which arrivals come apart.
    Only the order of the spikes has to be the same.
    """
    base = simulate(delays)

    def table(place, offset):
        moved = delays.copy()
        moved[place] += offset
        trace = simulate(moved)
        assert sorted(trace.spike_order) == sorted(base.spike_order)
        values = trace.spike_table(RANK)
        return np.where(np.isfinite(values), values, 0.0)

    def derivative(place):
        if one_sided:
            y = [table(place, k * h) for k in range(4)]
            return (-11 * y[0] + 18 * y[1] - 9 * y[2] + 2 * y[3]) / (6 * h)
        wide, narrow = (
            (table(place, k * h) - table(place, -k * h)) / k for k in (2, 1)
        )
        return (4 * narrow - wide) / (6 * h)

    return {place: derivative(place) for place in places}


# How they are given -------------------------------------------------------------------


def build(model=LIF, dtype=F32, **options):
    own = {"init_weights": 1.0, "init_bias": 0.0} | CONSTANTS[model]
    return EvNN(model, N, T_MAX, M, key=KEY, dtype=dtype, **(own | options))


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize(
    ("name", "shape", "limit"),
    [("delays", SENDERS, "dlim"), ("axonal_delays", SENDERS[:1], "axonal_dlim")],
)
def test_given_and_drawn(name, shape, limit, dtype):
    given = np.arange(np.prod(shape)).reshape(shape)
    for value in (given, given.tolist(), 2.5, np.int32(2)):
        net = build(**{f"init_{name}": value}, dtype=dtype)
        found = getattr(net, name)
        assert (found.shape, found.dtype) == (shape, np.dtype(dtype))
        np.testing.assert_array_equal(found, np.broadcast_to(value, shape))
    drawn = getattr(build(**{limit: 8.0}, dtype=dtype), name)
    assert (drawn.shape, drawn.dtype) == (shape, np.dtype(dtype))
    assert 0 <= drawn.min() < 3 < 5 < drawn.max() < 8
    again = getattr(build(**{limit: 8.0}, dtype=dtype), name)
    np.testing.assert_array_equal(drawn, again)
    # What is given wins, and 0 is a limit.
    both = build(**{f"init_{name}": 2.5, limit: 8.0}, dtype=dtype)
    np.testing.assert_array_equal(getattr(both, name), 2.5)
    np.testing.assert_array_equal(getattr(build(**{limit: 0.0}), name), 0.0)


def test_both_are_drawn_apart():
    both = build(dlim=1.0, axonal_dlim=1.0)
    assert not np.any(np.isin(both.axonal_delays, both.delays))


@pytest.mark.parametrize("synaptic", [False, True])
@pytest.mark.parametrize("axonal", [False, True])
def test_flags_and_leaves(synaptic, axonal):
    options = {"init_delays": 1.0 if synaptic else None}
    options["axonal_dlim"] = 2.0 if axonal else None
    feedforward = FFEvNN(
        [2, 2], M, LIF, T_MAX, key=KEY, **CONSTANTS[LIF], wlim=1.0, blim=1.0, **options
    )
    for net in (build(**options), feedforward):
        assert (net.use_delays, net.use_axonal_delays) == (synaptic, axonal)
        assert (net.delays is None) is not synaptic
        assert (net.axonal_delays is None) is not axonal
        leaves = jax.tree.leaves(net)
        assert len(leaves) == 2 + synaptic + axonal
        assert all(eqx.is_inexact_array(leaf) for leaf in leaves)


@pytest.mark.parametrize("model", [LIF, QIF])
def test_weights_are_drawn_as_without_delays(model):
    draw = {"init_weights": None, "init_bias": None, "wlim": 2.0, "blim": 1.0}
    plain = build(model, **draw).neuron_model
    for given in (
        {"init_delays": 1.0},
        {"init_axonal_delays": np.ones(N + M)},
        {"init_delays": np.ones(SENDERS), "init_axonal_delays": 0.0},
    ):
        delayed = build(model, **draw, **given).neuron_model
        np.testing.assert_array_equal(delayed.weights, plain.weights)
        np.testing.assert_array_equal(delayed.ic, plain.ic)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"init_delays": np.ones((N, N))}, ["`init_delays`", "(6, 4)", "(4, 4)"]),
        ({"init_delays": np.ones(N + M)}, ["`init_delays`", "synapse", "(6,)"]),
        (
            {"init_axonal_delays": np.ones(N)},
            ["`init_axonal_delays`", "(6,)", "sender", "(4,)"],
        ),
        ({"init_delays": np.nan}, ["`init_delays`", "finite", "nan"]),
        ({"init_delays": np.inf}, ["`init_delays`", "finite", "inf"]),
        ({"init_axonal_delays": np.nan}, ["`init_axonal_delays`", "finite", "nan"]),
        ({"dlim": -1.0}, ["`dlim`", "not negative", "-1.0"]),
        ({"dlim": np.nan}, ["`dlim`", "finite", "nan"]),
        ({"axonal_dlim": -0.5}, ["`axonal_dlim`", "not negative", "-0.5"]),
        ({"axonal_dlim": np.inf}, ["`axonal_dlim`", "finite", "inf"]),
        ({"dlim": 1.0, "key": None}, ["`key`", "`dlim`", "PRNGKey", "`init_delays`"]),
        (
            {"axonal_dlim": 1.0, "key": None},
            ["`key`", "`axonal_dlim`", "`init_axonal_delays`"],
        ),
        ({"buffer_capacity": 0}, ["`buffer_capacity`", "at least 1", "0"]),
    ],
)
def test_bad_values_are_named(options, words):
    pattern = "(?s)" + ".*".join(re.escape(word) for word in words)
    with pytest.raises(ValueError, match=pattern):
        network(np.ones(SENDERS), 0.0, **options)


@pytest.mark.parametrize(
    ("name", "value"), [("delays", np.inf), ("axonal_delays", np.nan)]
)
def test_a_delay_that_is_no_longer_finite_is_named(name, value):
    net = network(
        np.ones(SENDERS), 0.0, init_delays=1.0, init_axonal_delays=1.0, dtype=F32
    )
    net = eqx.tree_at(
        lambda net: getattr(net, name), net, replace_fn=lambda d: d.at[-1].set(value)
    )
    with pytest.raises(Exception, match="`delays` and `axonal_delays` must be finite"):
        jax.block_until_ready(net.ttfs(jnp.ones((M, 1))))


def test_no_key_is_needed_where_delays_are_given():
    network(np.ones(SENDERS), 0.0, init_delays=1.0, init_axonal_delays=1.0)


# No delay -----------------------------------------------------------------------------


# Another program, which is rounded as this one if it is compiled as users do it.
@pytest.mark.parametrize("rtol", [1e-5, slow(0)])
@pytest.mark.parametrize("model", [LIF, QIF])
def test_delay_0_and_less_is_none(model, rtol):
    weights, ic, inputs = sample(size=0.8 if model is LIF else 6.0)
    settings = {"model": model, "dtype": F32}
    times, ids, pending = spikes(network(weights, ic, **settings), inputs)
    assert len(times) >= 8
    assert set(pending) == {0}
    for synaptic, axonal in ((0.0, 0.0), (-3.0, 0.0), (-0.0, -1.0)):
        delays = {"init_delays": synaptic, "init_axonal_delays": axonal}
        found = spikes(network(weights, ic, **settings, **delays), inputs)
        np.testing.assert_allclose(found[0], times, rtol=rtol)
        assert found[1:] == (ids, pending)


def test_derivative_at_0_is_that_of_longer_delays():
    weights, ic, inputs = sample()
    zero = np.zeros(SENDERS)
    found, _ = jacobian(network(weights, ic, init_delays=zero), inputs)
    wanted = differences(
        lambda d: truth(weights, ic, inputs, d),
        zero,
        list(np.ndindex(SENDERS)),
        one_sided=True,
    )
    assert max(np.abs(v).max() for v in wanted.values()) > 0.1
    for (sender, receiver), value in wanted.items():
        np.testing.assert_allclose(
            found.delays[:, :, sender, receiver], value, atol=1e-6
        )
    # A negative one has no influence until it is 0 again.
    lower = np.where(np.arange(N) == 1, -1.0, zero)
    below, _ = jacobian(network(weights, ic, init_delays=lower), inputs)
    np.testing.assert_array_equal(below.delays[..., 1], 0.0)
    np.testing.assert_array_equal(below.delays[..., 0], found.delays[..., 0])


# Who is reached, and when -------------------------------------------------------------


@pytest.mark.parametrize("name", ["init_delays", "init_axonal_delays"])
def test_a_delayed_input_reaches_those_connected_once(name):
    # Found failing: XLA writes over what it has yet to compare, where only one channel
    # is heard, and an input arrives several times at receivers with equal delays.
    mask = np.zeros(SENDERS)
    mask[I0, [0, 2, 3]] = 1
    net = network(np.zeros(SENDERS), -50.0, wmask=mask, **{name: 3.0})
    # Weights that the mask does not allow, as training may leave them.
    net = eqx.tree_at(lambda n: n.neuron_model.weights, net, jnp.ones(SENDERS))
    states = net.state_at_t(np.array([[1.0], [2.0]]), [3.9, 4.0, 5.0])
    expected = np.array([0.0, 1.0, np.exp(-1.0 / 5.0)])
    for neuron, heard in enumerate(mask[I0]):
        np.testing.assert_allclose(states[neuron, :, 1], heard * expected, rtol=1e-14)


def test_axonal_and_synaptic_delays_add_up():
    weights, ic, inputs = sample()
    rng = np.random.default_rng(0)
    # Negative ones act as 0 before they are added.
    synaptic, axonal = rng.uniform(-1.0, 5.0, SENDERS), rng.uniform(-1.0, 3.0, N + M)
    total = np.maximum(synaptic, 0.0) + np.maximum(axonal, 0.0)[:, None]
    trace = truth(weights, ic, inputs, total)
    net = network(weights, ic, init_delays=synaptic, init_axonal_delays=axonal)
    times, ids, _ = spikes(net, inputs)
    assert ids == list(trace.spike_order)
    np.testing.assert_allclose(times, trace.times, atol=1e-10)
    both, _ = jacobian(net, inputs)
    one, _ = jacobian(network(weights, ic, init_delays=total), inputs)
    synapses = np.where(synaptic >= 0, one.delays, 0.0)
    np.testing.assert_allclose(both.delays, synapses, atol=1e-12)
    axons = np.where(axonal >= 0, one.delays.sum(-1), 0.0)
    np.testing.assert_allclose(both.axonal_delays, axons, atol=1e-12)


def test_an_inputs_delay_moves_spikes_as_its_time_does():
    weights, ic, inputs = sample()
    inputs = np.array([[1.0, INF], [4.0, INF]])
    by_net, by_inputs = jacobian(network(weights, ic, init_delays=2.0), inputs)
    delays = by_net.delays[:, :, N:].sum(-1)
    np.testing.assert_allclose(delays, by_inputs[..., 0], atol=1e-12)
    assert np.abs(delays).max() > 0.1


# One event for several receivers ------------------------------------------------------


def check_own_gradients(net, simulate, inputs, delays, places, **how):
    trace = simulate(delays)
    times, ids, _ = spikes(net, inputs)
    assert ids == list(trace.spike_order)
    np.testing.assert_allclose(times, trace.times, atol=1e-9)
    found, _ = jacobian(net, inputs)
    wanted = differences(simulate, delays, places, **how)
    for (sender, receiver), value in wanted.items():
        mine = found.delays[:, :, sender, receiver]
        np.testing.assert_allclose(
            mine, value, atol=1e-6, err_msg=f"{sender, receiver}"
        )
    return wanted


def test_each_receivers_own_delay_has_its_own_gradient():
    weights, ic, inputs = sample()
    delays = np.full(SENDERS, 2.0)
    wanted = check_own_gradients(
        network(weights, ic, init_delays=delays),
        lambda d: truth(weights, ic, inputs, d),
        inputs,
        delays,
        list(np.ndindex(SENDERS)),
    )
    sizes = [np.abs(v).max() for v in wanted.values()]
    assert sum(size > 1e-3 for size in sizes) > 15


# Arrivals that fire their receivers at once: weights by (sender, receiver), bias
# currents, delays other than 3 for inputs and 0 for neurons, whose delays to perturb.
AT_ONCE = {
    "several": ({(I0, 0): 1.3, (I0, 1): 1.5, (I0, 2): 0.4}, [0.0, 0.0, 1.4, 0.0]),
    "a chain": (
        {(I0, 0): 1.3, (I0, 1): 1.5, (I0, 2): 0.1, (0, 2): 1.4, (2, 3): 1.6},
        [0.0] * N,
    ),
    "two chains, backwards": (
        {(I0, 0): 0.1, (I0, 1): 0.2, (I0, 2): 1.4, (I0, 3): 1.7, (3, 1): 1.4}
        | {(2, 0): 1.6, (2, 1): 0.3, (3, 0): 0.2},
        [0.0, 0.5, 0.0, 0.0],
    ),
    "fires twice": ({(I0, 0): 3.5, (0, 1): 1.2, (I0, 2): 1.2, (2, 3): 0.4}, [0.0] * N),
}


@pytest.mark.parametrize("case", AT_ONCE)
def test_receivers_that_an_arrival_fires_at_once(case):
    # Found failing: a neuron that is fired by one that an arrival fires at once moved
    # with its own delay from the input, and not with the spike that fires it.
    entries, ic = AT_ONCE[case]
    weights, delays = np.zeros(SENDERS), np.zeros(SENDERS)
    for place, weight in entries.items():
        weights[place] = weight
    delays[N:] = 3.0
    inputs = np.array([[2.0, 9.0], [INF, INF]])

    def simulate(delays):
        population = neurons.alif(weights, ic, **CONSTANTS[ALIF])
        return neurons.simulate(population, inputs, t_max=T_MAX, delays=delays)

    net = network(weights, ic, model=ALIF, init_delays=delays)
    for one_sided in (False, True):
        places = [p for p in entries if (p[0] < N) == one_sided]
        wanted = check_own_gradients(
            net, simulate, inputs, delays, places, one_sided=one_sided
        )
        assert max((np.abs(v).max() for v in wanted.values()), default=1.0) > 0.5


# At one time --------------------------------------------------------------------------


class Ordered(LIF):
    """Arrivals that do not commute; an input of channel 0 makes v jump."""

    def input_spike(self, y, from_idx, to_idx, valid_mask):
        w = jnp.where(valid_mask, self.weights[from_idx, to_idx], 0.0)
        v, i = y[to_idx, 0], y[to_idx, 1]
        # 0 adds 2, 1 multiplies by 3, channel 1 adds its weight and then doubles.
        i = jnp.where((from_idx == 0) & (w > 0), i + 2.0, i)
        i = jnp.where((from_idx == 1) & (w > 0), i * 3.0, i)
        i = jnp.where((from_idx == I1) & (w > 0), (i + w) * 2.0, i)
        v = jnp.where(from_idx == I0, v + w, v)
        return y.at[to_idx, 0].set(v).at[to_idx, 1].set(i)


def relay(entries):
    """An input of channel 0 fires neurons 0 and 1 at once; 2 and 3 never fire.

    `entries` are (weight, delay) by (sender, receiver).
    """
    weights, delays = np.zeros((2, *SENDERS))
    for place, (weight, delay) in entries.items():
        weights[place], delays[place] = weight, delay
    bias = [0.0, 0.0, -50.0, -50.0]
    options = {"init_delays": delays, "buffer_capacity": 3}
    return network(weights, bias, model=Ordered, **options)


def padded(*times):
    """Of one shape, so that all tests share one compilation."""
    return np.array([[*channel, *[INF] * (4 - len(channel))] for channel in times])


def test_at_one_time_neurons_in_ascending_order_then_inputs_then_observations():
    net = relay(
        {
            (I0, 0): (1.0, 2.0),  # 0 fires at 3
            (I0, 1): (1.0, 0.0),  # 1 fires at 1
            (0, 2): (1.0, 2.0),
            (1, 2): (1.0, 4.0),
            (I1, 2): (1.0, 0.5),
        }
    )
    inputs = padded([1.0], [4.5])
    assert spikes(net, inputs) == ([1.0, 3.0], [1, 0], [1, 2])
    before, then, _ = np.asarray(net.state_at_t(inputs, [4.999, 5.0, 9.0]))[2, :, 1]
    assert before == 0.0
    assert then == ((0 + 2) * 3 + 1) * 2


def test_simultaneous_arrivals_at_a_gated_unit():
    """W_z of a later arrival is gated by the W_r of one before."""
    rng = np.random.default_rng(1)
    size = (3, 1)
    leaves = {f"W_{g}": np.zeros(size) for g in "urz"} | {
        f"b_{g}": [0.0] for g in "urz"
    }
    leaves["W_r"][1:], leaves["W_z"][1:] = rng.normal(size=(2, 2, 1)) * 2
    net = EvNN(EGRU, 1, 10.0, 2, key=KEY, dtype=F64, init_axonal_delays=[0.0, 4.0, 2.0])
    net = eqx.tree_at(
        lambda n: [getattr(n.neuron_model, k) for k in leaves],
        net,
        [jnp.asarray(v) for v in leaves.values()],
    )
    seen = net.state_at_t(np.array([[1.0], [3.0]]), [5.0])[0, 0]
    first, second = leaves["W_r"][1:, 0]
    gate = 1 / (1 + np.exp(-first))
    proposal = leaves["W_z"][1, 0] * 0.5 + leaves["W_z"][2, 0] * gate
    np.testing.assert_allclose(seen, [0.0, 0.0, first + second, proposal], rtol=1e-12)


# Spikes under way ---------------------------------------------------------------------


def to_two(first, second):
    """Neuron 0 fires at each input, and 2 and 3 hear it after these delays."""
    return relay({(I0, 0): (1.0, 0.0), (0, 2): (1.0, first), (0, 3): (1.0, second)})


def test_two_spikes_of_one_neuron_are_under_way_at_once():
    net, inputs = to_two(10.0, 10.0), padded([1.0, 3.0], [])
    assert spikes(net, inputs) == ([1.0, 3.0], [0, 0], [1, 2])
    i = np.asarray(net.state_at_t(inputs, [10.9, 11.0, 13.0]))[2:, :, 1]
    decayed = 2.0 * np.exp(-2.0 / 5.0)
    np.testing.assert_allclose(i, [[0.0, 2.0, decayed + 2.0]] * 2, rtol=1e-12)


def test_a_spike_is_under_way_until_its_last_arrival():
    # At 11 the first one arrives at the second neuron, before the input.
    inputs = padded([1.0, 2.5, 4.0, 11.0], [])
    assert spikes(to_two(2.0, 10.0), inputs)[2] == [1, 2, 3, 3]


def test_arrivals_at_the_end_count_and_later_ones_take_no_room():
    # The end is 40: what is sent at 10 arrives in time at one of two neurons only, and
    # what is sent at 10.5 is never under way. There is room for three.
    net, inputs = to_two(30.0, 31.0), padded([4.0, 9.0, 10.0, 10.5], [])
    assert spikes(net, inputs) == ([4.0, 9.0, 10.0, 10.5], [0] * 4, [1, 2, 3, 3])
    i = np.asarray(net.state_at_t(inputs, [39.0, 39.0, 40.0]))[2:, 2, 1]
    one = 2.0 * (np.exp(-6.0 / 5.0) + np.exp(-1.0 / 5.0) + 1.0)
    np.testing.assert_allclose(i, [one, 2.0 * np.exp(-1.0) + 2.0], rtol=1e-12)


BUSY = np.array([9.0, 8.0, 8.5, 10.0])  # bias currents: a spike about every ms


def busy(seed):
    rng = np.random.default_rng(seed)
    return 0.1 * rng.normal(size=SENDERS), rng.uniform(14.0, 22.0, SENDERS)


def expected_pending(trace, delays):
    """Spikes with an arrival yet to come before the end, after each spike."""
    arrivals = trace.times[:, None] + delays[trace.neurons]
    arrivals[arrivals > T_MAX] = -INF
    last = arrivals.max(1)
    return [int(np.sum(last[: k + 1] > t)) for k, t in enumerate(trace.times)]


def test_many_spikes_under_way_in_a_batch_over_delays():
    inputs = np.array([[1.0, 9.0], [4.0, 20.0]])
    samples = [busy(seed) for seed in range(3)]
    traces = [truth(w, BUSY, inputs, d) for w, d in samples]
    needed = [expected_pending(t, d) for t, (_, d) in zip(traces, samples, strict=True)]
    # More than a row of the queue's table, which are as many as they are long.
    assert min(map(max, needed)) >= 40
    net = network(samples[0][0], BUSY, init_delays=samples[0][1], max_event_steps=600)

    @jax.jit
    @jax.vmap
    def record(weights, delays):
        leaves = lambda n: (n.neuron_model.weights, n.delays)  # noqa: E731
        return eqx.tree_at(leaves, net, (weights, delays)).record(inputs)

    found = record(*(jnp.asarray(x) for x in map(np.stack, zip(*samples, strict=True))))
    for b, trace in enumerate(traces):
        times, ids, pending = (np.asarray(x[b]) for x in found)
        n = len(trace.times)
        np.testing.assert_array_equal(ids[:n], trace.neurons)
        assert np.all(ids[n:] == -1)
        np.testing.assert_allclose(times[:n], trace.times, atol=1e-9)
        assert pending[:n].tolist() == needed[b]


def small(capacity, max_event_steps=30):
    """Neuron 0 fires at each input, and neuron 1 hears it 5 later."""
    return EvNN(
        ALIF,
        2,
        20.0,
        1,
        wmask=[[0, 1], [0, 0], [1, 0]],
        init_weights=np.array([[0.0, 0.1], [0.0, 0.0], [9.0, 0.0]]),
        init_bias=0.0,
        init_delays=np.array([[0.0, 5.0], [0.0, 0.0], [0.0, 0.0]]),
        buffer_capacity=capacity,
        max_event_steps=max_event_steps,
        dtype=F64,
        reset_grad_preserve=False,
        **CONSTANTS[ALIF] | {"beta": 0.0},
    )


BURST = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, INF]])
CALM = np.array([[1.0, INF, 8.0, 14.0, INF, INF]])


def test_a_queue_that_is_too_short_tells_what_is_needed():
    assert spikes(small(5), BURST)[2] == [1, 2, 3, 4, 5]
    net = small(2)
    spikes(net, CALM)
    loss = lambda net, x: jnp.sum(finite(net.record(x)[0]))  # noqa: E731
    gradient = eqx.filter_jit(eqx.filter_grad(loss))
    for function in (
        net.record,
        lambda x: jax.jit(jax.vmap(net.record))(jnp.stack([CALM, x])),
        lambda x: gradient(net, x),
    ):
        with pytest.raises(
            Exception,
            match=r"(?s)`buffer_capacity` = 2 .* 5 spikes.*`buffer_capacity=5`",
        ):
            jax.block_until_ready(function(BURST))
    assert all(jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(gradient(net, CALM)))


def test_a_queue_that_is_far_too_short_tells_enough():
    # Found failing: the error had no message.
    burst = np.linspace(1.0, 5.0, 300)[None]
    net = small(1, max_event_steps=1000)
    with pytest.raises(Exception, match=r"(?s)more than 256 spikes.*capacity=1000`"):
        jax.block_until_ready(net.record(burst))


def test_an_arrival_is_one_event_however_many_it_reaches():
    weights = np.zeros(SENDERS)
    weights[I0] = [1.5, 0.1, 0.2, 0.3]
    weights[0, 1:] = 0.1

    def run(delays, others):
        """One input of channel 0, which fires neuron 0, and some of channel 1."""
        net = network(weights, 0.0, model=ALIF, max_event_steps=9, init_delays=delays)
        inputs = np.full((M, 8), INF)
        inputs[0, 0], inputs[1, :others] = 1.0, 2.0 + np.arange(others)
        return spikes(net, inputs)[1]

    bound = "`max_event_steps` = 9"
    # The input, the spike, its arrival, and six inputs to all neurons.
    assert run(np.full(SENDERS, 2.0), 6) == [0]
    with pytest.raises(Exception, match=bound):
        run(np.full(SENDERS, 2.0), 7)
    # Different delays are arrivals of their own: four of the input, four of the spike.
    apart = 2.0 + 0.5 * np.arange(N) + np.zeros(SENDERS)
    assert run(apart, 0) == [0]
    with pytest.raises(Exception, match=bound):
        run(apart, 1)


# Gradients ----------------------------------------------------------------------------


def test_delays_between_silent_neurons_have_gradient_0():
    weights, _, inputs = sample()
    net = network(0.01 * weights, 0.0, init_delays=2.0, init_axonal_delays=1.0)
    assert spikes(net, inputs)[1] == []
    by_net, by_inputs = jacobian(net, inputs)
    for leaf in jax.tree.leaves((by_net, by_inputs)):
        np.testing.assert_array_equal(leaf, 0.0)


def test_delays_alone_can_be_trained():
    """Two inputs that each arrive too early for neuron 0 to fire at the target."""
    weights = np.zeros(SENDERS)
    weights[I0, 0], weights[I1, 0], weights[I1, 1] = 3.0, 2.0, 9.0
    weights[0, 2] = 9.0
    net = network(weights, 0.0, init_delays=1.0)
    trainable = eqx.tree_at(
        lambda n: n.delays, jax.tree.map(lambda _: False, net), True
    )
    moving, fixed = eqx.partition(net, trainable)
    inputs, target = jnp.array([[1.0], [2.0]]), jnp.array([12.0, 15.0])

    @eqx.filter_jit
    def step(moving):
        def loss(moving):
            times = eqx.combine(moving, fixed).ttfs(inputs)[jnp.array([0, 2])]
            return jnp.sum((times - target) ** 2)

        value, gradient = eqx.filter_value_and_grad(loss)(moving)
        return value, jax.tree.map(lambda x, g: x - 0.1 * g, moving, gradient)

    first, moving = step(moving)
    for _ in range(200):
        last, moving = step(moving)
    assert first > 10
    assert last < 1e-6
    trained = eqx.combine(moving, fixed)
    np.testing.assert_allclose(
        trained.ttfs(inputs)[jnp.array([0, 2])], target, atol=1e-3
    )
    np.testing.assert_array_equal(trained.neuron_model.weights, weights)
    trace = truth(weights, 0.0, np.asarray(inputs), np.asarray(trained.delays))
    np.testing.assert_allclose(trained.ttfs(inputs), trace.first_spikes(), atol=1e-9)
    # Who does not take part has kept its delay.
    assert trained.delays[3, 3] == 1.0


# The page about them -----------------------------------------------------------------


@pytest.mark.slow
def test_the_page_runs(capsys):
    page = Path(__file__).resolve().parents[1] / "docs" / "delays.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    names = {}
    exec(compile("".join(blocks), str(page), "exec"), names)  # our own text
    shapes, times, pending = capsys.readouterr().out.splitlines()
    assert shapes == "(4, 2) (4,)"
    assert "inf" not in times
    assert int(pending) <= 2
    inputs = names["inputs"]
    moved = names["trained"]
    np.testing.assert_allclose(moved.ttfs(inputs), [9.0, 16.0], atol=1e-2)
    before, after = names["delayed"].axonal_delays, moved.axonal_delays
    np.testing.assert_array_equal(before, after)
