"""Wide layers without closed form: clocks of their own give the general results."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eventax import EvNN, FFEvNN
from eventax.neuron_models import EIF, PQIF, QIF, Izhikevich, Refractory

pytestmark = pytest.mark.usefixtures("x64")

WIDE, LAST, T_END = 14, 2, 40.0
N = WIDE + LAST
MASK = np.zeros((N + 1, N))
MASK[:WIDE, WIDE:] = MASK[N:, :WIDE] = 1.0
QIF_KEYWORDS = {"tsyn": 5.0, "tmem": 10.0, "wmean": 2.5, "wlim": 2.0}
QIF_KEYWORDS |= {"bmean": 0.5, "blim": 0.5}
PER_NEURON = {"tmem": np.linspace(8.0, 12.0, N), "flow_tolerance": 1e-12}
EIF_KEYWORDS = QIF_KEYWORDS | {"wmean": 15.0, "wlim": 10.0, "bmean": 10.0}
IZHIKEVICH = {"wmean": 20.0, "wlim": 10.0, "bmean": 8.0, "blim": 4.0}
CASES = [
    pytest.param(QIF, QIF_KEYWORDS | PER_NEURON, 1e-9, id="QIF, constants of each"),
    pytest.param(
        EIF,
        EIF_KEYWORDS | {"dlim": 4.0},
        1e-3,
        id="EIF, delays",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        Refractory(Izhikevich),
        IZHIKEVICH | {"t_refrac": 2.0},
        1e-3,
        id="Refractory(Izhikevich)",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        PQIF,
        {k: v for k, v in QIF_KEYWORDS.items() if k not in ("tsyn", "tmem")}
        | {"init_tsyn": 5.0, "init_tmem": 10.0, "flow_tolerance": 1e-12},
        1e-9,
        id="PQIF",
        marks=pytest.mark.slow,
    ),
]

INPUTS = np.array([[[3.0]], [[np.inf]], [[0.0]]])


def both(model, **keywords):
    """A feed-forward network and the same one for the general engine."""
    common = {"key": jax.random.PRNGKey(3), "max_event_steps": 2000} | keywords
    common["dtype"] = jnp.float64
    net = FFEvNN([WIDE, LAST], 1, model, T_END, **common)
    outputs = np.arange(N) >= WIDE
    return net, EvNN(model, N, T_END, 1, wmask=MASK, output_neurons=outputs, **common)


@eqx.filter_jit
def look(net, inputs):
    """Spikes of a batch and the gradient through them."""

    def loss(net_and_inputs):
        net, inputs = net_and_inputs
        trains = jax.vmap(lambda x: net.spikes_until_t(x, T_END, 5))(inputs)
        return jnp.sum(jnp.sin(jnp.where(trains < jnp.inf, trains, 0.0))), trains

    (_, trains), grads = eqx.filter_value_and_grad(loss, has_aux=True)((net, inputs))
    return trains, eqx.filter(grads, eqx.is_array)


@eqx.filter_jit
def look_elsewhere(net, inputs):
    """First spikes, states and the gradient by these."""

    def loss(net):
        states = jax.vmap(lambda x: net.state_at_t(x, jnp.array([0.0, 30.0])))(inputs)
        return jnp.sum(jnp.tanh(states / 10)), states

    (_, states), grads = eqx.filter_value_and_grad(loss, has_aux=True)(net)
    return jax.vmap(net.ttfs)(inputs), states, eqx.filter(grads, eqx.is_array)


def assert_same(mine, wanted, tolerance):
    """Equal leaves, in units of the largest number of each."""
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(wanted), strict=True):
        scale = np.max(np.abs(b), initial=1e-12, where=np.isfinite(b))
        np.testing.assert_allclose(a / scale, b / scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("model", "keywords", "tolerance"), CASES)
def test_spikes_and_gradients_are_those_of_the_general_engine(
    model, keywords, tolerance
):
    net, other = both(model, **keywords)
    assert net._in_layers(jnp.asarray(INPUTS[0]))
    trains, grads = look(net, INPUTS)
    wanted, wanted_grads = look(other, INPUTS)
    fired = np.isfinite(wanted)
    assert fired.sum() >= 6
    np.testing.assert_array_equal(np.isfinite(trains), fired)
    np.testing.assert_allclose(trains[fired], wanted[fired], rtol=0, atol=tolerance)
    assert_same(grads, wanted_grads, 50 * tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "keywords", "tolerance"), CASES)
def test_so_are_states_and_first_spikes(model, keywords, tolerance):
    net, other = both(model, **keywords)
    mine, wanted = look_elsewhere(net, INPUTS), look_elsewhere(other, INPUTS)
    assert_same(mine, wanted, 50 * tolerance)


def test_few_neurons_with_many_arrivals_share_a_clock():
    net, _ = both(QIF, **QIF_KEYWORDS)
    assert not net._in_layers(jnp.zeros((1, 3)))


@pytest.mark.parametrize(
    ("keywords", "inputs", "message"),
    [
        ({"max_event_steps": 3}, [[1.0]], "max_event_steps"),
        ({}, [[jnp.nan]], "NaN"),
    ],
)
def test_limits_and_faults_are_errors(keywords, inputs, message):
    net, _ = both(QIF, **QIF_KEYWORDS | keywords)
    with pytest.raises(Exception, match=message):
        jax.block_until_ready(net.spikes_until_t(jnp.array(inputs), T_END, 5))


def test_a_first_spike_that_was_not_waited_for_is_an_error():
    bias = np.where(np.arange(N) == WIDE, 30.0, 0.0)  # one output fires for ever
    own = {"init_weights": 0.0, "init_bias": bias, "tsyn": 5.0, "tmem": 10.0}
    net, _ = both(QIF, max_event_steps=5, **own)
    with pytest.raises(Exception, match="max_event_steps"):
        jax.block_until_ready(net.ttfs(jnp.array([[1.0]])))
