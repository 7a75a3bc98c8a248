"""Worker: LIF classifiers of the size that MNIST needs, and ever larger ones.

784 inputs of which some fire once in 20 ms, layers of hidden neurons, 10 outputs,
cross-entropy of the first output spikes. Weights are random, of a size with which most
neurons fire.
"""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from harness.compiled import compiled
from harness.reference import Arrays, cached, oracle
from harness.settings import network_settings
from harness.spike_trains import SpikeTrains
from harness.timing import time_call

from eventax.evnn import FFEvNN
from eventax.losses import first_spike_cross_entropy
from eventax.neuron_models import LIF

IN_SIZE, N_CLASSES, BATCH = 784, 10, 64
MAX_TIME, LATEST_INPUT = 40.0, 20.0
CONSTANTS: dict[str, float] = {"tmem": 20.0, "tsyn": 5.0, "thresh": 1.0}
# Of what all senders that fire bring together: mean and standard deviation.
MEAN, SPREAD = 8.0, 4.0
# The oracle takes its time: it is asked for the first samples only.
CHECKED = 4
# So much more comes to all layers but the first: then each of five hidden layers fires
# 80 to 100 times in a sample. With 1 the last one hardly does, with 1.3 700 times.
DEEPER = 1.1
DATA = Path(__file__).parent / "data"


def weights(hidden: list[int], active: int, deeper: float = 1.0) -> np.ndarray:
    """(N + M, N), float32, each layer to the next one.

    Those from layer to layer are `deeper` times as large.
    """
    rng = np.random.default_rng(0)
    sizes = [*hidden, N_CLASSES]
    n = sum(sizes)
    whole = np.zeros((n + IN_SIZE, n), np.float32)
    ends = np.cumsum([0, *sizes])
    senders, firing = slice(n, None), active
    for size, start in zip(sizes, ends, strict=False):
        receivers = slice(start, start + size)
        block = whole[senders, receivers]
        block[:] = rng.normal(MEAN / firing, SPREAD * firing**-0.5, block.shape)
        block *= 1.0 if start == 0 else deeper
        senders, firing = receivers, size
    return whole


def batch(active: int, least: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Spike times (B, 784, 1), inf for inputs that do not fire; classes (B,).

    So many inputs fire in each sample; with `least` evenly between it and `active`.
    """
    rng = np.random.default_rng(1)
    times = rng.uniform(0.0, LATEST_INPUT, (BATCH, IN_SIZE))
    rank = np.argsort(rng.random((BATCH, IN_SIZE)), axis=1)
    classes = rng.integers(0, N_CLASSES, BATCH)
    firing = np.full(BATCH, active)
    if least is not None:
        firing = rng.integers(least, active + 1, BATCH)
    times = np.where(rank < firing[:, None], times, np.inf)
    return times[:, :, None].astype(np.float32), classes


def build_network(
    hidden: list[int], active: int, deeper: float = 1.0, **changes: Any
) -> FFEvNN:
    """Up to eight spikes of each neuron are allowed for."""
    whole = weights(hidden, active, deeper)
    return FFEvNN(
        layers=[*hidden, N_CLASSES],
        in_size=IN_SIZE,
        neuron_model=LIF,
        max_solver_time=MAX_TIME,
        max_event_steps=IN_SIZE + 8 * whole.shape[1],
        key=jax.random.PRNGKey(0),
        init_weights=jnp.asarray(whole),
        init_bias=0.0,
        **CONSTANTS,
        **changes,
    )


def loss_fn(network: FFEvNN, inputs: jax.Array, classes: jax.Array) -> jax.Array:
    """Mean of a batch."""
    first = jax.vmap(network.ttfs)(inputs)
    return jnp.mean(first_spike_cross_entropy(first, classes, tau0=1.0, t_max=MAX_TIME))


def measure(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """Time one call, by weights, and record the spikes of the first samples.

    Options: `timing`, keywords of `time_call`; `hidden`, sizes of hidden layers;
    `active` and `least`, of `batch`; `deeper`, of `weights`; all optional: those of
    `network_settings`.
    """
    timing, hidden = options.pop("timing"), options.pop("hidden")
    active, least = options.pop("active"), options.pop("least", None)
    deeper = options.pop("deeper", 1.0)
    network = build_network(hidden, active, deeper, **network_settings(**options))
    drawn = batch(active, least)
    inputs, classes = (jnp.asarray(array) for array in drawn)
    both = eqx.filter_value_and_grad(loss_fn)
    function, arrays = compiled(both, network, inputs, classes)
    figures = time_call(function, *arrays, **timing)
    loss, gradient = function(*arrays)
    record = eqx.filter_jit(jax.vmap(network.record))
    some = inputs[:CHECKED]
    times, neurons, _ = record(some)
    first = eqx.filter_jit(jax.vmap(network.ttfs))(inputs)
    n = network.neuron_model.weights.shape[1]
    trains = SpikeTrains.from_record(times, neurons, n, first[:CHECKED])
    figures["loss"] = float(loss)
    figures["events"] = _count(record(inputs)[0]) + _count(inputs)
    figures["silent"] = int(np.sum(~np.isfinite(np.asarray(first))))
    by = gradient.neuron_model.weights * (weights(hidden, active) != 0)
    return figures, {**trains.arrays(), "gradient": np.asarray(by).ravel()}


def measure_hidden(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """Of one hidden layer of `neurons`, 150 inputs."""
    return _growth([options["neurons"]], 150, options)


def measure_inputs(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """Of 350 hidden neurons, `inputs` of which fire."""
    return _growth([350], options["inputs"], options)


def measure_depth(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """Of `layers` hidden layers of 100, 150 inputs."""
    return _growth([100] * options["layers"], 150, options, deeper=DEEPER)


def _growth(
    hidden: list[int], active: int, options: dict[str, Any], **others: Any
) -> tuple[dict[str, float], Arrays]:
    given = {"hidden": hidden, "active": active, "timing": options["timing"]}
    return measure(given | others)[0], {}


def _count(times: jax.Array) -> int:
    return int(np.sum(np.isfinite(np.asarray(times))))


def reference(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """The oracle's spike trains, from the store if the parameters are the same."""
    hidden, active, least = options["hidden"], options["active"], options.get("least")
    whole, (inputs, _) = weights(hidden, active), batch(active, least)
    some = inputs[:CHECKED]
    constants = np.array([*CONSTANTS.values(), MAX_TIME])
    dependencies = {"w": whole, "in": some, "constants": constants}
    n = whole.shape[1]
    outputs = np.arange(n - N_CLASSES, n)

    def compute() -> Arrays:
        traces = (
            oracle("lif").simulate(
                whole.astype(np.float64),
                0.0,
                sample.astype(np.float64),
                t_max=MAX_TIME,
                **CONSTANTS,
            )
            for sample in some
        )
        trains = SpikeTrains.from_traces(traces, outputs.tolist())
        ends = {"outputs": np.arange(0), "end": np.asarray(MAX_TIME)}
        return {**trains.arrays(), **ends}

    name = "_".join(str(n) for n in (active, least) if n is not None)
    return {}, cached(DATA / f"classifier_{name}_oracle.npz", dependencies, compute)
