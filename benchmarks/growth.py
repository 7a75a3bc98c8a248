"""Worker: loss and gradient of ever larger recurrent networks, and larger batches."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import regression_network
from harness.compiled import compiled
from harness.reference import Arrays
from harness.timing import time_call

from eventax.evnn import EvNN
from eventax.neuron_models import LIF, QIF

MAX_TIME = 60.0
TIME_CONSTANTS: dict[str, Any] = {"tmem": 20.0, "tsyn": 5.0}
# Every neuron fires by its own drive: bias currents are spread over this range.
MODELS: dict[str, tuple[Any, dict[str, Any], tuple[float, float]]] = {
    "LIF": (LIF, {"thresh": 1.0}, (1.5, 2.2)),
    "QIF": (QIF, {}, (1.0, 2.0)),
}


def measure_neurons(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """One sample, `neurons` neurons of `model`, all-to-all.

    The loss is the mean of all first spike times, so the run ends when the last
    neuron has fired.
    """
    model = _recurrent_network(options["model"], options["neurons"])
    inputs = jnp.ones((1, 1))

    def loss_fn(model: EvNN, inputs: jax.Array) -> jax.Array:
        return jnp.mean(jnp.minimum(model.ttfs(inputs), MAX_TIME))

    both = eqx.filter_value_and_grad(loss_fn)
    function, arrays = compiled(both, model, inputs)
    figures = time_call(function, *arrays, **options["timing"])
    first = np.asarray(eqx.filter_jit(lambda m, x: m.ttfs(x))(model, inputs))
    times = np.asarray(eqx.filter_jit(lambda m, x: m.record(x))(model, inputs)[0])
    figures["silent"] = int(np.sum(~np.isfinite(first)))
    needed = np.isfinite(times) & (times <= first.max())
    figures["events"] = int(needed.sum()) + inputs.size
    return figures, {}


def _recurrent_network(name: str, neurons: int) -> EvNN:
    model, constants, (low, high) = MODELS[name]
    rng = np.random.default_rng(0)
    # Weak and balanced: the drive decides, the others only shift the spikes.
    weights = rng.normal(0.0, 0.4 * neurons**-0.5, (neurons + 1, neurons))
    bias = rng.permutation(np.linspace(low, high, neurons))
    return EvNN(
        neuron_model=model,
        n_neurons=neurons,
        in_size=1,
        max_solver_time=MAX_TIME,
        key=jax.random.PRNGKey(0),
        # `record` goes on to the end of the trial, with several spikes per neuron.
        max_event_steps=8 * neurons,
        init_weights=jnp.asarray(weights, jnp.float32),
        init_bias=jnp.asarray(bias, jnp.float32),
        **TIME_CONSTANTS,
        **constants,
    )


def measure_batch(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """The trained regression network with `batch` inputs."""
    model = regression_network.build_trained_network()
    inputs, targets = regression_network.spread_batch(options["batch"])
    function, arrays = compiled(
        regression_network.loss_and_gradient, model, inputs, targets
    )
    figures = time_call(function, *arrays, **options["timing"])
    figures["events"] = _count_events(inputs)
    return figures, {}


def _count_events(inputs: jax.Array) -> int:
    """Inputs and spikes of all samples up to the first output spike."""
    recorder = regression_network.build_trained_network(max_event_steps=4000)
    record = eqx.filter_jit(jax.vmap(recorder.record))
    total = 0
    for part in jnp.array_split(inputs, -(-len(inputs) // 64)):
        times, neurons, _ = (np.asarray(x) for x in record(part))
        is_output = neurons == regression_network.OUTPUT
        end = np.min(np.where(is_output, times, np.inf), axis=1, keepdims=True)
        total += int(np.sum((times <= end) & np.isfinite(times)))
        total += int(np.sum(np.asarray(part)[:, 0] <= end))
    return total
