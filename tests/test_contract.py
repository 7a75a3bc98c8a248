"""The public contract: names, order, defaults, shapes, and what is drawn."""

import dataclasses
import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import eventax
from eventax import neuron_models
from eventax.evnn import EvNN, FFEvNN
from eventax.neuron_models import AMOS, LIF, QIF, NeuronModel, Refractory

KEY = jax.random.PRNGKey(3)
CONSTANTS = {
    LIF: {"thresh": 1.0, "tsyn": 5.0, "tmem": 10.0},
    QIF: {"tsyn": 5.0, "tmem": 20.0},
}
REQUIRED = inspect.Parameter.empty
EVNN = {
    "neuron_model": REQUIRED,
    "n_neurons": REQUIRED,
    "max_solver_time": REQUIRED,
    "in_size": REQUIRED,
    "key": None,
    "t0": 0.0,
    "wmask": None,
    "init_delays": None,
    "dlim": None,
    "init_axonal_delays": None,
    "axonal_dlim": None,
    "output_neurons": None,
    "input_neurons": None,
    "buffer_capacity": None,
    "max_event_steps": 1000,
    "solver_stepsize": 0.001,
    "output_no_spike_value": jnp.inf,
    "root_finder": None,
    "stepsize_controller": None,
    "solver": None,
    "adjoint": None,
    "dtype": jnp.float32,
    "engine": "auto",
    "neuron_model_kwargs": REQUIRED,
}
FFEVNN = {
    "layers": REQUIRED,
    "in_size": REQUIRED,
    "neuron_model": REQUIRED,
    "max_solver_time": REQUIRED,
    "key": None,
    "init_delays": None,
    "dlim": None,
    "init_axonal_delays": None,
    "axonal_dlim": None,
    "buffer_capacity": None,
    "solver_stepsize": 0.01,
    "adjoint": None,
    "max_event_steps": 100,
    "output_no_spike_value": None,
    "root_finder": None,
    "stepsize_controller": None,
    "solver": None,
    "dtype": jnp.float32,
    "engine": "auto",
    "neuron_model_kwargs": REQUIRED,
}
BUILD = dict.fromkeys(("key", "n_neurons", "in_size", "wmask"), REQUIRED)
DRAWN = {
    "blim": None,
    "bmean": 0.0,
    "init_bias": None,
    "wlim": None,
    "wmean": 0.0,
    "init_weights": None,
    "fan_in_mode": None,
    "dtype": jnp.float32,
}
LIF_ARGS = {
    **BUILD,
    **dict.fromkeys(("thresh", "tsyn", "tmem"), REQUIRED),
    "vreset": 0.0,
    **DRAWN,
    "reset_grad_preserve": True,
}
QIF_ARGS = {**BUILD, **dict.fromkeys(("tmem", "tsyn"), REQUIRED), **DRAWN}


def build(model=LIF, n=3, m=2, end=30.0, **changes):
    keywords = {"init_weights": 2.0, "init_bias": 0.0, **CONSTANTS[model]}
    return EvNN(model, n, end, m, **(keywords | changes))


# Names, order, defaults ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "wanted"),
    [(EvNN, EVNN), (FFEvNN, FFEVNN), (LIF, LIF_ARGS), (QIF, QIF_ARGS)],
)
def test_constructors(cls, wanted):
    found = {p.name: p.default for p in inspect.signature(cls).parameters.values()}
    if cls is FFEvNN:
        # Before what takes all the rest.
        found["output_neurons"] = found.pop("output_neurons")
    extra = dict(list(found.items())[len(wanted) :])
    assert list(found.items())[: len(wanted)] == list(wanted.items())
    # Keywords of our own come last and are optional.
    own = {QIF: {"flow_tolerance": None}, FFEvNN: {"output_neurons": None}}
    assert extra == own.get(cls, {})


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("ttfs", ["in_spike_times"]),
        ("spikes_until_t", ["in_spike_times", "final_time", "max_spikes"]),
        ("state_at_t", ["in_spike_times", "comp_times"]),
        ("record", ["in_spike_times"]),
        ("init_state", []),
        ("get_wmask", []),
    ],
)
def test_methods(name, wanted):
    parameters = inspect.signature(getattr(build(), name)).parameters
    assert [k for k, p in parameters.items() if p.kind is not p.KEYWORD_ONLY] == wanted
    if "max_spikes" in wanted:
        assert parameters["max_spikes"].default == 100


def test_import_paths():
    assert eventax.EvNN is EvNN
    assert eventax.FFEvNN is FFEvNN
    assert issubclass(LIF, NeuronModel)
    assert issubclass(QIF, NeuronModel)


def test_readable_attributes():
    net = build(
        end=70.0,
        output_neurons=np.array([False, True, True]),
        input_neurons=np.array([True, False, True]),
        max_event_steps=17,
        output_no_spike_value=-1.0,
        tmem=np.array([1.0, 2.0, 3.0]),
    )
    assert (net.n_neurons, net.in_size, net.dtype) == (3, 2, jnp.float32)
    assert (net.max_solver_time, net.max_event_steps) == (70.0, 17)
    assert net.output_no_spike_value == -1.0
    assert (net.use_delays, net.use_axonal_delays) == (False, False)
    assert net.delays is None
    assert net.axonal_delays is None
    np.testing.assert_array_equal(net.output_indices, [1, 2])
    np.testing.assert_array_equal(net.input_indices, [0, 2])
    np.testing.assert_array_equal(net.neuron_model.tmem.value, [1.0, 2.0, 3.0])
    assert net.neuron_model.tsyn.value == 5.0
    assert net.neuron_model.dtype == jnp.float32


# Leaves -------------------------------------------------------------------------------


MODELS = [getattr(neuron_models, name) for name in neuron_models.__all__]
MODELS = [model for model in MODELS if inspect.isclass(model)]


@pytest.mark.parametrize("model", [*MODELS, Refractory(LIF), AMOS(LIF)])
def test_help_on_a_model_shows_what_users_call(model):
    """What the engine asks of a model begins with an underscore."""
    named = {name for name in dir(model) if not name.startswith("_")}
    values = {field.name for field in dataclasses.fields(model)}
    values |= {name for name in named if isinstance(getattr(model, name), property)}
    assert named - values == {
        *("init_state", "dynamics", "spike_condition", "input_spike", "reset_spiked"),
        *("observe", "flow", "units", "sender_leaves", "receive"),
        *("independent", "per_neuron"),
    }


@pytest.mark.parametrize("model", [LIF, QIF])
def test_leaves_are_the_trainable_parameters(model):
    net = build(model)
    leaves = jax.tree.leaves(eqx.filter(net, eqx.is_array))
    assert sorted(x.shape for x in leaves) == [(3,), (5, 3)]
    assert all(eqx.is_inexact_array(x) for x in leaves)
    assert len(jax.tree.leaves(net)) == len(leaves)  # nothing but arrays


@pytest.mark.parametrize("model", [LIF, QIF])
def test_optax_takes_a_network_as_it_stands(model):
    net = build(model)
    optimizer = optax.adam(0.1)
    state = optimizer.init(net)
    grads = jax.tree.map(jnp.ones_like, net)
    params = eqx.filter(net, eqx.is_array)
    updates, state = optimizer.update(grads, state, params=params)
    new = eqx.apply_updates(net, updates)
    np.testing.assert_allclose(
        new.neuron_model.ic, net.neuron_model.ic - 0.1, rtol=1e-5
    )
    assert jax.tree.structure(new) == jax.tree.structure(net)


def test_weights_are_replaced_with_tree_at():
    net = build()
    new = eqx.tree_at(lambda n: n.neuron_model.weights, net, jnp.ones((5, 3)))
    np.testing.assert_array_equal(new.neuron_model.weights, np.ones((5, 3)))
    np.testing.assert_array_equal(net.neuron_model.weights, np.full((5, 3), 2.0))


# Connectivity -------------------------------------------------------------------------


def test_default_mask():
    np.testing.assert_array_equal(build().get_wmask(), np.ones((5, 3)))
    net = build(input_neurons=np.array([True, False, False]))
    wanted = np.concatenate([np.ones((3, 3)), [[1, 0, 0]] * 2])
    np.testing.assert_array_equal(net.get_wmask(), wanted)
    assert net.get_wmask().dtype == jnp.float32
    np.testing.assert_array_equal(net.neuron_model.weights, 2.0 * wanted)


def test_a_mask_of_any_array_type_is_taken_as_it_is():
    mask = np.arange(15).reshape(5, 3) % 2
    for value in (mask, mask.astype(bool), jnp.asarray(mask, jnp.float32), [*mask]):
        net = build(wmask=value, input_neurons=np.zeros(3, bool))
        np.testing.assert_array_equal(net.get_wmask(), mask)


def test_layers_are_numbered_in_order():
    net = FFEvNN(
        [2, 1, 2], 1, LIF, 30.0, init_weights=1.0, init_bias=0.0, **CONSTANTS[LIF]
    )
    wanted = np.zeros((6, 5))
    wanted[5, :2] = 1  # the input feeds the first layer
    wanted[:2, 2] = 1
    wanted[2, 3:] = 1
    np.testing.assert_array_equal(net.get_wmask(), wanted)
    np.testing.assert_array_equal(net.output_indices, [3, 4])
    np.testing.assert_array_equal(net.input_indices, [0, 1])
    assert net.n_neurons == 5
    assert net.output_no_spike_value == np.inf
    assert net.max_event_steps == 100


def test_one_layer_is_input_and_output():
    net = FFEvNN([2], 3, LIF, 30.0, init_weights=1.0, init_bias=0.0, **CONSTANTS[LIF])
    np.testing.assert_array_equal(net.get_wmask(), [[0, 0]] * 2 + [[1, 1]] * 3)
    np.testing.assert_array_equal(net.output_indices, [0, 1])


# What is drawn ------------------------------------------------------------------------

MASK = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 1], [1, 0, 1], [1, 0, 0]])


def uniform(key, shape, mean, width):
    low, high = mean - width / 2, mean + width / 2
    return jax.random.uniform(key, shape, jnp.float32, minval=low, maxval=high)


@pytest.mark.parametrize("model", [LIF, QIF])
def test_what_is_drawn_from_a_key(model):
    """As eventax 0.1.0 draws it."""
    width = {"wlim": 4.0, "wmean": 1.0, "blim": 0.5, "bmean": 0.2}
    random = {"init_weights": None, "init_bias": None, **width}
    _, key = jax.random.split(KEY)
    wkey, bkey = jax.random.split(key, 2)
    net = build(model, key=KEY, wmask=MASK, **random).neuron_model
    np.testing.assert_array_equal(net.weights, uniform(wkey, (5, 3), 1.0, 4.0) * MASK)
    np.testing.assert_array_equal(net.ic, uniform(bkey, (3,), 0.2, 0.5))
    # Where only one of them is random it takes the whole key.
    net = build(model, key=KEY, wmask=MASK, **(random | {"init_bias": 0.0}))
    weights = uniform(key, (5, 3), 1.0, 4.0) * MASK
    np.testing.assert_array_equal(net.neuron_model.weights, weights)
    net = build(model, key=KEY, wmask=MASK, **(random | {"init_weights": 1.0}))
    np.testing.assert_array_equal(net.neuron_model.ic, uniform(key, (3,), 0.2, 0.5))


@pytest.mark.parametrize(
    ("mode", "scale"),
    [("linear", [1 / 3, 1.0, 1 / 3]), ("sqrt", [3**-0.5, 1.0, 3**-0.5]), (None, [1.0])],
)
def test_fan_in_counts_the_mask(mode, scale):
    random = {"init_weights": None, "wlim": 4.0}
    plain = build(key=KEY, wmask=MASK, **random).neuron_model.weights
    net = build(key=KEY, wmask=MASK, fan_in_mode=mode, **random)
    np.testing.assert_allclose(net.neuron_model.weights, plain * np.array(scale), 1e-6)


def test_fan_in_counts_the_default_mask_too():
    settings = {"init_weights": None, "wlim": 4.0, "key": KEY}
    settings["input_neurons"] = np.array([True, True, False])
    plain = build(**settings).neuron_model.weights
    scaled = build(fan_in_mode="linear", **settings).neuron_model.weights
    np.testing.assert_allclose(scaled, plain / np.array([5, 5, 3]), rtol=1e-6)


def test_given_values_are_used_as_they_are():
    weights, bias = np.arange(15.0).reshape(5, 3), np.arange(3.0)
    net = build(
        wmask=MASK, init_weights=weights, init_bias=bias, fan_in_mode="linear"
    ).neuron_model
    np.testing.assert_array_equal(net.weights, weights * MASK)
    np.testing.assert_array_equal(net.ic, bias)
    np.testing.assert_array_equal(build(init_bias=0.5).neuron_model.ic, [0.5] * 3)


# Results ------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "start"), [(LIF, [0, 0]), (QIF, [0.5, 0])])
def test_initial_state(model, start):
    y = build(model).init_state()
    assert y.dtype == jnp.float32
    np.testing.assert_array_equal(y, np.tile(start, (3, 1)))


@pytest.fixture(scope="module")
def net():
    return build(
        wmask=np.eye(5, 3, -3),
        output_neurons=np.array([True, False, True]),
        init_weights=8.0,
        max_event_steps=40,
        output_no_spike_value=99.0,
    )


def test_shapes_and_fill(net):
    inputs = jnp.array([[1.0, 9.0], [3.0, jnp.inf]])  # to neurons 0 and 1
    times = net.ttfs(inputs)
    assert times.shape == (2,)
    assert times.dtype == jnp.float32
    assert times[1] == 99.0

    trains = net.spikes_until_t(inputs, 25.0)
    assert trains.shape == (2, 100)
    n_spikes = int(jnp.sum(trains[0] < 99.0))
    assert n_spikes > 1
    assert trains[0, 0] == times[0]
    assert jnp.all(jnp.diff(trains[0, :n_spikes]) > 0)
    assert jnp.all(trains[1] == 99.0)
    few = net.spikes_until_t(inputs, 25.0, max_spikes=1)
    np.testing.assert_array_equal(few, trains[:, :1])

    spikes, neurons, pending = net.record(inputs)
    assert spikes.shape == neurons.shape == pending.shape == (40,)
    fired = int(jnp.sum(neurons >= 0))
    assert jnp.all(jnp.diff(spikes[:fired]) >= 0)
    assert jnp.all(spikes[fired:] == 99.0)
    assert jnp.all(neurons[fired:] == -1)
    assert jnp.all(pending[:fired] == 0)
    assert jnp.all(pending[fired:] == -1)
    np.testing.assert_array_equal(spikes[neurons == 0][:n_spikes], trains[0, :n_spikes])


def test_states_come_in_the_order_of_the_times(net):
    inputs = jnp.array([[1.0, 9.0], [3.0, jnp.inf]])
    times = np.array([[12.0, 0.5], [1.0, 9.0]])
    states = net.state_at_t(inputs, times)
    assert states.shape == (2, 4, 2)
    order = np.argsort(times.reshape(-1))
    sorted_states = net.state_at_t(inputs, times.reshape(-1)[order])
    np.testing.assert_array_equal(states[:, order], sorted_states)
    # Right-continuous: the input at 1.0 has arrived.
    np.testing.assert_array_equal(states[0, 2], [0.0, 8.0])


def test_input_times_need_not_be_sorted(net):
    inputs = jnp.array([[1.0, 9.0], [3.0, jnp.inf]])
    np.testing.assert_array_equal(net.record(inputs)[0], net.record(inputs[:, ::-1])[0])


def test_no_input(net):
    np.testing.assert_array_equal(net.ttfs(None), [99.0, 99.0])
