"""Small random networks, and ways to run a batch of them in one compilation.

Time constants are part of a network's identity, weights, bias currents and inputs are
not: so one network with different constants in each neuron, under `jax.vmap` over all
the rest, covers many cases for one compilation.
"""

import equinox as eqx
import jax
import numpy as np

from eventax import EvNN

N, M, T_MAX = 5, 3, 40.0
# Slow and fast synapses, equal and nearly equal time constants.
TMEM = np.array([10.0, 10.0, 20.0, 4.0, 30.0])
TSYN = np.array([5.0, 10.0, 20.0 * (1 + 1e-7), 12.0, 0.5])


def with_params(net, weights, ic):
    """`net` with other weights and bias currents."""
    leaves = lambda net: (net.neuron_model.weights, net.neuron_model.ic)  # noqa: E731
    return eqx.tree_at(leaves, net, (weights, ic))


def random_params(seeds, *, n=N, m=M, size=1.5, per_input=3, ic=(0.3, 1.3)):
    """Weights (B, n+m, n), bias currents (B, n) and inputs (B, m, per_input)."""
    samples = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        weights = rng.normal(size=(n + m, n)) * size
        weights[n:] += size
        currents = rng.uniform(*ic, n)
        inputs = rng.uniform(1.0, 0.9 * T_MAX, (m, per_input))
        samples.append((weights, currents, inputs))
    return tuple(np.stack(arrays) for arrays in zip(*samples, strict=True))


def network(model, *, dtype, **options):
    """A network whose weights and currents are to be replaced."""
    settings = {
        "n_neurons": N,
        "in_size": M,
        "max_solver_time": T_MAX,
        "max_event_steps": 120,
        "init_weights": 0.0,
        "init_bias": 0.0,
    }
    return EvNN(model, dtype=dtype, **(settings | options))


def batched(net, function):
    """function(net, inputs) over batches of weights, currents and inputs, compiled."""

    @jax.jit
    def run(weights, ic, inputs):
        def one(weights, ic, inputs):
            return function(with_params(net, weights, ic), inputs)

        return jax.vmap(one)(weights, ic, inputs)

    def call(*arrays):
        return run(*(np.asarray(x, net.dtype) for x in arrays))

    return call


def largest_gap(recorded, trace):
    """Largest error of a spike time; fails unless the same neurons fired in order."""
    times, neurons, _ = (np.asarray(x) for x in recorded)
    n = len(trace.times)
    np.testing.assert_array_equal(neurons[:n], trace.neurons)
    assert np.all(neurons[n:] == -1), "more spikes than the oracle"
    assert np.all(np.isinf(times[n:]))
    return np.abs(times[:n] - trace.times).max(initial=0.0)
