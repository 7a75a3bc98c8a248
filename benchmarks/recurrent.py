"""Worker: loss and gradient of a recurrent network, and its spike trains."""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from harness.compiled import compiled
from harness.reference import Arrays, cached, oracle, slope
from harness.settings import network_settings
from harness.spike_trains import SpikeTrains
from harness.timing import time_call
from recurrent_networks import MARGIN, PROBLEMS, Problem

DATA = Path(__file__).parent / "data"


def measure(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """Time one call and record the spikes.

    Options: `timing`, keywords of `time_call`; `problem`, of `PROBLEMS`; all optional:
    those of `network_settings`.
    """
    timing, problem = options.pop("timing"), PROBLEMS[options.pop("problem")]
    network = problem.network(**network_settings(**options))
    inputs = jnp.asarray(problem.inputs())
    both = eqx.filter_value_and_grad(problem.loss)
    function, arrays = compiled(both, network, inputs)
    figures = time_call(function, *arrays, **timing)
    loss, gradient = function(*arrays)
    times = eqx.filter_jit(problem.spikes)(network, inputs, problem.window + MARGIN)
    trains = SpikeTrains.from_table(np.asarray(times))
    arrays = {**trains.arrays(), "gradient": problem.gradient(gradient)}
    return {**figures, "loss": float(loss)}, arrays


def reference(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """The oracle's spike trains, from the store if the parameters are the same."""
    name = options["problem"]
    problem = PROBLEMS[name]
    leaves, inputs = problem.parameters(), problem.inputs()
    constants = np.array([*problem.constants.values(), problem.window, MARGIN])
    dependencies = {**leaves, "in": inputs, "constants": constants}

    def compute() -> Arrays:
        ends = {"outputs": np.array([], int), "end": np.asarray(problem.window)}
        derived = _slope(problem) if problem.slope else {}
        return {**_simulate(problem).arrays(), **derived, **ends}

    return {}, cached(DATA / f"{name}_oracle.npz", dependencies, compute)


def _simulate(problem: Problem) -> SpikeTrains:
    leaves, samples = _in_float64(problem)
    end = problem.window + MARGIN
    return SpikeTrains.from_traces(_run(problem, leaves, x, end) for x in samples)


def _slope(problem: Problem) -> Arrays:
    """The derivative of the loss."""

    def loss(leaves: dict[str, np.ndarray], sample: np.ndarray) -> Any:
        trace = _run(problem, leaves, sample, problem.window)
        return np.sum((trace.times / problem.window) ** 2), trace.events

    leaves, samples = _in_float64(problem)
    return slope(loss, samples, leaves, oracle("finite_differences").ODE_NOISE)


def _run(problem: Problem, leaves: Arrays, sample: np.ndarray, end: float) -> Any:
    neurons = oracle("neurons")
    population = getattr(neurons, problem.oracle)(**leaves, **problem.constants)
    return neurons.simulate(population, sample, t_max=end)


def _in_float64(problem: Problem) -> tuple[dict[str, np.ndarray], np.ndarray]:
    leaves = problem.parameters().items()
    wide = {name: leaf.astype(np.float64) for name, leaf in leaves}
    return wide, problem.inputs().astype(np.float64)
