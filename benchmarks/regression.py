"""Worker: loss and gradient of the regression network, and its spike trains."""

import sys
from pathlib import Path
from typing import Any

import diffrax
import equinox as eqx
import jax
import numpy as np
import regression_network as network
from harness.reference import Arrays, cached
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

    Options: `timing`, keywords of `time_call`; all optional: `solver`, the name of a
    diffrax solver; `rtol` and `atol` of a step-size controller; settings of the
    network.
    """
    timing = options.pop("timing")
    changes = _settings(**options)
    model = network.build_trained_network(**changes)
    function = network.loss_and_gradient()
    batch = network.spread_batch(BATCH)
    figures = time_call(function, model, *batch, **timing)
    loss, _ = function(model, *batch)
    trains = spike_trains(batch[0], model, changes)
    return {**figures, "loss": float(loss)}, trains.arrays()


def _settings(
    solver: str | None = None,
    rtol: float = 0,
    atol: float | None = None,
    **changes: Any,
) -> dict[str, Any]:
    if solver is not None:
        changes["solver"] = getattr(diffrax, solver)()
    if atol is not None:
        controller = diffrax.PIDController(rtol=rtol, atol=atol)
        changes["stepsize_controller"] = controller
    return changes


def spike_trains(inputs: jax.Array, model: Any, changes: dict[str, Any]) -> SpikeTrains:
    """Every spike of every sample, and the first spike of the output neuron."""
    recorder = network.build_trained_network(**changes, max_event_steps=RECORDED_EVENTS)
    times, neurons, _ = eqx.filter_jit(jax.vmap(recorder.record))(inputs)
    first = eqx.filter_jit(jax.vmap(model.ttfs))(inputs)
    neurons = np.asarray(neurons).astype(int)
    # The older package says -1 as 255.
    neurons = np.where(neurons < network.N_NEURONS, neurons, -1)
    return SpikeTrains(np.asarray(times), neurons, np.asarray(first))


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
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.oracle import qif

    def enough(times: Any, neurons: Any) -> bool:
        if network.OUTPUT not in neurons:
            return False
        return times[-1] > times[neurons.index(network.OUTPUT)] + MARGIN

    traces = [
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
    ]
    shape = (len(traces), max(len(trace.times) for trace in traces))
    times, neurons = np.full(shape, np.inf), np.full(shape, -1)
    for row, trace in enumerate(traces):
        times[row, : len(trace.times)] = trace.times
        neurons[row, : len(trace.times)] = trace.neurons
    first = [trace.first_spikes([network.OUTPUT]) for trace in traces]
    return SpikeTrains(times, neurons, np.asarray(first))
