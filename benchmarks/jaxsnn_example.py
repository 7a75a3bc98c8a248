"""Worker: the layered EventProp example of jaxsnn, with jaxsnn and with this package.

The network, encoding, loss and optimiser of its `yinyang_layered_event_prop`: 5-100-3,
time constants 6 and 12 µs, one spike per neuron by a very low reset, each input five
times, squared error of the first spikes, Adam. Times are in µs here, in s there.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from harness.reference import Arrays, cached, oracle, slope
from harness.spike_trains import SpikeTrains
from harness.timing import time_call

IN_SIZE, HIDDEN, N_CLASSES = 5, 100, 3
N_NEURONS = HIDDEN + N_CLASSES
COPIES = 5
BATCH = 64
TAU_SYN, TAU_MEM, THRESHOLD, RESET = 6.0, 12.0, 1.0, -1000.0
MAX_TIME, LATEST_INPUT = 4 * TAU_SYN, 2 * TAU_SYN
RIGHT, WRONG = 0.8 * TAU_SYN, 1.2 * TAU_SYN  # when outputs should fire
SECONDS = 1e-6  # of a unit of time
FILE = Path(__file__).parent / "data" / "jaxsnn_oracle.npz"


def weights() -> tuple[np.ndarray, np.ndarray]:
    """(5, 100) to the hidden neurons, (100, 3) to the outputs."""
    rng = np.random.default_rng(0)
    to_hidden = rng.normal(3.0 / 5, 1.6 / 5, (IN_SIZE, HIDDEN))
    to_outputs = rng.normal(0.5, 0.8, (HIDDEN, N_CLASSES))
    return to_hidden.astype(np.float32), to_outputs.astype(np.float32)


def matrix(to_hidden: Any, to_outputs: Any) -> np.ndarray:
    """(N + M, N): the weights from all neurons and inputs to all neurons."""
    whole = np.zeros((N_NEURONS + IN_SIZE, N_NEURONS), np.float32)
    whole[N_NEURONS:, :HIDDEN] = to_hidden
    whole[:HIDDEN, HIDDEN:] = to_outputs
    return whole


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Times of x, y, 1 - x, 1 - y and 0, (B, 5); when outputs should fire, (B, 3)."""
    rng = np.random.default_rng(1)
    point = rng.uniform(0.0, 1.0, (BATCH, 2))
    shares = np.concatenate([point, 1.0 - point, np.zeros((BATCH, 1))], axis=1)
    # Any classes will do: how long a step takes does not depend on them.
    targets = np.where(np.eye(N_CLASSES), RIGHT, WRONG)[
        rng.integers(0, N_CLASSES, BATCH)
    ]
    return (LATEST_INPUT * shares).astype(np.float32), targets.astype(np.float32)


def loss_fn(first: Any, targets: Any) -> Any:
    """Of one sample, by first output spikes (3,)."""
    return (((first - targets) / TAU_MEM) ** 2).sum()


def optimizer() -> optax.GradientTransformation:
    return optax.chain(
        optax.scale(1 / (TAU_SYN * SECONDS)), optax.clip(0.01), optax.adam(0.005)
    )


def measure(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """Time one training step, and record spikes and gradient.

    Options: `timing`, keywords of `time_call`; all optional: `package`, of `PACKAGES`;
    those of `network_settings`.
    """
    package = PACKAGES[options.pop("package", "this")]
    return package(options.pop("timing"), **options)


def _measure_this(
    timing: dict[str, Any], **changes: Any
) -> tuple[dict[str, float], Arrays]:
    import equinox as eqx
    from harness.compiled import compiled
    from harness.settings import network_settings

    from eventax.evnn import FFEvNN
    from eventax.neuron_models import LIF

    network = FFEvNN(
        layers=[HIDDEN, N_CLASSES],
        in_size=IN_SIZE,
        neuron_model=LIF,
        max_solver_time=MAX_TIME,
        max_event_steps=COPIES * IN_SIZE + N_NEURONS,
        key=jax.random.PRNGKey(0),
        init_weights=jnp.asarray(matrix(*weights())),
        init_bias=0.0,
        tsyn=TAU_SYN,
        tmem=TAU_MEM,
        thresh=THRESHOLD,
        vreset=RESET,
        **network_settings(**changes),
    )
    times, targets = (jnp.asarray(array) for array in batch())
    inputs = jnp.repeat(times[:, :, None], COPIES, axis=2)
    trained = eqx.tree_at(
        lambda n: n.neuron_model.weights,
        jax.tree.map(lambda _: False, network),
        True,
    )
    adam = optimizer()

    def mean_loss(part: FFEvNN, rest: FFEvNN, inputs: Any, targets: Any) -> jax.Array:
        first = jax.vmap(eqx.combine(part, rest).ttfs)(inputs)
        return jnp.mean(jax.vmap(loss_fn)(jnp.minimum(first, MAX_TIME), targets))

    def step(network: FFEvNN, state: Any, inputs: Any, targets: Any) -> Any:
        part, rest = eqx.partition(network, trained)
        loss, by = eqx.filter_value_and_grad(mean_loss)(part, rest, inputs, targets)
        updates, state = adam.update(by, state)
        return eqx.apply_updates(network, updates), state, loss, by

    state = adam.init(eqx.filter(network, trained))
    function, arrays = compiled(step, network, state, inputs, targets)
    figures = time_call(function, *arrays, **timing)
    *_, loss, by = function(*arrays)
    spikes = eqx.filter_jit(jax.vmap(network.record))(inputs)
    first = eqx.filter_jit(jax.vmap(network.ttfs))(inputs)
    trains = SpikeTrains.from_record(*spikes[:2], N_NEURONS, first)
    return _result(figures, loss, trains, np.asarray(by.neuron_model.weights))


def _measure_jaxsnn(timing: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    from jaxsnn.event.encode import spatio_temporal_encode
    from jaxsnn.event.loss import mse_loss
    from jaxsnn.event.modules import LIF, Linear, Source
    from jaxsnn.event.modules.lif.lif import LIFParameters
    from jaxsnn.event.topology import Topology
    from jaxsnn.event.training import update
    from jaxsnn.event.types import OptState
    from jaxsnn.examples.event.utils import loss_wrapper

    lif = LIFParameters(
        v_reset=RESET,
        v_th=THRESHOLD,
        tau_syn=TAU_SYN * SECONDS,
        tau_mem=TAU_MEM * SECONDS,
    )
    to_hidden, to_outputs = (jnp.asarray(array) for array in weights())
    builder = Topology(t_max=MAX_TIME * SECONDS, backprop_method="eventprop")
    builder.add(
        {
            "inputs": Source(IN_SIZE),
            "to_hidden": Linear(pre_weights=to_hidden),
            "hidden": LIF(HIDDEN, COPIES * IN_SIZE + HIDDEN, lif),
            "to_outputs": Linear(pre_weights=to_outputs),
            "outputs": LIF(N_CLASSES, N_NEURONS, lif),
        }
    )
    order = ["inputs", "to_hidden", "hidden", "to_outputs", "outputs"]
    builder.connect(list(pairwise(order)))
    init, apply = builder.done()
    parameters = init(jax.random.PRNGKey(0))
    times, targets = batch()
    encode = partial(
        spatio_temporal_encode,
        t_late=LATEST_INPUT * SECONDS,
        duplication=COPIES,
        duplicate_neurons=False,
    )
    spikes = jax.vmap(encode)(jnp.asarray(times / LATEST_INPUT))
    given = ({"inputs": spikes}, jnp.asarray(targets * SECONDS))
    adam = optimizer()
    loss_of = partial(loss_wrapper, apply, mse_loss, lif.tau_mem, "outputs", N_CLASSES)
    step = jax.jit(partial(update, adam, loss_of))
    state = OptState(adam.init(parameters), parameters, jax.random.PRNGKey(0))
    figures = time_call(step, state, given, **timing)
    _, ((loss, (first, events)), by) = step(state, given)
    found = [
        _jaxsnn_spikes(events[name], offset)
        for name, offset in [("hidden", 0), ("outputs", HIDDEN)]
    ]
    when, who = (np.concatenate(x, axis=1) for x in zip(*found, strict=True))
    first = np.asarray(first, float) / SECONDS
    first = np.where(first < MAX_TIME, first, np.inf)
    trains = SpikeTrains.from_record(*_in_order(when, who), N_NEURONS, first)
    return _result(figures, loss, trains, matrix(by["to_hidden"], by["to_outputs"]))


PACKAGES: dict[str, Callable[..., tuple[dict[str, float], Arrays]]] = {
    "this": _measure_this,
    "jaxsnn": _measure_jaxsnn,
}


def _jaxsnn_spikes(events: Any, offset: int) -> tuple[np.ndarray, np.ndarray]:
    """Spikes of one layer out of its events, which hold its inputs too."""
    own = np.asarray(events.internal) & (np.asarray(events.idx) >= 0)
    when = np.asarray(events.time, float) / SECONDS
    own &= when < MAX_TIME
    return np.where(own, when, np.inf), np.where(own, events.idx + offset, -1)


def _in_order(when: np.ndarray, who: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(when, axis=1, kind="stable")
    return np.take_along_axis(when, order, 1), np.take_along_axis(who, order, 1)


def _result(
    figures: dict[str, float], loss: Any, trains: SpikeTrains, by: np.ndarray
) -> tuple[dict[str, float], Arrays]:
    gradient = (by * (matrix(*weights()) != 0)).ravel()
    return {**figures, "loss": float(loss)}, {**trains.arrays(), "gradient": gradient}


def reference(_: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """The oracle's spike trains, from the store if the parameters are the same."""
    whole, (times, targets) = matrix(*weights()), batch()
    constants = np.array([TAU_SYN, TAU_MEM, THRESHOLD, RESET, MAX_TIME, COPIES])
    dependencies = {"w": whole, "in": times, "targets": targets, "constants": constants}
    outputs = np.arange(HIDDEN, N_NEURONS)

    def run(arrays: Arrays, sample: np.ndarray) -> Any:
        return oracle("lif").simulate(
            arrays["weights"],
            0.0,
            np.repeat(sample[:, None], COPIES, axis=1),
            tmem=TAU_MEM,
            tsyn=TAU_SYN,
            thresh=THRESHOLD,
            vreset=RESET,
            t_max=MAX_TIME,
        )

    def loss(moved: Arrays, sample: tuple[np.ndarray, np.ndarray]) -> Any:
        trace = run(moved, sample[0])
        first = trace.first_spikes(outputs.tolist(), fill=MAX_TIME)
        return loss_fn(first, sample[1]), trace.events

    def compute() -> Arrays:
        arrays = {"weights": whole.astype(np.float64)}
        samples = times.astype(np.float64)
        trains = SpikeTrains.from_traces(
            (run(arrays, sample) for sample in samples), outputs.tolist()
        )
        pairs = list(zip(samples, targets.astype(np.float64), strict=True))
        noise = oracle("finite_differences").LIF_NOISE
        rates = slope(loss, pairs, arrays, noise)
        ends = {"outputs": np.arange(0), "end": np.asarray(MAX_TIME)}
        return {**trains.arrays(), **rates, **ends}

    return {}, cached(FILE, dependencies, compute)
