"""Teach a spiking network to tell the three parts of the Yin-Yang symbol apart.

A point of the symbol is told by four input spikes, at 30 ms times x, y, 1-x and 1-y;
a fifth input fires at 0 and says when time starts. The three output neurons race: the
one that fires first names the part, yin, yang or dots. Weights are trained with the
exact gradient of

    L = -log softmax(-t / τ0)[label] + α (exp(t_label / τ1) - 1),

where t are the outputs' first spike times, and so are delays, if there are any. A
sample whose own output is silent raises the weights into that output instead.

The task is that of Kriener, Göltz and Petrovici (The Yin-Yang dataset, NICE 2022);
neurons, loss and initial weights are those of Wunderlich and Pehle (Sci Rep 11 (2021)
12829), but for the `GAINS`. ``--hidden 200 --epochs 150 --lr 5e-3 --decay 0.98`` gives
what is reported in ``docs/results``, as does ``--hidden 30 --delays 6 --gains 1.5 1
--epochs 100 --lr 0.01 --decay 0.96``; the defaults are for a result within a minute or
two.

Run ``python examples/yin_yang.py``, ``--help`` lists the options.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from training import (
    SPIKING,
    Samples,
    Splits,
    Task,
    check_options,
    first_output,
    first_spike_loss,
    make_parser,
    plot_curves,
    probe,
    save_pictures,
    train_and_test,
)

from eventax import plot
from eventax.datasets import yin_yang
from eventax.encoding import latency, with_bias_spike
from eventax.evnn import FFEvNN
from eventax.initialization import RECIPES, normal_weights
from eventax.neuron_models import LIF

T_INPUT, T_END = 30.0, 60.0  # ms
IN_SIZE, N_CLASSES = 5, 3
CLASSES = ("yin", "yang", "dots")
# Initial weights of each layer in units of the published ones. With those themselves
# many hidden neurons never fire, and more fall silent in the first epochs.
GAINS = (1.5, 0.6)
N_HELD_OUT = 1000  # samples of validation and of test
N_GRID = 120  # points along each side of a map


# -- task ------------------------------------------------------------------------------


def make_samples(seed: int, n_train: int) -> Splits:
    """Samples for training, validation and test, each drawn with a key of its own."""
    keys = jax.random.split(jax.random.PRNGKey(seed), 3)
    sizes = (n_train, N_HELD_OUT, N_HELD_OUT)
    drawn = [yin_yang(key, n) for key, n in zip(keys, sizes, strict=True)]
    return Splits(*(Samples(*map(np.asarray, pair)) for pair in drawn))


def input_spikes(point: Any) -> jax.Array:
    """(5, 1) times of the spikes that tell x, y, 1-x, 1-y, and when time starts."""
    # Small values first, as in the paper: `latency` has large ones first.
    return with_bias_spike(latency(1 - point, t_max=T_INPUT))


def keep_spikes(key: Any, times: Any) -> Any:
    """The same spikes: they are not disturbed in training."""
    return times


@cache  # equal ones share a compilation
def make_task(n_hidden: int) -> Task:
    """Which output fires first?"""
    return Task(
        encode=input_spikes,
        disturb=keep_spikes,
        read=FFEvNN.ttfs,
        loss=partial(first_spike_loss, tau0=0.5, tau1=6.4, alpha=3e-3, t_max=T_END),
        decide=first_output,
        n_hidden=n_hidden,
    )


# -- network ---------------------------------------------------------------------------


def network_keywords(n_hidden: int, longest_delay: float | None) -> dict[str, Any]:
    """All keywords but the key; weights are put in later."""
    return {
        "layers": [n_hidden, N_CLASSES],
        "in_size": IN_SIZE,
        "neuron_model": LIF,
        "max_solver_time": T_END,
        "dlim": longest_delay,
        "max_event_steps": 100 + 4 * n_hidden,
    } | SPIKING


def make_network(
    seed: int, keywords: dict[str, Any], gains: Sequence[float] = GAINS
) -> FFEvNN:
    """The untrained network."""
    weight_key, delay_key = jax.random.split(jax.random.PRNGKey(seed + 1))
    recipe = RECIPES["yin-yang"]
    means, sds = np.multiply(gains, [recipe.means, recipe.sds]).tolist()
    weights = normal_weights(weight_key, keywords["layers"], IN_SIZE, means, sds)
    return FFEvNN(key=delay_key, **keywords | {"init_weights": weights})


# -- pictures --------------------------------------------------------------------------


def grid_points(n: int) -> np.ndarray:
    """(points, 4) data of the points of an (n, n) grid that are in the disc."""
    centres = (np.arange(n, dtype=np.float32) + 0.5) / n
    x, y = np.meshgrid(centres, centres)
    inside = np.hypot(x - 0.5, y - 0.5) <= 0.5
    points = np.stack([x[inside], y[inside]], axis=1)
    return np.concatenate([points, 1 - points], axis=1)


def plot_regions(
    task: Task, points: np.ndarray, times: np.ndarray, test: Samples
) -> Figure:
    """The class that the network gives to each point, and the test samples."""
    fig = Figure(figsize=(5.6, 4.8), layout="constrained")
    plot.decision_regions(
        points[:, :2],
        task.decide(times),
        samples=test.data[:, :2],
        labels=test.labels,
        names=CLASSES,
        ax=fig.subplots(),
    )
    return fig


def plot_latency(points: np.ndarray, times: np.ndarray) -> Figure:
    """When each output fires first, over the disc; white where it is silent."""
    fig = Figure(figsize=(10.2, 2.8), layout="constrained")
    heard = times[np.isfinite(times)]
    limits = np.percentile(heard, (1, 99)) if heard.size else (0.0, T_END)
    for ax, of_output, name in zip(fig.subplots(1, 3), times.T, CLASSES, strict=True):
        plot.latencies(
            of_output, over=points[:, :2], names=[name], limits=limits, ax=ax
        )
    return fig


# -- program ---------------------------------------------------------------------------


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options."""
    parser = make_parser(
        "Train a spiking network on the Yin-Yang data.",
        hidden=120,
        epochs=30,
        batch=32,
        lr=1e-2,
        decay=0.9,
        clip=1.0,
        wake=0.05,
        out="out/yin_yang",
    )
    parser.add_argument("--samples", type=int, default=5000, help="to learn from")
    parser.add_argument(
        "--delays",
        type=float,
        nargs="?",
        const=5.0,
        metavar="MS",
        help="train synaptic delays too, drawn between 0 and MS (5 if left out)",
    )
    parser.add_argument(
        "--gains",
        type=float,
        nargs=2,
        default=list(GAINS),
        metavar=("HIDDEN", "OUTPUT"),
        help="initial weights of each layer in units of the published ones",
    )
    args = parser.parse_args(argv)
    check_options(parser, args, "samples")
    if args.delays is not None and not 0 <= args.delays < float("inf"):
        parser.error("--delays must be finite and not negative")
    if not all(0 <= gain < float("inf") for gain in args.gains):
        parser.error("--gains must be finite and not negative")
    return args


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Train, test, draw; returns the summary."""
    args = parse_args(argv)
    splits = make_samples(args.seed, args.samples)
    task = make_task(args.hidden)
    keywords = network_keywords(args.hidden, args.delays)
    network = make_network(args.seed, keywords, args.gains)
    result = train_and_test(task, network, keywords, splits, args)
    if not args.no_plots:
        points = grid_points(N_GRID)
        times, _ = probe(task, result.network, points)
        figures = {
            "regions": plot_regions(task, points, times, splits.test),
            "latency": plot_latency(points, times),
            "curves": plot_curves(result.curves),
        }
        save_pictures(figures, args.out)
    return result.summary


if __name__ == "__main__":
    main()
