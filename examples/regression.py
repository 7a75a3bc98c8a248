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
from matplotlib.ticker import LogLocator, NullFormatter
from tqdm import tqdm

from eventax.evnn import EvNN
from eventax.neuron_models import QIF

N_POPULATION = 20
N_NEURONS = N_POPULATION + 1
OUTPUT = N_POPULATION  # the last neuron answers
T_END = 80.0  # ms
X_MAX = 30.0  # ms
N_TEST = 100

TRACED = (0, 7, 14)  # members of the population whose potentials are drawn
BLUE, ORANGE, GREY, LIGHT = "#1f77b4", "#d95f02", "0.45", "0.78"


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


def make_network(key: jax.Array, *, observe_all: bool = False) -> EvNN:
    """The untrained network; with ``observe_all`` every neuron counts as an output."""
    neurons = np.arange(N_NEURONS)
    return EvNN(
        neuron_model=QIF,
        n_neurons=N_NEURONS,
        in_size=1,
        max_solver_time=T_END,
        key=key,
        wmask=jnp.asarray(connectivity()),
        output_neurons=jnp.asarray(observe_all | (neurons == OUTPUT)),
        input_neurons=jnp.asarray(neurons != OUTPUT),
        solver_stepsize=0.1,
        max_event_steps=2000 if observe_all else 500,
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


# -- one trial in detail ---------------------------------------------------------------


class Trial(NamedTuple):
    """Everything that happens in the network after input spikes at 0 and x."""

    x: float
    spike_times: np.ndarray  # (spikes,), ascending
    spike_ids: np.ndarray  # (spikes,)
    times: np.ndarray  # (times,), the grid of the traces
    voltage: np.ndarray  # (neurons, times)


def run_trial(network: EvNN, x: float) -> Trial:
    """Record all spikes, and all membrane potentials on a fine grid."""
    # Only output neurons can be observed: put the parameters into a network whose
    # outputs are all neurons.
    view = make_network(jax.random.PRNGKey(0), observe_all=True)
    view = eqx.tree_at(trained_leaves, view, trained_leaves(network))
    spikes_in = input_spikes(jnp.asarray(x))
    grid = jnp.linspace(0.0, T_END, 1601)
    spike_times, spike_ids, _ = eqx.filter_jit(EvNN.record)(view, spikes_in)
    states = eqx.filter_jit(EvNN.state_at_t)(view, spikes_in, grid)
    fired = np.asarray(spike_ids) >= 0
    return Trial(
        x=x,
        spike_times=np.asarray(spike_times)[fired],
        spike_ids=np.asarray(spike_ids)[fired],
        times=np.asarray(grid),
        voltage=np.asarray(states)[:, :, 0],
    )


# -- pictures --------------------------------------------------------------------------


def plot_curve(before: np.ndarray, after: np.ndarray, x: np.ndarray) -> Figure:
    """First output spike over input time, before and after training, and the target."""
    fig = Figure(figsize=(6.4, 4.4), layout="constrained")
    ax = fig.subplots()
    silent = np.isinf(after)
    ax.plot(x, _gaps_for_silent(before), color=GREY, lw=1, label="before training")
    ax.plot(x, target_times(x), color=ORANGE, lw=4, alpha=0.45, label="target")
    ax.plot(x, _gaps_for_silent(after), color=BLUE, lw=1.4, label="after training")
    if silent.any():
        ax.plot(x[silent], T_END + 0 * x[silent], "x", color=BLUE, label="silent")
    ax.set(
        xlabel="time of the second input spike (ms)",
        ylabel="time of the first output spike (ms)",
        title="Learned curve",
    )
    ax.legend(frameon=False)
    _tidy(ax)
    return fig


def plot_loss(history: History) -> Figure:
    """Loss on a logarithmic scale, with the error in ms on the right."""
    fig = Figure(figsize=(6.4, 4.4), layout="constrained")
    ax = fig.subplots()
    steps = np.arange(1, len(history.loss) + 1)
    window = np.full(min(25, len(steps)), 1 / min(25, len(steps)))
    smooth = np.convolve(history.loss, window, "valid")
    ax.semilogy(steps, history.loss, color=BLUE, lw=0.5, alpha=0.5, label="each batch")
    ax.semilogy(
        np.convolve(steps, window, "valid"),
        smooth,
        color=BLUE,
        lw=1.6,
        label=f"mean of {len(window)} batches",
    )
    ax.set(xlabel="training step", ylabel="loss", title="Loss during training")
    ax.set_xlim(0, len(steps))
    error_axis = ax.secondary_yaxis(
        "right",
        functions=(
            lambda loss: T_END * np.sqrt(np.maximum(loss, 0)),
            lambda error: (error / T_END) ** 2,
        ),
    )
    error_axis.set_ylabel("RMS error of the first output spike (ms)")
    error_axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    error_axis.yaxis.set_major_formatter("{x:g}")
    error_axis.yaxis.set_minor_formatter(NullFormatter())
    error_axis.tick_params(labelsize="small")
    ax.legend(frameon=False)
    _tidy(ax, right_axis=True)
    return fig


def plot_parameters(history: History) -> Figure:
    """Every weight and every bias current over training."""
    fig = Figure(figsize=(9.6, 4.6), layout="constrained")
    left, right = fig.subplots(1, 2)
    steps = np.arange(len(history.bias))

    senders, receivers = np.nonzero(connectivity())
    groups = [
        ("population → population", LIGHT, (senders < OUTPUT) & (receivers < OUTPUT)),
        ("input → population", BLUE, senders > OUTPUT),
        ("population → output", ORANGE, receivers == OUTPUT),
    ]
    for name, colour, members in groups:
        _plot_group(left, steps, history.weights[:, members], colour, name)
    left.set(ylabel="weight", title="Weights")

    _plot_group(right, steps, history.bias[:, :OUTPUT], GREY, "population")
    _plot_group(right, steps, history.bias[:, OUTPUT:], ORANGE, "output", lw=1.8)
    right.set(ylabel="bias current", title="Bias currents")

    for ax in (left, right):
        ax.set(xlabel="training step", xlim=(0, len(steps) - 1))
        legend = ax.legend(
            frameon=False,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.13),
            ncols=3,
            fontsize="small",
            handlelength=1.2,
            columnspacing=1.2,
        )
        for line in legend.get_lines():
            line.set_linewidth(2.5)
        _tidy(ax)
    return fig


def plot_raster(before: Trial, after: Trial) -> Figure:
    """All spikes of one trial, before and after training."""
    fig = Figure(figsize=(9.6, 4.8), layout="constrained")
    axes = fig.subplots(1, 2, sharex=True, sharey=True)
    for ax, trial, when in zip(axes, (before, after), ("Before", "After"), strict=True):
        rows = [trial.spike_times[trial.spike_ids == n] for n in range(N_NEURONS)]
        colours = [GREY] * N_POPULATION + [ORANGE]
        ax.eventplot(rows, linelengths=0.75, linewidths=1.3, colors=colours)
        ax.eventplot([[0.0, trial.x]], lineoffsets=-1.5, linelengths=0.9, colors=BLUE)
        _mark_answer(ax, trial)
        ax.set(xlabel="time (ms)", title=f"{when} training", xlim=(-1, T_END))
        _tidy(ax)
    axes[0].set_yticks([-1.5, 0, 5, 10, 15, OUTPUT])
    axes[0].set_yticklabels(["input", "0", "5", "10", "15", "output"])
    axes[0].set_ylabel("neuron")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return fig


def plot_traces(before: Trial, after: Trial) -> Figure:
    """Membrane potentials of four neurons in one trial, before and after training.

    The potential of a QIF neuron runs through infinity when it fires and comes back
    from minus infinity: only the part near rest (0) and threshold (1) is drawn, and a
    triangle marks each spike.
    """
    low, high = -5.0, 6.0
    neurons = [*TRACED, OUTPUT]
    fig = Figure(figsize=(9.6, 7.0), layout="constrained")
    grid = fig.subplots(len(neurons), 2, sharex=True, sharey=True)
    columns = zip(grid.T, (before, after), ("Before", "After"), strict=True)
    for axes, trial, when in columns:
        for ax, neuron in zip(axes, neurons, strict=True):
            spikes = trial.spike_times[trial.spike_ids == neuron]
            times, voltage = _broken_at(spikes, trial.times, trial.voltage[neuron])
            voltage[np.abs(voltage) > 1e3] = np.nan  # of either sign next to a spike
            colour = ORANGE if neuron == OUTPUT else GREY
            _mark_answer(ax, trial)
            ax.plot(times, voltage, color=colour, lw=1.2)
            ax.plot(spikes, 0 * spikes + high, "v", color="k", ms=3.5, label="spike")
            ax.plot(
                [0.0, trial.x],
                [low, low],
                "^",
                color=BLUE,
                ms=5,
                clip_on=False,
                label="input spike",
            )
            ax.set(xlim=(-1, T_END), ylim=(low, high + 0.8))
            _tidy(ax)
        axes[0].set_title(f"{when} training")
        axes[-1].set_xlabel("time (ms)")
    for ax, neuron in zip(grid[:, 0], neurons, strict=True):
        ax.set_ylabel("output" if neuron == OUTPUT else f"neuron {neuron}")
    fig.supylabel("membrane potential V (dimensionless)", fontsize="medium")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return fig


def _gaps_for_silent(spike_times: np.ndarray) -> np.ndarray:
    return np.where(np.isinf(spike_times), np.nan, spike_times)


def _plot_group(
    ax: Axes, x: np.ndarray, ys: np.ndarray, colour: str, name: str, lw: float = 0.7
) -> None:
    """Draw all columns of ys alike, under one entry in the legend."""
    lines = ax.plot(x, ys, color=colour, lw=lw)
    lines[0].set_label(name)


def _broken_at(
    spikes: np.ndarray, times: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Put a gap into a trace at each spike, so that no line is drawn across it."""
    where = np.searchsorted(times, spikes)
    return np.insert(times, where, spikes), np.insert(values, where, np.nan)


def _mark_answer(ax: Axes, trial: Trial) -> None:
    """A line at the wanted time, a shade over what comes after the first output."""
    answers = trial.spike_times[trial.spike_ids == OUTPUT]
    answer = answers[0] if answers.size else T_END
    ax.axvspan(answer, T_END, color="0.94", zorder=0, label="after the first output")
    ax.axvline(
        float(target_times(jnp.asarray(trial.x))),
        color=ORANGE,
        ls=":",
        lw=1.4,
        label="target of the first output",
    )


def _tidy(ax: Axes, *, right_axis: bool = False) -> None:
    ax.spines["top"].set_visible(False)
    ax.spines["right"].set_visible(right_axis)
    ax.tick_params(labelsize="small")


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
    trials = run_trial(untrained, x_trial), run_trial(trained, x_trial)
    pictures = {
        "curve": plot_curve(np.asarray(predict(untrained, x_test)), prediction, x_test),
        "loss": plot_loss(history),
        "parameters": plot_parameters(history),
        "raster": plot_raster(*trials),
        "traces": plot_traces(*trials),
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
