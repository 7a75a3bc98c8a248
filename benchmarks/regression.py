"""Worker: loss and gradient of the regression network, and its spike trains."""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import regression_network as network
from harness.compiled import compiled
from harness.reference import Arrays, cached, oracle
from harness.settings import network_settings
from harness.spike_trains import SpikeTrains
from harness.timing import time_call

BATCH = 64
# `record` goes on to the end of the trial, far beyond the first output spike.
RECORDED_EVENTS = 4000
# Spikes that the oracle also gives after the output's first one, in ms.
MARGIN = 5.0
ORACLE = Path(__file__).parent / "data" / "regression_oracle.npz"


def measure(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """Time one call and record the spikes.

    Options: `timing`, keywords of `time_call`; all optional: those of
    `network_settings`.
    """
    timing = options.pop("timing")
    changes = network_settings(**options)
    model = network.build_trained_network(**changes)
    batch = network.spread_batch(BATCH)
    function, arrays = compiled(network.loss_and_gradient, model, *batch)
    figures = time_call(function, *arrays, **timing)
    loss, gradient = function(*arrays)
    trains = spike_trains(batch[0], model, changes)
    leaves = gradient.neuron_model
    by_all = np.concatenate([np.ravel(leaves.weights), np.ravel(leaves.ic)])
    return {**figures, "loss": float(loss)}, {**trains.arrays(), "gradient": by_all}


def spike_trains(inputs: jax.Array, model: Any, changes: dict[str, Any]) -> SpikeTrains:
    """Every spike of every sample, and the first spike of the output neuron."""
    recorder = network.build_trained_network(**changes, max_event_steps=RECORDED_EVENTS)
    times, neurons, _ = eqx.filter_jit(jax.vmap(recorder.record))(inputs)
    first = eqx.filter_jit(jax.vmap(model.ttfs))(inputs)
    return SpikeTrains.from_record(times, neurons, network.N_NEURONS, first)


def reference(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """The oracle's spike trains, from the store if the parameters are the same."""
    weights, ic = network.load_parameters()
    inputs = np.asarray(network.spread_batch(BATCH)[0])
    constants = np.array([network.TMEM, network.TSYN, network.MAX_TIME, MARGIN])
    dependencies = {"weights": weights, "ic": ic, "in": inputs, "constants": constants}

    def compute() -> Arrays:
        outputs = np.array([network.OUTPUT])
        return {**_simulate(weights, ic, inputs).arrays(), "outputs": outputs}

    return {}, cached(ORACLE, dependencies, compute)


def _simulate(weights: np.ndarray, ic: np.ndarray, inputs: np.ndarray) -> SpikeTrains:
    def enough(times: Any, neurons: Any) -> bool:
        if network.OUTPUT not in neurons:
            return False
        return times[-1] > times[neurons.index(network.OUTPUT)] + MARGIN

    qif = oracle("qif")
    traces = (
        qif.simulate(
            weights.astype(np.float64) * network.connectivity(),
            ic,
            sample,
            tmem=network.TMEM,
            tsyn=network.TSYN,
            t_max=network.MAX_TIME,
            stop_after=enough,
        )
        for sample in inputs.astype(np.float64)
    )
    return SpikeTrains.from_traces(traces, [network.OUTPUT])
