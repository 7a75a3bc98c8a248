"""States, spikes and readouts of any neurons of a network."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow

from eventax import EvNN, FFEvNN
from eventax.neuron_models import LIF

pytestmark = pytest.mark.usefixtures("x64")

LIF_ARGS = {"thresh": 1.0, "tsyn": 5.0, "tmem": np.linspace(8, 12, 5)}
LIF_ARGS |= {"init_bias": np.linspace(0.8, 1.4, 5), "dtype": jnp.float64}
X = jnp.array([[1.0, 6.0], [2.0, jnp.inf]])


def network(kind, outputs=None, **more):
    weights = np.ones((7, 5))
    if kind is EvNN:
        weights[:5] = 0.1  # among themselves, lest they excite each other ever more
    args = {"init_weights": weights, "output_neurons": outputs, **LIF_ARGS}
    if kind is FFEvNN:
        return FFEvNN([3, 2], 2, LIF, 30.0, **args, **more)
    return EvNN(LIF, 5, 30.0, 2, **args, max_event_steps=400, **more)


def results(net, **wish):
    return {
        "ttfs": net.ttfs(X, **wish),
        "spikes": net.spikes_until_t(X, 25.0, 3, **wish),
        "states": net.state_at_t(X, [3.0, 20.0], **wish),
        "highest": net.max_over_time(X, **wish),
        "integral": net.integral(X, **wish),
    }


@pytest.mark.parametrize("kind", [slow(EvNN), FFEvNN])
def test_any_neurons_as_if_they_were_the_outputs(kind):
    whole = results(network(kind, np.ones(5, bool)))
    assert np.all(np.isfinite(whole["ttfs"]))
    net = network(kind)
    whole = {name: np.asarray(value) for name, value in whole.items()}
    for neurons in ([1, 2], [3], [4, 0], np.array([True, False, True, False, True])):
        index = (
            np.flatnonzero(neurons) if np.asarray(neurons).dtype == bool else neurons
        )
        for name, found in results(net, neurons=neurons).items():
            np.testing.assert_allclose(
                found, whole[name][index], rtol=1e-12, err_msg=name
            )
    default = results(net)
    shown = np.arange(3, 5) if kind is FFEvNN else np.arange(5)
    for name, found in default.items():
        np.testing.assert_allclose(found, whole[name][shown], rtol=1e-12)


def test_a_feed_forward_network_shows_the_outputs_that_it_is_given():
    # Found failing: got multiple values for keyword argument.
    hidden = np.arange(5) < 3
    net = network(FFEvNN, hidden)
    assert net.output_indices.tolist() == [0, 1, 2]
    np.testing.assert_allclose(
        net.ttfs(X), network(FFEvNN).ttfs(X, neurons=hidden), rtol=1e-13
    )


@pytest.mark.parametrize("bad", [[5], [-1], [0, 0], [0.5], [[0]], np.ones(4, bool)])
def test_neurons_are_those_of_the_network(bad):
    with pytest.raises(ValueError, match="`neurons`"):
        network(FFEvNN).ttfs(X, neurons=bad)


def test_neurons_that_are_traced():
    net = network(FFEvNN)
    asked = eqx.filter_jit(lambda neurons: net.ttfs(X, neurons=neurons))
    with pytest.raises(TypeError, match=r"`neurons` must be .* Python sees.*`range`"):
        asked(np.arange(2))
    np.testing.assert_array_equal(asked(range(2)), net.ttfs(X, neurons=[0, 1]))
