"""Worker: recurrent LIF networks of the size of speech tasks, and one a peer finishes.

Inputs that fire at random, hidden neurons that hear them and each other, and outputs:
leaky integrators whose integral of potential is asked for, or, in the small network,
neurons whose first spikes are. Hidden weights times `gain` decide how often they fire.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness.reference import Arrays, cached, oracle
from harness.spike_trains import SpikeTrains
from harness.timing import time_call

# The oracle takes half a minute for a sample of the large network.
CHECKED = 1
SECONDS = 1e-3  # of a unit of time
DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Network:
    """Sizes, and how much happens.

    Attributes:
        spikes: of all inputs of a sample.
        window: in ms.
        gain: of the weights to hidden neurons.
        integrators: whether outputs are integrators instead of neurons that fire.
    """

    inputs: int
    hidden: int
    outputs: int
    batch: int
    spikes: int
    window: float
    gain: float
    tsyn: float
    integrators: bool
    tmem: float = 20.0
    thresh: float = 1.0

    @property
    def neurons(self) -> int:
        return self.hidden + self.outputs

    def weights(self) -> np.ndarray:
        """(N + M, N), float32; 0 where there is no synapse."""
        rng = np.random.default_rng(1)
        n, hidden = self.neurons, self.hidden
        share = 256 / hidden
        whole = np.zeros((n + self.inputs, n))
        to_hidden = rng.normal(0.03, 0.01, (self.inputs, hidden))
        among = rng.normal(0.0, 0.02, (hidden, hidden))
        whole[n:, :hidden] = self.gain * to_hidden
        whole[:hidden, :hidden] = self.gain * among * share**0.5
        mean = 0.0 if self.integrators else 0.02 * share
        to_outputs = rng.normal(mean, 0.03 * share**0.5, (hidden, self.outputs))
        whole[:hidden, hidden:] = to_outputs
        return whole.astype(np.float32)

    def samples(self) -> np.ndarray:
        """Spike times (B, M, K), float32, filled with inf."""
        rng = np.random.default_rng(2)
        drawn = [
            rng.multinomial(self.spikes, np.full(self.inputs, 1 / self.inputs))
            for _ in range(self.batch)
        ]
        times = np.full((self.batch, self.inputs, np.max(drawn)), np.inf, np.float32)
        for sample, counts in zip(times, drawn, strict=True):
            for channel, count in zip(sample, counts, strict=True):
                channel[:count] = np.sort(rng.uniform(0.0, self.window, count))
        return times

    def in_float64(self) -> tuple[np.ndarray, np.ndarray]:
        return self.weights().astype(float), self.samples().astype(float)


def _speech(gain: float) -> Network:
    return Network(700, 256, 20, 32, 8000, 1000.0, gain, tsyn=5.0, integrators=True)


NETWORKS = {
    "14 spikes": _speech(0.86),
    "30 spikes": _speech(1.06),
    "50 spikes": _speech(1.33),
    "100 spikes": _speech(1.9),
    # jaxsnn's closed form takes tmem = 2 tsyn.
    "small": Network(50, 24, 4, 16, 150, 100.0, 2.8, tsyn=10.0, integrators=False),
}


def measure(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """Time loss and gradient, by weights, and record the spikes of the first samples.

    Options: `timing`, keywords of `time_call`; `network`, of `NETWORKS`; all optional:
    `package`, of `PACKAGES`; `double`, whether in float64; those of `network_settings`.
    """
    timing, network = options.pop("timing"), NETWORKS[options.pop("network")]
    package = PACKAGES[options.pop("package", "eventax")]
    return package(network, timing, **options)


def measure_gain(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """Of 700 - 256 - 20, hidden neurons firing about so many `spikes` each."""
    name = f"{options['spikes']} spikes"
    return measure({"network": name, "timing": options["timing"]})[0], {}


def measure_threads(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """Of 700 - 256 - 20 on so many `threads`."""
    # Before JAX looks how many processors there are for it.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options["threads"]])
    return measure({"network": "14 spikes", "timing": options["timing"]})[0], {}


def _measure_eventax(
    network: Network, timing: dict[str, Any], double: bool = False, **changes: Any
) -> tuple[dict[str, float], Arrays]:
    from harness.compiled import compiled
    from harness.settings import network_settings

    jax.config.update("jax_enable_x64", double)
    if double:
        changes["dtype"] = jnp.float64
    import equinox as eqx

    model = _build(network, **network_settings(**changes))
    inputs = jnp.asarray(network.samples(), jnp.float64 if double else jnp.float32)

    def loss(model: Any, inputs: jax.Array) -> jax.Array:
        if network.integrators:
            return jnp.mean(jax.vmap(model.integral)(inputs) * _signs(network))
        return _early(jax.vmap(model.ttfs)(inputs), network)

    function, arrays = compiled(eqx.filter_value_and_grad(loss), model, inputs)
    figures = time_call(function, *arrays, **timing)
    value, by = function(*arrays)
    record, arrays = compiled(jax.vmap(model.record), inputs)
    times, neurons = (np.asarray(x) for x in record(*arrays)[:2])
    some = slice(CHECKED)
    trains = SpikeTrains.from_record(
        times[some], neurons[some], network.neurons, np.empty((CHECKED, 0))
    )
    events = np.isfinite(times).sum() + np.isfinite(network.samples()).sum()
    figures |= {"loss": float(value), "events": int(events)}
    return figures, {**trains.arrays(), "gradient": _of_weights(by, network)}


def _build(network: Network, **changes: Any) -> Any:
    from eventax import neuron_models
    from eventax.evnn import EvNN

    n, hidden, weights = network.neurons, network.hidden, network.weights()
    constants = {"tsyn": network.tsyn, "tmem": network.tmem, "thresh": network.thresh}
    settings: dict[str, Any] = {
        "n_neurons": n,
        "in_size": network.inputs,
        "max_solver_time": network.window,
        "key": jax.random.PRNGKey(0),
        "wmask": jnp.asarray(_mask(network), jnp.float32),
        "output_neurons": jnp.arange(n) >= hidden,
        "max_event_steps": 2 * network.spikes + 140 * hidden,
    }
    if not network.integrators:
        given = {"init_weights": jnp.asarray(weights), "init_bias": 0.0}
        return EvNN(
            neuron_model=neuron_models.LIF, **settings, **constants, **given, **changes
        )
    parts = [
        (neuron_models.LIF, constants, weights[:, :hidden]),
        (
            neuron_models.LI,
            {k: constants[k] for k in ("tsyn", "tmem")},
            weights[:, hidden:],
        ),
    ]
    return EvNN(
        neuron_model=neuron_models.MultiNeuronModel,
        neuron_models=[model for model, _, _ in parts],
        neuron_type_ids=(np.arange(n) >= hidden).astype(int),
        neuron_model_kwargs=[
            {**own, "init_weights": jnp.asarray(part), "init_bias": 0.0}
            for _, own, part in parts
        ],
        **settings,
        **changes,
    )


def _mask(network: Network) -> np.ndarray:
    """Inputs to hidden neurons; those to each other and to the outputs."""
    n, hidden = network.neurons, network.hidden
    mask = np.zeros((n + network.inputs, n))
    mask[:hidden], mask[n:, :hidden] = 1, 1
    return mask


def _signs(network: Network) -> np.ndarray:
    """Any weights of outputs in the loss will do."""
    return np.cos(np.arange(network.outputs))


def _early(first: Any, network: Network) -> Any:
    """Mean square of first output spikes (B, n_out), in membrane time constants."""
    return jnp.mean((jnp.minimum(first, network.window) / network.tmem) ** 2)


def _of_weights(by: Any, network: Network) -> np.ndarray:
    """The gradient by weights as one vector."""
    model, mask = by.neuron_model, _mask(network)
    if not network.integrators:
        return np.asarray(model.weights * mask, float).ravel()
    parts = [np.asarray(part.weights, float) for part in model.submodels]
    return (np.concatenate(parts, axis=1) * mask).ravel()


def _measure_jaxsnn(
    network: Network, timing: dict[str, Any]
) -> tuple[dict[str, float], Arrays]:
    from jaxsnn.event.modules import LIF, Linear, Source
    from jaxsnn.event.modules.lif.lif import LIFParameters
    from jaxsnn.event.topology import Topology

    hidden, n, weights = network.hidden, network.neurons, network.weights()
    lif = LIFParameters(
        v_reset=0.0,
        v_th=network.thresh,
        tau_syn=network.tsyn * SECONDS,
        tau_mem=network.tmem * SECONDS,
    )
    parts = {
        "to_hidden": np.s_[n:, :hidden],
        "recurrent": np.s_[:hidden, :hidden],
        "to_outputs": np.s_[:hidden, hidden:],
    }
    # Four times as many spikes as there are.
    most = network.spikes + 10 * n
    builder = Topology(t_max=network.window * SECONDS, backprop_method="eventprop")
    builder.add(
        {
            "inputs": Source(network.inputs),
            "hidden": LIF(hidden, most, lif),
            "outputs": LIF(network.outputs, most, lif),
            **{
                name: Linear(pre_weights=jnp.asarray(weights[part]))
                for name, part in parts.items()
            },
        }
    )
    builder.connect(
        [
            *[("inputs", "to_hidden"), ("to_hidden", "hidden")],
            *[("hidden", "recurrent"), ("recurrent", "hidden")],
            *[("hidden", "to_outputs"), ("to_outputs", "outputs")],
        ]
    )
    init, apply = builder.done()
    parameters, inputs = init(jax.random.PRNGKey(0)), _listed(network)

    def loss(parameters: Any, inputs: Any) -> Any:
        found = apply({"inputs": inputs}, parameters)
        return _early(_first(found["outputs"], network), network), found

    function = jax.jit(jax.value_and_grad(loss, has_aux=True))
    figures = time_call(function, parameters, inputs, **timing)
    (value, found), by = function(parameters, inputs)
    spikes = [
        _own_spikes(found[name], first)
        for name, first in (("hidden", 0), ("outputs", hidden))
    ]
    when, who = (np.concatenate(x, axis=1)[:CHECKED] for x in zip(*spikes, strict=True))
    order = np.argsort(when, axis=1, kind="stable")
    trains = SpikeTrains.from_record(
        np.take_along_axis(when, order, 1),
        np.take_along_axis(who, order, 1),
        n,
        np.empty((CHECKED, 0)),
    )
    gradient = np.zeros(weights.shape)
    for name, part in parts.items():
        gradient[part] = by[name]
    figures["loss"] = float(value)
    return figures, {**trains.arrays(), "gradient": gradient.ravel()}


def _listed(network: Network) -> Any:
    """Inputs in order of time, as jaxsnn takes them."""
    from jaxsnn.event.types import Spike

    samples = network.samples()
    flat = samples.reshape(network.batch, -1)
    order = np.argsort(flat, axis=1, kind="stable")[:, : network.spikes]
    times = jnp.asarray(np.take_along_axis(flat, order, 1) * SECONDS)
    nothing = jnp.zeros(times.shape)
    return Spike(
        time=times,
        idx=jnp.asarray(order // samples.shape[2]),
        current=nothing,
        layer_idx=nothing.astype(int),
        internal=nothing == 0,
    )


def _first(events: Any, network: Network) -> Any:
    """First spikes (B, n_out) in ms."""
    own = events.internal & (events.idx >= 0)
    by = jnp.arange(network.outputs)
    mine = own[:, :, None] & (events.idx[:, :, None] == by)
    return jnp.min(jnp.where(mine, events.time[:, :, None], jnp.inf), axis=1) / SECONDS


def _own_spikes(events: Any, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Spikes of one layer out of its events, which hold its inputs too."""
    own = np.asarray(events.internal) & (np.asarray(events.idx) >= 0)
    when = np.asarray(events.time, float) / SECONDS
    return np.where(own, when, np.inf), np.where(own, events.idx + first, -1)


PACKAGES: dict[str, Callable[..., tuple[dict[str, float], Arrays]]] = {
    "eventax": _measure_eventax,
    "jaxsnn": _measure_jaxsnn,
}


def reference(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """The oracle's spike trains, from the store if the parameters are the same."""
    network = NETWORKS[options["network"]]
    n, (weights, samples) = network.neurons, network.in_float64()
    some = samples[:CHECKED]
    # Integrators hear the others and are not heard.
    spiking = network.hidden if network.integrators else n
    weights = np.concatenate([weights[:spiking, :spiking], weights[n:, :spiking]])
    constants = np.array([network.tsyn, network.tmem, network.thresh, network.window])
    dependencies = {"w": weights, "in": some, "constants": constants}

    def compute() -> Arrays:
        traces = (
            oracle("lif").simulate(
                weights,
                0.0,
                sample,
                tsyn=network.tsyn,
                tmem=network.tmem,
                thresh=network.thresh,
                t_max=network.window,
            )
            for sample in some
        )
        ends = {"outputs": np.arange(0), "end": np.asarray(network.window)}
        return {**SpikeTrains.from_traces(traces).arrays(), **ends}

    name = options["network"].replace(" ", "_")
    return {}, cached(DATA / f"speech_{name}_oracle.npz", dependencies, compute)
