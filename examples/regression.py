"""Teach a small spiking network to answer an input time with an output time.

Twenty recurrently connected quadratic integrate-and-fire (QIF) neurons receive two
spikes, one at 0 ms and one at x. A further neuron, driven by the twenty, shall fire its
first spike at

    y(x) = 5 sin(2π x / 10) + x + 30    (ms),    x in [0, 30] ms.

Weights and bias currents are trained with the exact gradient of the squared error of
that spike time. The same task, step by step, is in ``regression.ipynb``.

Run ``python examples/regression.py`` (or ``make demo``), ``--help`` lists the options.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

from eventax import plot
from eventax.evnn import EvNN
from eventax.neuron_models import QIF

N_POPULATION = 20
N_NEURONS = N_POPULATION + 1
OUTPUT = N_POPULATION  # the last neuron answers
T_END = 80.0  # ms
X_MAX = 30.0  # ms
N_TEST = 100

TRACED = (0, 7, 14)  # members of the population whose potentials are drawn
WHEN = ("Before training", "After training")
# Pictures go on after the first output spike, which is where training stops.
LONG = {"max_event_steps": 2000}


# -- task ------------------------------------------------------------------------------


def target_times(x: jax.Array) -> jax.Array:
    """Times at which the output neuron shall fire for second input spikes at x."""
    return 5.0 * jnp.sin(2 * jnp.pi * x / 10.0) + x + 30.0


def input_spikes(x: jax.Array) -> jax.Array:
    """One input channel with spikes at 0 and at x: shape (..., 1, 2)."""
    return jnp.stack([jnp.zeros_like(x), x], axis=-1)[..., None, :]


def training_inputs(key: jax.Array, n_steps: int, batch_size: int) -> jax.Array:
    """Uniform times in [0, 30] ms, shape (n_steps, batch_size)."""
    n_used = n_steps * batch_size
    n_drawn = max(n_used, 100_000)  # so that the notebook's data come out
    x = jax.random.uniform(key, (n_drawn,)) * X_MAX
    return x[:n_used].reshape(n_steps, batch_size)


# -- network ---------------------------------------------------------------------------


def connectivity() -> np.ndarray:
    """Mask (senders, receivers); senders are the neurons and then the input."""
    wmask = np.zeros((N_NEURONS + 1, N_NEURONS), dtype=np.float32)
    wmask[:N_POPULATION, :N_POPULATION] = 1 - np.eye(N_POPULATION)
    wmask[:N_POPULATION, OUTPUT] = 1
    wmask[N_NEURONS:, :N_POPULATION] = 1
    return wmask


def make_network(key: jax.Array) -> EvNN:
    """The untrained network."""
    neurons = np.arange(N_NEURONS)
    return EvNN(
        neuron_model=QIF,
        n_neurons=N_NEURONS,
        in_size=1,
        max_solver_time=T_END,
        key=key,
        wmask=jnp.asarray(connectivity()),
        output_neurons=jnp.asarray(neurons == OUTPUT),
        input_neurons=jnp.asarray(neurons != OUTPUT),
        solver_stepsize=0.1,
        max_event_steps=500,
        dtype=jnp.float32,
        tsyn=5.0,
        tmem=20.0,
        blim=0.5,
        wlim=40.0,
        wmean=20.0,
    )


def trained_leaves(network: EvNN) -> tuple[jax.Array, jax.Array]:
    """Weights and bias currents."""
    return network.neuron_model.weights, network.neuron_model.ic


# -- training --------------------------------------------------------------------------


class History(NamedTuple):
    """What training leaves behind, one row per step (states: the start first)."""

    loss: np.ndarray  # (steps,)
    weights: np.ndarray  # (steps + 1, synapses)
    bias: np.ndarray  # (steps + 1, neurons)


def loss_fn(network: EvNN, x: jax.Array) -> jax.Array:
    """Mean squared error of the first output spike, in units of the trial's length."""
    first_spikes = jax.vmap(network.ttfs)(input_spikes(x))[:, 0]
    first_spikes = jnp.minimum(first_spikes, T_END)  # silent counts as the last moment
    error = first_spikes - target_times(x)
    return jnp.mean((error / T_END) ** 2)


@eqx.filter_jit
def predict(network: EvNN, x: jax.Array) -> jax.Array:
    """First output spike for each x, ``inf`` where the output neuron stays silent."""
    return jax.vmap(network.ttfs)(input_spikes(x))[:, 0]


def make_train_chunk(optimizer: optax.GradientTransformation):
    """Several optimiser steps in one compiled call, which saves the cost of calls."""

    @eqx.filter_jit
    def train_chunk(network, opt_state, x):
        arrays, static = eqx.partition((network, opt_state), eqx.is_array)

        def step(carry, x_batch):
            network, opt_state = eqx.combine(carry, static)
            loss, grads = eqx.filter_value_and_grad(loss_fn)(network, x_batch)
            params = eqx.filter(network, eqx.is_array)
            updates, opt_state = optimizer.update(grads, opt_state, params)
            network = eqx.apply_updates(network, updates)
            carry = eqx.filter((network, opt_state), eqx.is_array)
            return carry, (loss, *trained_leaves(network))

        arrays, rows = jax.lax.scan(step, arrays, x)
        return *eqx.combine(arrays, static), rows

    return train_chunk


def learning_rates(rate: float, n_steps: int, cooldown: float) -> optax.Schedule:
    """Constant, then falling to 0 along a cosine in the last part of the steps."""
    n_falling = round(cooldown * n_steps)
    falling = optax.cosine_decay_schedule(rate, max(n_falling, 1))
    constant = optax.constant_schedule(rate)
    return optax.join_schedules([constant, falling], [n_steps - n_falling])


def train(
    network: EvNN, x: jax.Array, learning_rate: optax.ScalarOrSchedule
) -> tuple[EvNN, History]:
    """Train on the batches x, shape (steps, batch size), with a progress bar."""
    n_steps = x.shape[0]
    chunk = max(n for n in range(1, 26) if n_steps % n == 0)
    optimizer = optax.adam(learning_rate)
    opt_state = optimizer.init(network)
    train_chunk = make_train_chunk(optimizer)
    rows = [[np.asarray(a)[None] for a in (np.nan, *trained_leaves(network))]]

    start = time.perf_counter()
    jax.block_until_ready(train_chunk(network, opt_state, x[:chunk])[2])  # discarded
    print(f"Compiled the training step in {time.perf_counter() - start:.1f} s")

    with tqdm(total=n_steps, unit="step", desc="Training") as bar:
        for first in range(0, n_steps, chunk):
            network, opt_state, new_rows = train_chunk(
                network, opt_state, x[first : first + chunk]
            )
            rows.append(jax.device_get(new_rows))
            bar.set_postfix_str(f"loss {rows[-1][0][-1]:.2e}", refresh=False)
            bar.update(chunk)

    loss, weights, bias = (np.concatenate(column) for column in zip(*rows, strict=True))
    connected = connectivity().astype(bool)
    return network, History(loss[1:], weights[:, connected], bias)


# -- pictures --------------------------------------------------------------------------


def plot_curve(before: np.ndarray, after: np.ndarray, x: np.ndarray) -> Figure:
    """First output spike over input time, before and after training, and the target."""
    fig = Figure(figsize=(6.4, 4.4), layout="constrained")
    ax = plot.latencies(
        np.stack([before, after], axis=1),
        over=x,
        target=target_times(x),
        names=["before training", "after training"],
        ax=fig.subplots(),
    )
    ax.set(
        xlabel="time of the second input spike (ms)",
        ylabel="time of the first output spike (ms)",
        title="Learned curve",
    )
    return fig


def plot_loss(history: History) -> Figure:
    """The error over training on a logarithmic scale."""
    fig = Figure(figsize=(6.4, 4.4), layout="constrained")
    window = min(25, len(history.loss))
    plot.learning_curves(
        {f"mean of {window} batches": T_END * np.sqrt(history.loss)},
        window=window,
        log=True,
        ylabel="RMS error of the first output spike (ms)",
        ax=fig.subplots(),
    )
    return fig


def plot_parameters(history: History) -> Figure:
    """Every weight and every bias current over training."""
    fig = Figure(figsize=(9.6, 4.6), layout="constrained")
    left, right = fig.subplots(1, 2)
    senders, receivers = np.nonzero(connectivity())
    inside = (senders < OUTPUT) & (receivers < OUTPUT)
    weights, bias = history.weights.T, history.bias.T
    groups = {
        "population → population": weights[inside],
        "input → population": weights[senders > OUTPUT],
        "population → output": weights[receivers == OUTPUT],
    }
    plot.learning_curves(groups, start=0, ylabel="weight", ax=left)
    groups = {"population": bias[:OUTPUT], "output": bias[OUTPUT:]}
    plot.learning_curves(groups, start=0, ylabel="bias current", ax=right)
    return fig


def plot_raster(before: EvNN, after: EvNN, x: float) -> Figure:
    """All spikes after input spikes at 0 and x, before and after training."""
    fig = Figure(figsize=(9.6, 4.8), layout="constrained")
    axes = fig.subplots(1, 2, sharex=True, sharey=True)
    for ax, network, when in zip(axes, (before, after), WHEN, strict=True):
        plot.raster(network, input_spikes(jnp.asarray(x)), ax=ax, **LONG)
        mark_target(ax, x)
        ax.set_title(when, loc="left")
    return fig


def plot_traces(before: EvNN, after: EvNN, x: float) -> Figure:
    """Membrane potentials of four neurons in the same trials."""
    fig = Figure(figsize=(9.6, 8.4), layout="constrained")
    rows = (*TRACED, OUTPUT)
    grid = fig.subplots(len(rows), 2, sharex=True, sharey=True)
    for axes, network, when in zip(grid.T, (before, after), WHEN, strict=True):
        for ax, neuron in zip(axes, rows, strict=True):
            spikes = input_spikes(jnp.asarray(x))
            plot.traces(network, spikes, neurons=neuron, ax=ax, **LONG)
            mark_target(ax, x)
            ax.label_outer()
        axes[0].set_title(when, loc="left")
    return fig


def mark_target(ax: Axes, x: float) -> None:
    """A line where the first output spike shall be."""
    ax.axvline(float(target_times(jnp.asarray(x))), color="0.45", ls=":")


# -- program ---------------------------------------------------------------------------


def report(prediction: np.ndarray, x: np.ndarray) -> float:
    """Print and return the test error in ms; a silent output counts as a late one."""
    silent = int(np.isinf(prediction).sum())
    error = np.minimum(prediction, T_END) - np.asarray(target_times(x))
    rmse = float(np.sqrt(np.mean(error**2)))
    print(
        f"Test RMSE: {rmse:.3f} ms over {len(x)} inputs"
        f" ({silent} silent, counted as a spike at {T_END:g} ms)"
    )
    return rmse


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description="Train a spiking network on a temporal regression task.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--steps", type=int, default=1562, help="optimiser steps")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.1, help="learning rate of Adam")
    parser.add_argument(
        "--cooldown",
        type=float,
        default=0.3,
        help="part of the steps, the last ones, in which the rate falls to 0",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, default=Path("out/regression"), help="folder for pictures"
    )
    parser.add_argument("--no-plots", action="store_true", help="draw no pictures")
    args = parser.parse_args(argv)
    for name in ("steps", "batch_size"):
        if getattr(args, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    if not 0 <= args.cooldown <= 1:
        parser.error("--cooldown must lie between 0 and 1")
    return args


def main(argv: Sequence[str] | None = None) -> float:
    """Train, test, draw; returns the test error in ms."""
    args = parse_args(argv)
    key = jax.random.PRNGKey(args.seed)
    untrained = make_network(key)
    batches = training_inputs(key, args.steps, args.batch_size)
    x_test = np.linspace(0.0, X_MAX, N_TEST, dtype=np.float32)

    rates = learning_rates(args.lr, args.steps, args.cooldown)
    trained, history = train(untrained, batches, rates)
    prediction = np.asarray(predict(trained, x_test))
    rmse = report(prediction, x_test)
    if args.no_plots:
        return rmse

    x_trial = float(x_test[2 * N_TEST // 3])
    pictures = {
        "curve": plot_curve(np.asarray(predict(untrained, x_test)), prediction, x_test),
        "loss": plot_loss(history),
        "parameters": plot_parameters(history),
        "raster": plot_raster(untrained, trained, x_trial),
        "traces": plot_traces(untrained, trained, x_trial),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    print("Pictures:")
    for name, figure in pictures.items():
        path = args.out / f"{name}.png"
        figure.savefig(path, dpi=150)
        print(f"  {path}")
    return rmse


if __name__ == "__main__":
    main()
