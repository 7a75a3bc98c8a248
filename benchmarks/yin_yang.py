"""Worker: feed-forward LIF classifiers of the Yin-Yang set, and their spike trains.

The network of Göltz et al. (2021) with a delay on every synapse, and that of Wunderlich
and Pehle (2021) without. Written against the public interface only.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from harness.compiled import compiled
from harness.reference import Arrays, cached, oracle, slope
from harness.settings import network_settings
from harness.spike_trains import SpikeTrains
from harness.timing import time_call

from eventax.evnn import FFEvNN
from eventax.neuron_models import LIF

N_CLASSES = 3
IN_SIZE = 5
BATCH = 64
MAX_TIME = 60.0
# The trains go on after the end of the loss's window.
MARGIN = 5.0
LATEST_INPUT = 30.0
LONGEST_DELAY = 6.0
CONSTANTS: dict[str, float] = {"tmem": 20.0, "tsyn": 5.0, "thresh": 1.0}
SOFTNESS = 0.5
DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Classifier:
    """5 inputs, hidden neurons, 3 outputs."""

    name: str
    hidden: int
    delayed: bool

    @property
    def n_neurons(self) -> int:
        return self.hidden + N_CLASSES

    @property
    def outputs(self) -> np.ndarray:
        return np.arange(self.hidden, self.n_neurons)

    @property
    def oracle_file(self) -> Path:
        return DATA / f"yin_yang_{self.name}_oracle.npz"

    def mask(self) -> np.ndarray:
        """(N + M, N): inputs to hidden neurons, those to the outputs."""
        mask = np.zeros((self.n_neurons + IN_SIZE, self.n_neurons))
        mask[self.n_neurons :, : self.hidden] = 1
        mask[: self.hidden, self.hidden :] = 1
        return mask

    def parameters(self) -> dict[str, np.ndarray]:
        """Weights, and delays if there are any, each (N + M, N), float32."""
        rng = np.random.default_rng(0)
        mask = self.mask()
        weights = rng.normal(1.5, 0.78, mask.shape)
        if self.delayed:
            # Scaled so that both layers fire.
            weights[self.n_neurons :] *= 2.4
            weights[: self.n_neurons] *= 0.4
            delays = rng.uniform(0.0, LONGEST_DELAY, mask.shape)
            arrays = {"weights": weights * mask, "delays": delays * mask}
        else:
            weights[: self.n_neurons] = rng.normal(0.93, 0.1, weights.shape[1:])
            arrays = {"weights": weights * mask}
        return {name: array.astype(np.float32) for name, array in arrays.items()}


CLASSIFIERS = {
    one.name: one
    for one in (Classifier("delays", 20, True), Classifier("plain", 120, False))
}


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Input spikes (B, 5, 1) at x, y, 1 - x, 1 - y and at 0; classes (B,)."""
    rng = np.random.default_rng(1)
    point = rng.uniform(0.0, 1.0, (BATCH, 2))
    shares = np.concatenate([point, 1.0 - point, np.zeros((BATCH, 1))], axis=1)
    times = (LATEST_INPUT * shares)[:, :, None].astype(np.float32)
    # Any classes will do: the loss is not trained.
    return times, rng.integers(0, N_CLASSES, BATCH)


def build_network(
    which: Classifier, max_time: float = MAX_TIME, **changes: Any
) -> FFEvNN:
    """The network; `changes` replace settings of the constructor."""
    arrays = {k: jnp.asarray(array) for k, array in which.parameters().items()}
    settings = {
        "layers": [which.hidden, N_CLASSES],
        "in_size": IN_SIZE,
        "neuron_model": LIF,
        "max_solver_time": max_time,
        "key": jax.random.PRNGKey(0),
        "init_delays": arrays.get("delays"),
        "init_weights": arrays["weights"],
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

    Options: `timing`, keywords of `time_call`; `classifier`, of `CLASSIFIERS`; all
    optional: those of `network_settings`.
    """
    timing, which = options.pop("timing"), CLASSIFIERS[options.pop("classifier")]
    changes = network_settings(**options)
    network = build_network(which, **changes)
    arguments = [jnp.asarray(array) for array in batch()]
    both = eqx.filter_value_and_grad(loss_fn)
    function, arrays = compiled(both, network, *arguments)
    figures = time_call(function, *arrays, **timing)
    loss, gradient = function(*arrays)
    trains = _spike_trains(which, arguments[0], network, changes)
    leaves = [gradient.neuron_model.weights]
    leaves += [gradient.delays] if which.delayed else []
    slopes = np.concatenate([(x * which.mask()).ravel() for x in leaves])
    return {**figures, "loss": float(loss)}, {**trains.arrays(), "gradient": slopes}


def _spike_trains(
    which: Classifier, inputs: jax.Array, network: FFEvNN, changes: dict[str, Any]
) -> SpikeTrains:
    recorder = build_network(which, MAX_TIME + MARGIN, **changes)
    times, neurons, _ = eqx.filter_jit(jax.vmap(recorder.record))(inputs)
    first = eqx.filter_jit(jax.vmap(network.ttfs))(inputs)
    return SpikeTrains.from_record(times, neurons, which.n_neurons, first)


def reference(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """The oracle's spike trains, from the store if the parameters are the same."""
    which = CLASSIFIERS[options["classifier"]]
    arrays, (inputs, classes) = which.parameters(), batch()
    constants = np.array([*CONSTANTS.values(), MAX_TIME, MARGIN])
    dependencies = {**arrays, "in": inputs, "constants": constants}

    def compute() -> Arrays:
        ends = {"outputs": which.outputs, "end": np.asarray(MAX_TIME)}
        wide = {name: array.astype(np.float64) for name, array in arrays.items()}
        samples = inputs.astype(np.float64)
        traces = (_run(wide, sample, MAX_TIME + MARGIN) for sample in samples)
        trains = SpikeTrains.from_traces(traces, which.outputs.tolist())
        return {**trains.arrays(), **_slope(which, wide, samples, classes), **ends}

    return {}, cached(which.oracle_file, dependencies, compute)


def _slope(
    which: Classifier, arrays: Arrays, samples: np.ndarray, classes: np.ndarray
) -> Arrays:
    """The derivative of the loss."""
    outputs = which.outputs.tolist()

    def loss(moved: Arrays, labelled: tuple[np.ndarray, int]) -> Any:
        sample, label = labelled
        trace = _run(moved, sample, MAX_TIME, stop_after=outputs)
        first = trace.first_spikes(outputs, fill=MAX_TIME)
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
        delays=arrays.get("delays"),
        t_max=end,
        **CONSTANTS,
        **options,
    )
