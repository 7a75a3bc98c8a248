"""Methods of a network as functions of their own."""

import inspect
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eventax import EvNN
from eventax.neuron_models import LIF

X = jnp.array([[1.0]])
METHODS = {
    "ttfs": (),
    "spikes_until_t": (40.0,),
    "state_at_t": (jnp.array([5.0]),),
    "record": (),
    "max_over_time": (),
    "integral": (),
}


@pytest.fixture(scope="module")
def net():
    kwargs = {"thresh": 1.0, "tsyn": 5.0, "tmem": 10.0, "init_bias": 0.0}
    mask = [[0, 0], [0, 0], [1, 1]]
    return EvNN(LIF, 2, 50.0, 1, wmask=mask, init_weights=5.0, **kwargs)


@pytest.mark.parametrize("name", METHODS)
def test_jit_of_a_method(net, name):
    # Found failing: "unhashable type: 'jaxlib._jax.ArrayImpl'".
    method, rest = getattr(net, name), METHODS[name]
    found, wanted = jax.jit(method)(X, *rest), method(X, *rest)
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


def test_a_method_is_its_network_s_own(net):
    stronger = eqx.tree_at(lambda n: n.neuron_model.weights, net, replace_fn=twice)
    assert net.ttfs == net.ttfs
    assert hash(net.ttfs) == hash(net.ttfs)
    assert net.ttfs != stronger.ttfs
    assert net.ttfs != net.record
    assert np.all(jax.jit(stronger.ttfs)(X) < jax.jit(net.ttfs)(X))


def twice(x):
    return 2 * x


def test_a_method_is_a_pytree(net):
    (by_method,) = eqx.filter_grad(lambda f: jnp.sum(f[0](X)))((net.integral,))
    by_net = eqx.filter_grad(lambda n: jnp.sum(n.integral(X)))(net)
    np.testing.assert_array_equal(
        by_method.network.neuron_model.weights, by_net.neuron_model.weights
    )


def test_a_method_is_named_and_pickled(net):
    method = net.ttfs
    assert method.__name__ == "ttfs"
    assert method.__doc__ == EvNN.ttfs.__doc__
    assert list(inspect.signature(method).parameters) == ["in_spike_times", "neurons"]
    copied = pickle.loads(pickle.dumps(method))
    np.testing.assert_array_equal(copied(X), method(X))
