"""Worker: a feed-forward LIF network with trainable delays, and its spike trains.

The classifier of Göltz et al. (2021) on inputs of the Yin-Yang set, with a delay on
every synapse. Written against the public interface only.
"""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from harness.reference import Arrays, cached, oracle, slope
from harness.settings import network_settings
from harness.spike_trains import SpikeTrains
from harness.timing import time_call

from eventax.evnn import FFEvNN
from eventax.neuron_models import LIF

LAYERS = (20, 3)
N_NEURONS = sum(LAYERS)
OUTPUTS = np.arange(LAYERS[0], N_NEURONS)
IN_SIZE = 5
BATCH = 64
MAX_TIME = 60.0
# The trains go on after the end of the loss's window.
MARGIN = 5.0
LATEST_INPUT = 30.0
LONGEST_DELAY = 6.0
CONSTANTS: dict[str, float] = {"tmem": 20.0, "tsyn": 5.0, "thresh": 1.0}
SOFTNESS = 0.5
ORACLE = Path(__file__).parent / "data" / "yin_yang_delays_oracle.npz"


def connectivity() -> np.ndarray:
    """Mask (N + M, N): inputs to hidden neurons, those to the outputs."""
    mask = np.zeros((N_NEURONS + IN_SIZE, N_NEURONS))
    mask[N_NEURONS:, : LAYERS[0]] = 1
    mask[: LAYERS[0], LAYERS[0] :] = 1
    return mask


def parameters() -> dict[str, np.ndarray]:
    """Weights and delays, each (N + M, N), float32."""
    rng = np.random.default_rng(0)
    mask = connectivity()
    weights = rng.normal(1.5, 0.78, mask.shape)
    # Scaled so that both layers fire.
    weights[N_NEURONS:] *= 2.4
    weights[:N_NEURONS] *= 0.4
    delays = rng.uniform(0.0, LONGEST_DELAY, mask.shape)
    arrays = {"weights": weights * mask, "delays": delays * mask}
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Input spikes (B, 5, 1) at x, y, 1 - x, 1 - y and at 0; classes (B,)."""
    rng = np.random.default_rng(1)
    point = rng.uniform(0.0, 1.0, (BATCH, 2))
    shares = np.concatenate([point, 1.0 - point, np.zeros((BATCH, 1))], axis=1)
    times = (LATEST_INPUT * shares)[:, :, None].astype(np.float32)
    # Any classes will do: the loss is not trained.
    return times, rng.integers(0, len(OUTPUTS), BATCH)


def build_network(max_time: float = MAX_TIME, **changes: Any) -> FFEvNN:
    """The network; `changes` replace settings of the constructor."""
    arrays = parameters()
    settings = {
        "layers": list(LAYERS),
        "in_size": IN_SIZE,
        "neuron_model": LIF,
        "max_solver_time": max_time,
        "key": jax.random.PRNGKey(0),
        "init_delays": jnp.asarray(arrays["delays"]),
        "init_weights": jnp.asarray(arrays["weights"]),
        "init_bias": 0.0,
        "max_event_steps": 1000,
        **CONSTANTS,
    }
    return FFEvNN(**(settings | changes))


def loss_fn(network: FFEvNN, inputs: jax.Array, classes: jax.Array) -> jax.Array:
    """Cross-entropy of the softmax of the outputs' first spikes, the earliest best."""
    first = jnp.minimum(jax.vmap(network.ttfs)(inputs), MAX_TIME)
    scores = jax.nn.log_softmax(-first / SOFTNESS)
    return -jnp.mean(jnp.take_along_axis(scores, classes[:, None], axis=1))


def measure(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """Time one call, by weights and delays, and record the spikes.

    Options: `timing`, keywords of `time_call`; all optional: those of
    `network_settings`.
    """
    timing = options.pop("timing")
    changes = network_settings(**options)
    network = build_network(**changes)
    arguments = [jnp.asarray(array) for array in batch()]
    function = eqx.filter_jit(eqx.filter_value_and_grad(loss_fn))
    figures = time_call(function, network, *arguments, **timing)
    loss, gradient = function(network, *arguments)
    trains = _spike_trains(arguments[0], network, changes)
    leaves = [gradient.neuron_model.weights, gradient.delays]
    by_both = np.concatenate([(x * connectivity()).ravel() for x in leaves])
    return {**figures, "loss": float(loss)}, {**trains.arrays(), "gradient": by_both}


def _spike_trains(
    inputs: jax.Array, network: FFEvNN, changes: dict[str, Any]
) -> SpikeTrains:
    recorder = build_network(MAX_TIME + MARGIN, **changes)
    times, neurons, _ = eqx.filter_jit(jax.vmap(recorder.record))(inputs)
    first = eqx.filter_jit(jax.vmap(network.ttfs))(inputs)
    return SpikeTrains.from_record(times, neurons, N_NEURONS, first)


def reference(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """The oracle's spike trains, from the store if the parameters are the same."""
    arrays, (inputs, classes) = parameters(), batch()
    constants = np.array([*CONSTANTS.values(), MAX_TIME, MARGIN])
    dependencies = {**arrays, "in": inputs, "constants": constants}

    def compute() -> Arrays:
        ends = {"outputs": OUTPUTS, "end": np.asarray(MAX_TIME)}
        wide = {name: array.astype(np.float64) for name, array in arrays.items()}
        samples = inputs.astype(np.float64)
        traces = (_run(wide, sample, MAX_TIME + MARGIN) for sample in samples)
        trains = SpikeTrains.from_traces(traces, OUTPUTS.tolist())
        return {**trains.arrays(), **_slope(wide, samples, classes), **ends}

    return {}, cached(ORACLE, dependencies, compute)


def _slope(arrays: Arrays, samples: np.ndarray, classes: np.ndarray) -> Arrays:
    """The derivative of the loss."""

    def loss(moved: Arrays, labelled: tuple[np.ndarray, int]) -> Any:
        sample, label = labelled
        trace = _run(moved, sample, MAX_TIME, stop_after=OUTPUTS.tolist())
        first = trace.first_spikes(OUTPUTS.tolist(), fill=MAX_TIME)
        scores = -first / SOFTNESS
        best = np.max(scores)
        total = best + np.log(np.sum(np.exp(scores - best)))
        return total - scores[label], trace.events

    noise = oracle("finite_differences").LIF_NOISE / SOFTNESS
    return slope(loss, zip(samples, classes, strict=True), arrays, noise)


def _run(arrays: Arrays, sample: np.ndarray, end: float, **options: Any) -> Any:
    return oracle("lif").simulate(
        arrays["weights"],
        0.0,
        sample,
        delays=arrays["delays"],
        t_max=end,
        **CONSTANTS,
        **options,
    )
