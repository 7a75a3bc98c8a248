"""Sizes and limits from 0 and 1 on: none of them is taken for another."""

import inspect
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array
from marks import slow
from oracle import lif
from populations import MODELS

from eventax import EvNN, FFEvNN
from eventax.neuron_models import LIF, Refractory

pytestmark = pytest.mark.usefixtures("x64")

T_END = 30.0
CONSTANTS = {"thresh": 1.0, "tsyn": 5.0, "tmem": 10.0}


def layered(layers, m):
    """The mask, said once more."""
    layer = np.concatenate([np.repeat(np.arange(len(layers)), layers), np.full(m, -1)])
    return (layer[:, None] + 1 == layer[None, : sum(layers)]).astype(float)


def drawn(layers, m, k, seed=0):
    """Mask, weights, bias currents of which every other one fires by itself, inputs."""
    rng, n = np.random.default_rng(seed), sum(layers)
    weights = rng.uniform(1.0, 4.0, (n + m, n)) / np.repeat([3.0, 1.0], [n, m])[:, None]
    bias = np.where(np.arange(n) % 2 == 0, 1.2, 0.9)
    return layered(layers, m), weights, bias, rng.uniform(1.0, 20.0, (m, k))


def network(kind, layers, m, mask, weights, bias, **options):
    n = sum(layers)
    options = {
        "init_weights": weights,
        "init_bias": bias,
        "dtype": jnp.float64,
    } | options
    options |= CONSTANTS
    if kind is FFEvNN:
        return FFEvNN(layers, m, LIF, T_END, **options)
    outputs = np.arange(n) >= n - layers[-1]
    return EvNN(LIF, n, T_END, m, wmask=mask, output_neurons=outputs, **options)


def padded(trains, length):
    """The first spikes of each neuron, then inf."""
    rows = [np.concatenate([t, np.full(length, np.inf)])[:length] for t in trains]
    return np.array(rows)


# Exactly as many events as there are, so that the limit takes any value beside N and M.
ROWS = [
    # layers, inputs, spikes per input
    ([1], 0, 0),
    slow([31, 1], 1, 1),
    slow([1], 1, 0),
    slow([1, 1], 0, 2),
    slow([3, 1], 2, 3),
    slow([9, 2], 1, 1),
]


@pytest.mark.parametrize("kind", [FFEvNN, EvNN])
@pytest.mark.parametrize(("layers", "m", "k"), ROWS)
def test_small_sizes_and_tight_limits(kind, layers, m, k):
    mask, weights, bias, inputs = drawn(layers, m, k)
    trace = lif.simulate(mask * weights, bias, inputs, t_max=T_END, **CONSTANTS)
    n, n_events = sum(layers), len(trace.times) + inputs.size
    outputs = np.arange(n - layers[-1], n)
    trains = [trace.times[trace.neurons == j] for j in outputs]
    net = network(kind, layers, m, mask, weights, bias, max_event_steps=n_events)

    times, neurons, _ = net.record(inputs)
    np.testing.assert_allclose(times[: len(trace.times)], trace.times, rtol=1e-12)
    np.testing.assert_array_equal(neurons[: len(trace.times)], trace.neurons)
    for length in (0, 1, 3, n_events + 1):
        seen = net.spikes_until_t(inputs, T_END, max_spikes=length)
        np.testing.assert_allclose(seen, padded(trains, length), rtol=1e-12)
    first = padded(trains, 1)[:, 0]
    np.testing.assert_allclose(net.ttfs(inputs), first, rtol=1e-12)
    assert net.state_at_t(inputs, []).shape == (layers[-1], 0, 2)
    assert np.any(np.isfinite(first)) or layers == [1, 1]

    @jax.jit
    @jax.grad
    def gradient(net):
        return jnp.sum(jnp.where(np.isfinite(first), net.ttfs(inputs), 0))

    gradient = gradient(net)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


def silent_layers(max_event_steps):
    """Of 31 neurons three fire, and then the output does."""
    weights = np.zeros((33, 32))
    weights[32, [3, 17, 30]], weights[:31, 31] = 5.0, 3.0
    return FFEvNN(
        [31, 1],
        1,
        LIF,
        T_END,
        init_weights=weights,
        init_bias=0.0,
        max_event_steps=max_event_steps,
        **CONSTANTS,
    )


def test_fewer_events_than_neurons():
    # Found failing: the number of neurons was that of events, and the output none.
    net = silent_layers(20)
    first = net.ttfs([[1.0]])
    trains = net.spikes_until_t([[1.0]], T_END, max_spikes=2)
    np.testing.assert_array_equal(trains[:, 0], first)
    assert np.isfinite(first[0])
    wide = silent_layers(100).spikes_until_t([[1.0]], T_END, max_spikes=2)
    np.testing.assert_array_equal(trains, wide)


# Which arrays are by neuron -----------------------------------------------------------


class Tuned(LIF):
    """A gain for each channel, and a jump for each neuron."""

    gains: Array
    jump: Array

    independent: ClassVar[bool] = True
    per_neuron: ClassVar[tuple[str, ...]] = ("jump",)

    def __init__(self, key, n_neurons, in_size, wmask, gains, jump, **keywords):
        super().__init__(key, n_neurons, in_size, wmask, **keywords)
        self.gains = jnp.asarray(gains, self.dtype)
        self.jump = jnp.broadcast_to(jnp.asarray(jump, self.dtype), (n_neurons,))

    def reset_spiked(self, y, spiked_mask):
        low = self.jump[:, None] * jnp.sum(self.gains) * jnp.ones_like(y)
        return jnp.where(spiked_mask[:, None], low, y)


class Forgotten(Tuned):
    """Does not tell of an array by neuron."""

    per_neuron: ClassVar[tuple[str, ...]] = ()
    own: Array

    def __init__(self, key, n_neurons, in_size, wmask, **keywords):
        super().__init__(key, n_neurons, in_size, wmask, **keywords)
        self.own = jnp.zeros((n_neurons,), self.dtype)

    def spike_condition(self, t, y, **kwargs):
        return super().spike_condition(t, y) + self.own

    independent: ClassVar[bool] = True


@pytest.mark.parametrize("wrap", [lambda model: model, Refractory])
def test_an_array_as_long_as_there_are_neurons_stays_whole(wrap):
    # Found failing: with four neurons, the four gains were cut to those of the layer.
    layers, m, n = [3, 1], 1, 4
    mask, weights, bias, inputs = drawn(layers, m, 2)
    keywords = CONSTANTS | {"init_weights": weights, "init_bias": bias}
    keywords |= {"gains": [0.1, 0.2, 0.3, 0.4], "jump": np.linspace(-0.5, 0.0, n)}
    keywords |= {"dtype": jnp.float64}
    net = FFEvNN(layers, m, wrap(Tuned), T_END, **keywords)
    assert net._plans.value is not None
    other = EvNN(wrap(Tuned), n, T_END, m, wmask=mask, **keywords)
    one, two = (net.record(inputs)[0] for net in (net, other))
    n_spikes = int(np.sum(np.isfinite(two)))
    assert n_spikes > 4
    np.testing.assert_allclose(one[:n_spikes], two[:n_spikes], rtol=1e-12)
    part = net.neuron_model._part(n, slice(0, 3))
    part = getattr(part, "neuron", part)
    assert part.gains.shape == (4,)
    assert part.jump.shape == part.ic.shape == (3,)


def test_an_array_by_neuron_that_is_not_named_is_an_error():
    keywords = CONSTANTS | {"init_weights": 1.0, "init_bias": 0.0}
    keywords |= {"gains": [1.0], "jump": 0.0}
    with pytest.raises(ValueError, match=r"Forgotten.*`per_neuron`.*last axis"):
        FFEvNN([3, 1], 1, Forgotten, T_END, **keywords)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "Multi"])
def test_a_built_in_model_names_its_arrays(name):
    n = 5  # like no other size
    given = {"init_tmem": 1.0, "init_tsyn": 1.0, "shared_time_constants": False}
    cls, constants = MODELS[name].cls, MODELS[name].constants
    given = {k: v for k, v in given.items() if k in inspect.signature(cls).parameters}
    whole = {k: np.resize(v, n) for k, v in constants.items()}
    given |= {k: v for k, v in whole.items() if k not in given}
    if name != "EGRU":
        given |= {"init_weights": 0.0, "init_bias": 0.0}
    net = EvNN(Refractory(cls), n, T_END, 2, key=jax.random.PRNGKey(0), **given)
    for neurons in (slice(1, 3), np.array([0, 2])):
        part = net.neuron_model._part(n, neurons)
        for leaf in jax.tree.leaves(part):
            assert leaf.shape[-1] in (1, 2)
        constants = [x.value for x in vars(part.neuron).values() if hasattr(x, "value")]
        assert all(np.shape(x) in ((), (2,)) for x in constants)
