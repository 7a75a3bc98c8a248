"""What the examples of classification share: training, checkpoints, curves, summary.

``yin_yang.py``, ``mnist.py`` and ``speech.py`` bring a network, samples and a `Task`,
which says how a sample becomes spikes and how outputs become a class. Everything else
is here: one epoch is one compiled call, after each the state is stored, and a run that
was stopped goes on from there and ends with the very same numbers.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from matplotlib.figure import Figure
from tqdm import tqdm

from eventax import plot
from eventax.evnn import EvNN
from eventax.initialization import wake_silent
from eventax.io import save_evnn
from eventax.losses import waking_first_spike_cross_entropy
from eventax.monitor import activity

# Neurons of feed-forward examples; times in ms. Weights are put in later.
READOUT = {"init_weights": 0.0, "init_bias": 0.0, "tsyn": 5.0, "tmem": 20.0}
SPIKING = READOUT | {"thresh": 1.0}
PROBED = 250  # samples that are looked at in one call
WATCHED = 1000  # samples that show whether a neuron ever fires
PACKAGES = ("eventax", "jax", "jaxlib", "equinox", "optax", "numpy")
# Options that do not change what an epoch does.
FREE = {"epochs", "out", "resume", "no_plots", "data"}


class Samples(NamedTuple):
    """Data as they are stored, and their classes; all arrays have the samples in front.

    Data may be several arrays.
    """

    data: Any
    labels: Any


class Splits(NamedTuple):
    """Samples to learn from, to watch meanwhile, and to look at once, at the end."""

    train: Samples
    validation: Samples
    test: Samples


def chosen(samples: Samples, which: Any) -> Samples:
    """Some of the samples."""
    return jax.tree.map(lambda x: x[which], samples)


def unvaried(key: Any, data: Any) -> Any:
    """The same data."""
    return data


class Task(NamedTuple):
    """What a network is to do; functions of one sample but for `loss` and `decide`.

    These get outputs (b, n_out) of a batch.
    """

    encode: Callable[[Any], Any]  # data -> input spikes, (M, K) times or a list
    disturb: Callable[[Any, Any], Any]  # key, times -> times, in training only
    read: Callable[[EvNN, Any], Any]  # network, times -> (n_out,) outputs
    loss: Callable[[EvNN, Any, Any], Any]  # network, outputs, (b,) labels -> (b,)
    decide: Callable[[Any], Any]  # outputs -> (b,) classes, -1 for none
    n_hidden: int
    vary: Callable[[Any, Any], Any] = unvaried  # key, data -> data, in training only


class Curves(NamedTuple):
    """One entry for each epoch."""

    loss: list[float]  # mean over the batches
    train_accuracy: list[float]  # on the batches, while learning, with disturbances
    validation_accuracy: list[float]  # after the epoch
    silent: list[
        float
    ]  # pairs of a validation sample and a hidden neuron without spike
    seconds: list[float]


class State(NamedTuple):
    """All that the next epoch depends on, and what has been seen so far."""

    params: Any  # the trained part of the network
    opt_state: Any
    key: Any  # of the run; an epoch's own key follows from it and its number
    epoch: int
    curves: Curves


# -- options ---------------------------------------------------------------------------


def make_parser(
    description: str,
    *,
    hidden: int,
    epochs: int,
    batch: int,
    lr: float,
    decay: float,
    clip: float,
    wake: float,
    out: str,
) -> argparse.ArgumentParser:
    """Options of every example, with the example's own defaults."""
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--hidden", type=int, default=hidden, help="hidden neurons")
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--batch", type=int, default=batch, help="samples per step")
    parser.add_argument("--lr", type=float, default=lr, help="learning rate of Adam")
    parser.add_argument(
        "--decay", type=float, default=decay, help="factor of the rate after each epoch"
    )
    parser.add_argument(
        "--clip", type=float, default=clip, help="longest gradient; 0 for no limit"
    )
    parser.add_argument(
        "--wake",
        type=float,
        default=wake,
        help="before each epoch, raise the input weights of hidden neurons that fire "
        "for no sample by this part of the mean size of input weights",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, default=Path(out), help="folder for all results"
    )
    parser.add_argument("--no-plots", action="store_true", help="draw no pictures")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from the last epoch stored in --out; without it, a run starts anew "
        "and replaces what is stored there",
    )
    return parser


def check_options(
    parser: argparse.ArgumentParser, args: argparse.Namespace, *counts: str
) -> None:
    """Refuse what makes no sense; `counts` are names of the example's own options."""
    for name in ("hidden", "epochs", "batch", *counts):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1")
    if args.seed < 0:
        parser.error("--seed must not be negative")
    if not 0 < args.lr < float("inf"):
        parser.error("--lr must be finite and positive")
    if not 0 < args.decay <= 1:
        parser.error("--decay must lie above 0 and not above 1")
    for name in ("clip", "wake"):
        if not 0 <= getattr(args, name) < float("inf"):
            parser.error(f"--{name} must be finite and not negative")
    if not 0 <= getattr(args, "drop", 0.0) <= 1:
        parser.error("--drop must lie in 0..1")


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """The options that a stored state depends on, as JSON has them."""
    kept = {name: value for name, value in vars(args).items() if name not in FREE}
    return json.loads(json.dumps(kept, default=str))


# -- the first spike -------------------------------------------------------------------


def first_output(outputs: Any) -> jax.Array:
    """The output that fires first, -1 where none does."""
    fires = jnp.isfinite(outputs)
    return jnp.where(jnp.any(fires, -1), jnp.argmin(outputs, -1), -1)


def first_spike_loss(
    network: EvNN, outputs: Any, labels: Any, **constants: Any
) -> jax.Array:
    """Cross-entropy of first spike times; all weights into a silent output grow."""
    n_hidden = network.n_neurons - outputs.shape[1]
    into = jnp.sum(network.neuron_model.weights[:n_hidden, n_hidden:], axis=0)
    return waking_first_spike_cross_entropy(outputs, labels, into, **constants)


def highest_output(outputs: Any) -> jax.Array:
    """The output whose number is the largest: highest potential, largest integral."""
    return jnp.argmax(outputs, axis=-1)


# -- one epoch -------------------------------------------------------------------------


def split_network(network: EvNN) -> tuple[Any, Any]:
    """The trained part, weights and delays, and the rest: bias currents stay 0."""

    def is_trained(path: tuple[Any, ...], leaf: Any) -> bool:
        return eqx.is_array(leaf) and getattr(path[-1], "name", None) != "ic"

    return eqx.partition(network, jax.tree_util.tree_map_with_path(is_trained, network))


def make_optimizer(args: argparse.Namespace, n_train: int) -> Any:
    """Adam, with a rate that falls from epoch to epoch.

    A spike that is about to vanish has a gradient without bound, so long gradients are
    cut to length before they enter Adam's averages.
    """
    return _make_adam(args.lr, args.decay, args.clip, max(n_train // args.batch, 1))


@cache  # equal ones share a compilation
def _make_adam(lr: float, decay: float, clip: float, n_steps: int) -> Any:
    clipped = optax.clip_by_global_norm(clip) if clip else optax.identity()
    rate = optax.exponential_decay(lr, n_steps, decay, staircase=True)
    return optax.chain(clipped, optax.adam(rate))


class Method(NamedTuple):
    """What stays the same from step to step."""

    task: Task
    optimizer: Any
    batch: int


@eqx.filter_jit
def run_epoch(
    method: Method, rest: Any, params: Any, opt_state: Any, key: Any, samples: Samples
) -> tuple[Any, Any, tuple[Any, Any]]:
    """One pass over the samples in random order, in one compiled call.

    Samples that do not fill a batch are left out; in the next epoch they are others.
    Returns also the mean loss and accuracy of the batches.
    """
    task, optimizer, batch = method
    n_batches = len(samples.labels) // batch
    order_key, noise_key = jax.random.split(key)
    order = jax.random.permutation(order_key, len(samples.labels))
    order = order[: n_batches * batch].reshape(n_batches, batch)

    def step(carry: Any, inputs: Any) -> Any:
        params, opt_state = carry
        chosen, key = inputs
        data = jax.tree.map(lambda x: x[chosen], samples.data)
        data = jax.vmap(task.vary)(jax.random.split(key, batch), data)
        times = jax.vmap(task.encode)(data)
        key = jax.random.fold_in(key, 1)
        times = jax.vmap(task.disturb)(jax.random.split(key, batch), times)
        graded = jax.value_and_grad(_objective, has_aux=True)
        seen, grads = graded(params, rest, task, times, samples.labels[chosen])
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), seen

    xs = order, jax.random.split(noise_key, n_batches)
    (params, opt_state), seen = jax.lax.scan(step, (params, opt_state), xs)
    return params, opt_state, jax.tree.map(jnp.mean, seen)


def _objective(params: Any, rest: Any, task: Task, times: Any, labels: Any) -> Any:
    """Mean loss of a batch, and the fraction of it in the right class."""
    network = eqx.combine(params, rest)
    outputs = jax.vmap(partial(task.read, network))(times)
    hits = jnp.mean(task.decide(outputs) == labels, dtype=outputs.dtype)
    return jnp.mean(task.loss(network, outputs, labels)), hits


# -- looking at a network --------------------------------------------------------------


@eqx.filter_jit
def _read(task: Task, network: EvNN, data: Any) -> Any:
    return jax.vmap(lambda sample: task.read(network, task.encode(sample)))(data)


def probe(task: Task, network: EvNN, data: Any) -> tuple[np.ndarray, np.ndarray]:
    """(n, n_out) outputs and (n, hidden) whether a hidden neuron fired.

    In calls of one size, so that there is one compilation for any number of samples.
    """
    n = len(jax.tree.leaves(data)[0])
    parts = []
    for first in range(0, n, PROBED):
        # Beyond the last sample it is told again.
        who = np.minimum(np.arange(first, first + PROBED), n - 1)
        part = jax.tree.map(lambda x, who=who: jnp.asarray(x)[who], data)
        spikes = activity(network, encoded(task, part)).spikes[:, : task.n_hidden]
        outputs = jax.device_get(_read(task, network, part))
        parts.append((outputs, spikes > 0))
    outputs, fired = (np.concatenate(column)[:n] for column in zip(*parts, strict=True))
    return outputs, fired


def encoded(task: Task, data: Any) -> Any:
    """Input spikes of samples."""
    return jax.vmap(task.encode)(jax.tree.map(jnp.asarray, data))


def accuracy(task: Task, outputs: Any, labels: Any) -> float:
    """Fraction of samples in the right class."""
    return float(np.mean(np.asarray(task.decide(outputs)) == np.asarray(labels)))


# -- checkpoints -----------------------------------------------------------------------


class Checkpoints:
    """The state after the last epoch, on disk, with the settings it was reached with.

    Arrays are stored as they are, so that a run that goes on from them ends with the
    very numbers of one that was never stopped.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], *, resume: bool):
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)
        self._folder, self._settings = folder, settings
        options = ocp.CheckpointManagerOptions(max_to_keep=1, create=True)
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def save(self, state: State) -> None:
        """Store a state; the one before it goes when this one is complete."""
        arrays = {"leaves": jax.tree.leaves(_arrays(state))}
        story = {"settings": self._settings, "curves": state.curves._asdict()}
        args = ocp.args.Composite(
            arrays=ocp.args.StandardSave(arrays), story=ocp.args.JsonSave(story)
        )
        self._manager.save(state.epoch, args=args)

    def restore(self, like: State) -> State:
        """The stored state, or `like` where there is none."""
        epoch = self._manager.latest_step()
        if epoch is None:
            return like
        story = self._read(epoch, story=ocp.args.JsonRestore())["story"]
        _check_settings(self._folder, story["settings"], self._settings)
        leaves, structure = jax.tree.flatten(_arrays(like))
        wanted = ocp.args.StandardRestore({"leaves": leaves})
        stored = self._read(epoch, arrays=wanted)["arrays"]["leaves"]
        # Plain arrays, bound to no device: for others JAX would compile again.
        arrays = jax.tree.unflatten(
            structure, [jnp.asarray(np.asarray(x)) for x in stored]
        )
        return State(*arrays, epoch, Curves(**story["curves"]))

    def close(self) -> None:
        """Wait until everything is on disk."""
        self._manager.wait_until_finished()
        self._manager.close()

    def _read(self, epoch: int, **items: Any) -> Any:
        return self._manager.restore(epoch, args=ocp.args.Composite(**items))


def _arrays(state: State) -> tuple[Any, Any, Any]:
    return state.params, state.opt_state, state.key


def _check_settings(folder: Path, stored: dict, wanted: dict) -> None:
    for name in sorted(stored.keys() | wanted.keys()):
        if stored.get(name) != wanted.get(name):
            option = name.replace("_", "-")
            raise SystemExit(
                f"--resume: what is stored in {folder} was made with --{option} "
                f"{stored.get(name)}, and this is a run with {wanted.get(name)}. Give "
                "the same value, or another --out, or leave out --resume."
            )


# -- the loop --------------------------------------------------------------------------


def train(
    task: Task, network: EvNN, splits: Splits, args: argparse.Namespace
) -> tuple[EvNN, Curves]:
    """Train for `args.epochs` epochs in all, with a progress bar."""
    if len(splits.train.labels) < args.batch:
        raise SystemExit(
            f"--batch {args.batch} is more than the {len(splits.train.labels)} samples "
            "to learn from."
        )
    params, rest = split_network(network)
    optimizer = make_optimizer(args, len(splits.train.labels))
    start = State(
        params,
        optimizer.init(params),
        jax.random.PRNGKey(args.seed),
        0,
        Curves([], [], [], [], []),
    )
    checkpoints = Checkpoints(
        args.out / "checkpoints", settings_of(args), resume=args.resume
    )
    state = checkpoints.restore(start)
    method = Method(task, optimizer, args.batch)
    samples = jax.tree.map(jnp.asarray, splits.train)
    with tqdm(
        total=args.epochs, initial=state.epoch, unit="epoch", desc="Training"
    ) as bar:
        while state.epoch < args.epochs:
            state = _next_state(
                method, rest, state, samples, splits.validation, args.wake
            )
            checkpoints.save(state)
            bar.set_postfix_str(_in_short(state.curves), refresh=False)
            bar.update()
    checkpoints.close()
    return eqx.combine(state.params, rest), state.curves


def _next_state(
    method: Method,
    rest: Any,
    state: State,
    samples: Samples,
    watched: Samples,
    wake: float,
) -> State:
    """The state after one more epoch."""
    start = time.perf_counter()
    key = jax.random.fold_in(state.key, state.epoch)
    params = state.params
    if wake:
        network = eqx.combine(params, rest)
        times = encoded(method.task, jax.tree.map(lambda x: x[:WATCHED], samples.data))
        hidden = np.arange(method.task.n_hidden)
        network = wake_silent(network, times, wake, neurons=hidden)
        params, _ = split_network(network)
    params, opt_state, seen = run_epoch(
        method, rest, params, state.opt_state, key, samples
    )
    loss, hits = (float(x) for x in seen)
    outputs, fired = probe(method.task, eqx.combine(params, rest), watched.data)
    right = accuracy(method.task, outputs, watched.labels)
    silent = float(np.mean(~fired))
    row = loss, hits, right, silent, time.perf_counter() - start
    curves = Curves(*([*c, x] for c, x in zip(state.curves, row, strict=True)))
    return State(params, opt_state, state.key, state.epoch + 1, curves)


def _in_short(curves: Curves) -> str:
    last = Curves(*(values[-1] for values in curves))
    return (
        f"loss {last.loss:.3f}, train {100 * last.train_accuracy:.1f} %, "
        f"validation {100 * last.validation_accuracy:.1f} %, "
        f"silent {100 * last.silent:.0f} %"
    )


# -- results ---------------------------------------------------------------------------


class Result(NamedTuple):
    """What came of a run."""

    network: EvNN
    curves: Curves
    summary: dict[str, Any]
    decided: np.ndarray  # classes of the samples for the test


def train_and_test(
    task: Task,
    network: EvNN,
    keywords: dict[str, Any],
    splits: Splits,
    args: argparse.Namespace,
) -> Result:
    """Train a network that was made with such keywords, test it once, store both."""
    network, curves = train(task, network, splits, args)
    outputs, _ = probe(task, network, splits.test.data)
    right = accuracy(task, outputs, splits.test.labels)
    summary = summarize(args, curves, right, len(outputs))
    report(summary, args.out)
    save_network(network, keywords, args.out)
    return Result(network, curves, summary, np.asarray(task.decide(outputs)))


def summarize(
    args: argparse.Namespace, curves: Curves, test_accuracy: float, n_test: int
) -> dict[str, Any]:
    """The result with everything that is needed to get it again."""
    return {
        "test_accuracy": test_accuracy,
        "test_samples": n_test,
        "validation_accuracy": curves.validation_accuracy[-1],
        "train_accuracy": curves.train_accuracy[-1],
        "loss": curves.loss[-1],
        "silent_fraction": curves.silent[-1],
        "epochs": len(curves.loss),
        "seconds": sum(curves.seconds),
        "seconds_of_first_epoch": curves.seconds[0],  # has the compilation in it
        "curves": {k: v for k, v in curves._asdict().items() if k != "seconds"},
        "settings": settings_of(args),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in PACKAGES},
        "machine": f"{platform.machine()}, {jax.devices()[0].device_kind}",
    }


def report(summary: dict[str, Any], out: Path) -> None:
    """Print the summary, and write it to summary.json."""
    path = out / "summary.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
    versions = ", ".join(f"{k} {v}" for k, v in summary["versions"].items())
    print(
        f"Test accuracy: {100 * summary['test_accuracy']:.2f} % of "
        f"{summary['test_samples']} samples "
        f"(validation {100 * summary['validation_accuracy']:.2f} %)\n"
        f"Seed {summary['settings']['seed']}, {summary['epochs']} epochs in "
        f"{summary['seconds']:.0f} s, of these {summary['seconds_of_first_epoch']:.0f} "
        f"s for the first one and compilation\n"
        f"Versions: {versions}\n"
        f"Summary: {path}"
    )


def save_network(network: EvNN, keywords: dict[str, Any], out: Path) -> None:
    """Write the trained network to a file that `eventax.io.load_evnn` reads."""
    path = out / "network.eventax"
    save_evnn(path, network, keywords)
    print(f"Network: {path}")


def save_pictures(figures: dict[str, Figure], out: Path) -> None:
    """Write pictures as PNG files, and print their names."""
    out.mkdir(parents=True, exist_ok=True)
    print("Pictures:")
    for name, figure in figures.items():
        path = out / f"{name}.png"
        figure.savefig(path, dpi=150)
        print(f"  {path}")


def plot_curves(curves: Curves) -> Figure:
    """Loss, accuracy and silent hidden neurons over epochs."""
    fig = Figure(figsize=(10.2, 3.4), layout="constrained")
    left, middle, right = fig.subplots(1, 3)
    plot.learning_curves(curves.loss, log=True, xlabel="epoch", ax=left)
    percent = {
        "training": 100 * np.asarray(curves.train_accuracy),
        "validation": 100 * np.asarray(curves.validation_accuracy),
    }
    plot.learning_curves(percent, xlabel="epoch", ylabel="accuracy (%)", ax=middle)
    plot.learning_curves(
        100 * np.asarray(curves.silent),
        xlabel="epoch",
        ylabel="hidden neurons that are silent (%)",
        ax=right,
    )
    right.set_ylim(0, 100)
    return fig


def plot_confusion(
    decided: np.ndarray, labels: np.ndarray, names: Sequence[str]
) -> Figure:
    """How many samples of each class were put into each class."""
    fig = Figure(figsize=(5.6, 5.0), layout="constrained")
    plot.confusion(decided, labels, names=names, ax=fig.subplots())
    return fig
