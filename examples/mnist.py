"""Teach a spiking network of one hidden layer to read digits, or to tell clothes apart.

A pixel fires once, the brighter the earlier. The hidden neurons' spikes go to one
readout neuron per class, and there are three ways to tell the class (``--loss``):

- ``max``: readouts do not fire; the class is the one whose potential rises highest;
- ``integral``: the same, but the class is the one of the largest integral of potential
  over time, to which all spikes add: hidden neurons that fire often learn faster so;
- ``first``: readouts fire, and the class is the one that fires first.

The weights are trained with the exact gradient of the cross-entropy. Coding, neurons
and the first way, with its initial weights, are those of Wunderlich and Pehle
(Event-based backpropagation can compute exact gradients for spiking neural networks,
Sci Rep 11 (2021) 12829), who train for 100 epochs in batches of 5. The second way is
from Nowotny, Turner and Knight (Neuromorph Comput Eng 5 (2025) 014001), and initial
weights and loss of the third are those of the programs beside their paper.

The data are IDX files that you have, of MNIST or Fashion-MNIST (``--data``,
``--set``), or a file of NumPy with the arrays ``images``, (n, 28, 28) bytes, and
``labels`` (``--npz``).

Run ``python examples/mnist.py``, ``--help`` lists the options.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from training import (
    READOUT,
    SPIKING,
    Samples,
    Splits,
    Task,
    check_options,
    chosen,
    first_output,
    first_spike_loss,
    highest_output,
    make_parser,
    plot_confusion,
    plot_curves,
    save_pictures,
    train_and_test,
)

from eventax import plot
from eventax.datasets import fashion_mnist, mnist
from eventax.encoding import drop_spikes, latency
from eventax.evnn import FFEvNN
from eventax.initialization import RECIPES, normal_weights
from eventax.losses import (
    max_voltage_cross_entropy,
    voltage_integral_cross_entropy,
)
from eventax.neuron_models import LI, LIF, MultiNeuronModel

T_INPUT, T_END = 20.0, 40.0  # ms
SHAPE = (28, 28)
IN_SIZE, N_CLASSES = 28 * 28, 10
INTEGRAL_UNIT = 10.0  # ms
SETS = {"mnist": mnist, "fashion_mnist": fashion_mnist}
MNIST_SPIKES = 150.0  # of a sample, on average
N_SHOWN = 3  # samples in the raster


# -- data ------------------------------------------------------------------------------


def load_samples(args: argparse.Namespace) -> Splits:
    """Samples for training, for validation (one in twelve of the rest) and for test."""
    order = np.random.default_rng(args.seed).permutation
    if args.npz is None:
        rest, test = (
            _flat(*SETS[args.set](args.data, split=split))
            for split in ("train", "test")
        )
        rest = chosen(rest, order(len(rest.labels)))
    else:
        every = _flat(*_arrays_of(args.npz))
        every = chosen(every, order(len(every.labels)))
        n_test = len(every.labels) // 5
        test, rest = chosen(every, slice(n_test)), chosen(every, slice(n_test, None))
    n_watched = max(len(rest.labels) // 12, 1)
    watched = chosen(rest, slice(n_watched))
    learned = chosen(rest, slice(n_watched, None))
    return Splits(
        chosen(learned, slice(args.train)), watched, chosen(test, slice(args.test))
    )


def _arrays_of(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels."""
    try:
        with np.load(path) as file:
            return file["images"], file["labels"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SystemExit(
            f"{path} must be a file of NumPy with the arrays images and labels: {error}"
        ) from error


def _flat(images: np.ndarray, labels: np.ndarray) -> Samples:
    """Images as rows of pixels."""
    if images.shape[1:] != SHAPE or images.dtype != np.uint8:
        raise SystemExit(
            f"images must be bytes of shape (n, 28, 28); got {images.dtype}, "
            f"{images.shape}."
        )
    return Samples(images.reshape(-1, IN_SIZE), np.asarray(labels, np.int32))


# -- task ------------------------------------------------------------------------------


def input_spikes(pixels: Any) -> jax.Array:
    """(784, 1) times: the brighter a pixel the earlier, none for black ones."""
    # Rounding must not make a white pixel brighter than white, and early.
    values = jnp.minimum(pixels / 255.0, 1.0)
    return latency(values, t_max=T_INPUT, threshold=1.5 / 255.0)


def disturb(key: jax.Array, times: jax.Array, *, shift: int, drop: float) -> jax.Array:
    """Spikes are lost, the part `drop`, and images are moved by up to `shift` pixels.

    What leaves the frame is lost, and what comes in from outside is black.
    """
    move_key, drop_key = jax.random.split(key)
    if shift:
        around = jnp.pad(times.reshape(SHAPE), shift, constant_values=jnp.inf)
        corner = jax.random.randint(move_key, (2,), 0, 2 * shift + 1)
        moved = jax.lax.dynamic_slice(around, corner, SHAPE)
        times = moved.reshape(times.shape)
    return drop_spikes(drop_key, times, drop)


@cache  # equal ones share a compilation
def make_task(loss: str, n_hidden: int, shift: int = 0, drop: float = 0.0) -> Task:
    """Which readout is highest, or has the largest integral, or fires first?"""
    if loss == "max":
        read, decide, objective = FFEvNN.max_over_time, highest_output, highest_loss
    elif loss == "integral":
        read, decide, objective = FFEvNN.integral, highest_output, integral_loss
    else:
        read, decide = FFEvNN.ttfs, first_output
        objective = partial(
            first_spike_loss, tau0=1.0, tau1=3.0, alpha=3.6e-4, t_max=T_END
        )
    return Task(
        encode=input_spikes,
        disturb=partial(disturb, shift=shift, drop=drop),
        read=read,
        loss=objective,
        decide=decide,
        n_hidden=n_hidden,
    )


def highest_loss(network: FFEvNN, outputs: Any, labels: Any) -> jax.Array:
    """Cross-entropy of the highest potentials, one value per sample."""
    return max_voltage_cross_entropy(outputs, labels)


def integral_loss(network: FFEvNN, outputs: Any, labels: Any) -> jax.Array:
    """Cross-entropy of the integrals of potentials, one value per sample."""
    return voltage_integral_cross_entropy(outputs / INTEGRAL_UNIT, labels)


# -- network ---------------------------------------------------------------------------


def network_keywords(loss: str, n_hidden: int) -> dict[str, Any]:
    """All keywords; weights are put in later.

    Readouts spike unless the loss is one of potentials.
    """
    common = {
        "layers": [n_hidden, N_CLASSES],
        "in_size": IN_SIZE,
        "max_solver_time": T_END,
        "max_event_steps": IN_SIZE + 8 * (n_hidden + N_CLASSES),
    }
    if loss == "first":
        return common | SPIKING | {"neuron_model": LIF}
    return common | {
        "neuron_model": MultiNeuronModel,
        "neuron_models": [LIF, LI],
        "neuron_model_kwargs": [SPIKING, READOUT],
    }


def make_network(
    loss: str,
    seed: int,
    keywords: dict[str, Any],
    n_spikes: float,
    from_inputs: Sequence[float] | None = None,
) -> FFEvNN:
    """The untrained network, for samples of so many input spikes on average.

    Initial weights from the inputs, `from_inputs` (mean, sd) or the published ones, are
    for MNIST, and in proportion to the number of spikes there: Fashion-MNIST has more
    than twice as many.
    """
    layers = keywords["layers"]
    recipe = RECIPES["mnist first-spike" if loss == "first" else "mnist"]
    key = jax.random.PRNGKey(seed + 1)
    first, *rest = np.transpose([recipe.means, recipe.sds])
    if from_inputs is not None:
        first = np.asarray(from_inputs)
    first = first * MNIST_SPIKES / max(n_spikes, 1.0)
    means, sds = np.transpose([first, *rest]).tolist()
    weights = normal_weights(key, layers, IN_SIZE, means, sds)
    network = FFEvNN(**keywords)
    if loss == "first":
        return eqx.tree_at(lambda n: n.neuron_model.weights, network, weights)
    # Each sub-model has the columns of its own neurons.
    parts = tuple(jnp.split(weights, layers[:1], axis=1))
    return eqx.tree_at(
        lambda n: tuple(m.weights for m in n.neuron_model.submodels), network, parts
    )


# -- pictures --------------------------------------------------------------------------


def plot_raster(network: FFEvNN, task: Task, test: Samples) -> Figure:
    """Some test samples: the image, and the spikes of pixels and network."""
    fig = Figure(figsize=(9.6, 3.2 * N_SHOWN), layout="constrained")
    rows = fig.subplots(N_SHOWN, 2, width_ratios=(1, 3), squeeze=False)
    for row, pixels, label in zip(rows, test.data, test.labels, strict=False):
        picture, spikes = row
        picture.imshow(pixels.reshape(SHAPE), cmap="gray_r")
        picture.set(xticks=[], yticks=[], title=f"class {label}")
        # More events than in training, which may stop at the first output spike.
        most = 4 * network.max_event_steps
        times = task.encode(jnp.asarray(pixels))
        plot.raster(network, times, max_event_steps=most, ax=spikes)
    return fig


# -- program ---------------------------------------------------------------------------


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options."""
    parser = make_parser(
        "Train a spiking network on MNIST or Fashion-MNIST.",
        hidden=350,
        epochs=10,
        batch=64,
        lr=5e-3,
        decay=0.95,
        clip=0.0,
        wake=0.0,
        out="out/mnist",
    )
    parser.add_argument("--loss", choices=("max", "integral", "first"), default="max")
    parser.add_argument(
        "--input-weights",
        type=float,
        nargs=2,
        metavar=("MEAN", "SD"),
        help="of the initial weights from the inputs, by default the published ones, "
        "which make hidden neurons very much alike: few samples are better learned "
        "with a larger SD",
    )
    parser.add_argument(
        "--drop",
        type=float,
        default=0.2,
        help="part of the input spikes that are lost in training",
    )
    parser.add_argument(
        "--shift",
        type=int,
        default=0,
        help="in training, move images by up to so many pixels",
    )
    parser.add_argument("--set", choices=tuple(SETS), default="mnist")
    parser.add_argument(
        "--data", type=Path, help="folder of IDX files; by default some usual ones"
    )
    parser.add_argument(
        "--npz", type=Path, help="file with images and labels, instead of IDX files"
    )
    parser.add_argument("--train", type=int, help="learn from so many samples only")
    parser.add_argument("--test", type=int, help="test so many samples only")
    args = parser.parse_args(argv)
    check_options(parser, args, "train", "test")
    if args.input_weights is not None and not (
        np.isfinite(args.input_weights).all() and args.input_weights[1] >= 0
    ):
        parser.error("--input-weights must be finite, and SD not negative")
    if not 0 <= args.shift < min(SHAPE):
        parser.error(f"--shift must be at least 0 and less than {min(SHAPE)}")
    return args


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Train, test, draw; returns the summary."""
    args = parse_args(argv)
    try:
        splits = load_samples(args)
    except FileNotFoundError as error:
        raise SystemExit(f"{error} (--data)") from error
    task = make_task(args.loss, args.hidden, args.shift, args.drop)
    keywords = network_keywords(args.loss, args.hidden)
    n_spikes = float(np.sum(splits.train.data > 1) / len(splits.train.labels))
    network = make_network(args.loss, args.seed, keywords, n_spikes, args.input_weights)
    result = train_and_test(task, network, keywords, splits, args)
    if not args.no_plots:
        names = [str(k) for k in range(N_CLASSES)]
        figures = {
            "raster": plot_raster(result.network, task, splits.test),
            "confusion": plot_confusion(result.decided, splits.test.labels, names),
            "curves": plot_curves(result.curves),
        }
        save_pictures(figures, args.out)
    return result.summary


if __name__ == "__main__":
    main()
