"""Teach a recurrent spiking network to tell nine speakers apart by one vowel.

Japanese Vowels (Kudo, Toyama and Shimbo, Pattern Recognit Lett 20 (1999) 1103): nine
men say /ae/, 270 utterances to learn from and 370 for the test, each 7 to 29 frames of
twelve numbers. The data are in the package ``aeon``.

Utterances are stretched to one length. Each of the twelve signals, and how steep it is,
are told by a few Gaussian receptive fields, which fire once in a frame, the earlier the
more they like its value. Slopes are what the network would hardly find out by itself:
it adds spikes up over time. Inputs reach recurrent neurons, whose time constants are
trained too, one pair for each neuron, and leaky integrators that do not fire. The class
is the one whose integrator has the largest integral of potential, weighted by
exp(-t / T) (Nowotny, Turner and Knight, Neuromorph Comput Eng 5 (2025) 014001), and the
weights are trained with the exact gradient of its cross-entropy. Against learning by
heart, samples of one class are blended, values are disturbed and spikes are lost in
training.

``--shd TRAIN TEST`` takes files of Spiking Heidelberg Digits or Spiking Speech Commands
(HDF5) instead, with the recipe of that paper and of the programs beside it: a delay
line (ten copies of each channel, 30 ms after one another), channels shifted, and
samples of one class blended.

Run ``python examples/speech.py``, ``--help`` lists the options.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from training import (
    Samples,
    Splits,
    Task,
    check_options,
    chosen,
    encoded,
    highest_output,
    make_parser,
    plot_confusion,
    plot_curves,
    save_pictures,
    train_and_test,
)

from eventax import Spikes, plot
from eventax.connectivity import Connectivity, layers
from eventax.datasets import shd
from eventax.encoding import latency_per_frame, list_batch, population
from eventax.evnn import EvNN
from eventax.initialization import projection_weights, scale_to_fire
from eventax.losses import voltage_integral_cross_entropy
from eventax.monitor import activity
from eventax.neuron_models import LI, PLIF, MultiNeuronModel

N_FIELDS, WIDTH, LIKED = 5, 1.0, 0.5  # receptive fields, and from when on they fire
N_FRAMES, PERIOD = 8, 12.0  # of a stretched utterance, and the length of one in ms
T_VOWEL = N_FRAMES * PERIOD + 20.0
N_BLENDS = 3  # of each utterance to learn from
FAR = 2.0  # the outermost fields, in standard deviations
T_SHD, SHD_CHANNELS = 1400.0, 700  # ms
LINE = 30.0 * np.arange(11)  # delays of the copies of each channel
UNIT = 0.05  # of integrals over time, in lengths of a sample
WATCHED_SPIKES = 3.0  # of a hidden neuron in a sample, before training
N_SHOWN = 3  # samples in the raster
GAINS = {("hidden", "hidden"): 0.3}  # of recurrent weights next to those of inputs
TAUS = {"tmem_low": 20.0, "tmem_high": 60.0, "tsyn_low": 5.0, "tsyn_high": 15.0}


# -- data ------------------------------------------------------------------------------


def japanese_vowels(held_out: int, seed: int) -> Splits:
    """The official split; of each speaker so many utterances are for validation.

    Values and slopes, each in standard deviations. With none held out, the utterances
    to learn from are watched. To those to learn from, blended ones are added.
    """
    try:
        from aeon.datasets import load_japanese_vowels
    except ImportError as error:
        raise SystemExit(
            "The data are those of the package aeon: `pip install eventax[speech]`."
        ) from error
    parts = [load_japanese_vowels(split=split) for split in ("train", "test")]
    frames = np.concatenate(parts[0][0], axis=1)
    mean, sd = (f(frames, axis=1, keepdims=True) for f in (np.mean, np.std))
    values = [np.stack([stretched((x - mean) / sd) for x in part]) for part, _ in parts]
    slope_sd = np.std(np.gradient(values[0], axis=2), axis=(0, 2), keepdims=True)
    every, test = (
        Samples(
            np.hstack([part, np.gradient(part, axis=2) / slope_sd]).astype(np.float32),
            np.asarray(labels, int) - 1,
        )
        for part, (_, labels) in zip(values, parts, strict=True)
    )
    learned, watched = held_out_of(every, held_out)
    rng = np.random.default_rng(seed)
    told = [learned, *(mixed(rng, learned) for _ in range(N_BLENDS))]
    both = Samples(*(np.concatenate(column) for column in zip(*told, strict=True)))
    return Splits(both, watched, test)


def mixed(rng: np.random.Generator, samples: Samples) -> Samples:
    """Each sample with another one of its class, in a random proportion."""
    data, labels = samples
    part = rng.uniform(size=(len(labels), 1, 1)).astype(np.float32)
    return Samples((1 - part) * data + part * data[partners(rng, labels)], labels)


def stretched(values: np.ndarray) -> np.ndarray:
    """(12, N_FRAMES) values of an utterance (12, frames), on straight lines between."""
    places = np.linspace(0, values.shape[1] - 1, N_FRAMES)
    frames = np.arange(values.shape[1])
    return np.stack([np.interp(places, frames, signal) for signal in values])


def held_out_of(every: Samples, n: int) -> tuple[Samples, Samples]:
    """Samples to learn from, and n of each class.

    Those are spread evenly: a speaker's voice changes from his first utterance to his
    last.
    """
    if n == 0:
        return every, every
    watched = np.zeros(len(every.labels), bool)
    for label in np.unique(every.labels):
        own = np.flatnonzero(every.labels == label)
        watched[own[np.arange(n) * len(own) // n]] = True
    return chosen(every, ~watched), chosen(every, watched)


def recordings(files: Sequence[Path], held_out: int, seed: int) -> Splits:
    """Samples of SHD or SSC; to those to learn from, blended ones are added."""
    read = [shd(path) for path in files]
    order = np.random.default_rng(seed).permutation(len(read[0][1]))
    samples, labels = read[0]
    train, watched = held_out_of(
        Samples(np.arange(len(order)), np.asarray(labels)[order]), held_out
    )
    rng = np.random.default_rng(seed + 1)
    own = [samples[k] for k in order]
    learned = [own[k] for k in train.data]
    blends = [
        blended(rng, learned[a], learned[b])
        for a, b in enumerate(partners(rng, train.labels))
    ]
    most = max(len(s.times) for s in [*own, *blends, *read[1][0]])

    def listed(some: list[Any], labels: Any) -> Samples:
        data = list_batch(some, SHD_CHANNELS, n_events=most)
        return Samples(data, np.asarray(labels))

    return Splits(
        listed([*learned, *blends], np.concatenate([train.labels] * 2)),
        listed([own[k] for k in watched.data], watched.labels),
        listed(*read[1]),
    )


def partners(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """For each sample another one of its class, or itself where it is alone."""
    found = np.arange(len(labels))
    for label in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == label))
        found[own] = np.roll(own, 1)
    return found


def blended(rng: np.random.Generator, one: Any, other: Any) -> Spikes:
    """Each spike of two samples with probability one half, at a common mean time."""
    middle = np.mean([np.mean(s.times) for s in (one, other) if len(s.times)] or [0.0])
    parts = []
    for sample in (one, other):
        kept = rng.random(len(sample.times)) < 0.5
        shift = middle - np.mean(sample.times) if len(sample.times) else 0.0
        times = np.maximum(sample.times[kept] + shift, 0.0)
        parts.append((times, sample.channels[kept]))
    return Spikes(*(np.concatenate(column) for column in zip(*parts, strict=True)))


# -- task ------------------------------------------------------------------------------


def vowel_spikes(values: Any) -> jax.Array:
    """(24 * N_FIELDS, N_FRAMES) times."""
    fields = population(values, N_FIELDS, low=-FAR, high=FAR, width=WIDTH, axis=-2)
    return latency_per_frame(fields, period=PERIOD, threshold=LIKED)


def noisy(key: Any, values: Any, *, noise: float) -> Any:
    """Values with normal noise."""
    return values + noise * jax.random.normal(key, values.shape, values.dtype)


def lose_spikes(key: Any, times: Any, *, drop: float) -> Any:
    """Without a part of the spikes."""
    return jnp.where(jax.random.bernoulli(key, drop, times.shape), jnp.inf, times)


def delay_line(spikes: Any) -> Spikes:
    """Each channel once for each delay; late spikes are none."""
    times = (spikes.times + LINE[:, None]).ravel()
    times = jnp.where(times < T_SHD, times, jnp.inf)
    copies = SHD_CHANNELS * np.arange(len(LINE))
    return Spikes(times, (spikes.channels + copies[:, None]).ravel())


def shifted(key: Any, spikes: Any, *, most: int) -> Spikes:
    """All channels moved by up to `most`; what leaves the cochlea is lost."""
    moved = spikes.channels + jax.random.randint(key, (), -most, most + 1)
    inside = (moved >= 0) & (moved < SHD_CHANNELS)
    times = jnp.where(inside, spikes.times, jnp.inf)
    return Spikes(times, jnp.clip(moved, 0, SHD_CHANNELS - 1))


def lose_events(key: Any, spikes: Any, *, drop: float) -> Spikes:
    """Without a part of the spikes."""
    return Spikes(lose_spikes(key, spikes.times, drop=drop), spikes.channels)


@cache  # equal ones share a compilation
def make_task(
    n_hidden: int, decay: float, noise: float, drop: float, shift: int, is_shd: bool
) -> Task:
    """Which integrator has the largest integral?"""
    return Task(
        encode=delay_line if is_shd else vowel_spikes,
        vary=partial(shifted, most=shift) if is_shd else partial(noisy, noise=noise),
        disturb=partial(lose_events if is_shd else lose_spikes, drop=drop),
        read=partial(read, decay=decay),
        loss=loss,
        decide=highest_output,
        n_hidden=n_hidden,
    )


def read(network: EvNN, times: Any, *, decay: float) -> jax.Array:
    """Weighted integrals of potentials, in units of the threshold and `UNIT`."""
    return network.integral(times, decay) / (UNIT * network.max_solver_time)


def loss(network: EvNN, outputs: Any, labels: Any) -> jax.Array:
    """Cross-entropy, one value per sample."""
    return voltage_integral_cross_entropy(outputs, labels)


# -- network ---------------------------------------------------------------------------


def make_shape(n_hidden: int, n_inputs: int, n_classes: int) -> Connectivity:
    """Recurrent neurons, and readouts that hear them and the inputs."""
    return layers(
        {"hidden": n_hidden, "readout": n_classes},
        n_inputs,
        recurrent=["hidden"],
        skips=[("input", "readout")],
        types=[0, 1],
    )


def network_keywords(shape: Connectivity, t_end: float, most: int) -> dict[str, Any]:
    """All keywords but the key; weights are put in later."""
    none = {"init_weights": 0.0, "init_bias": 0.0}
    hidden = none | TAUS | {"thresh": 1.0, "shared_time_constants": False}
    return {
        "neuron_model": MultiNeuronModel,
        "neuron_models": [PLIF, LI],
        "neuron_model_kwargs": [hidden, none | {"tsyn": 5.0, "tmem": 20.0}],
        "max_solver_time": t_end,
        "max_event_steps": most,
        **shape,
    }


def make_network(
    seed: int, shape: Connectivity, keywords: dict[str, Any], times: Any
) -> EvNN:
    """The untrained network, which fires for such input spikes."""
    weight_key, key = jax.random.split(jax.random.PRNGKey(seed + 1))
    weights = projection_weights(weight_key, shape, GAINS)
    hidden = shape.neuron_type_ids == 0
    own = [
        model | {"init_weights": weights[:, who]}
        for model, who in zip(
            keywords["neuron_model_kwargs"], (hidden, ~hidden), strict=True
        )
    ]
    network = EvNN(key=key, **keywords | {"neuron_model_kwargs": own})
    return scale_to_fire(network, times, shape, spikes=WATCHED_SPIKES)


# -- pictures --------------------------------------------------------------------------


def plot_raster(
    network: EvNN, task: Task, test: Samples, names: Sequence[str]
) -> Figure:
    """Inputs and hidden spikes of a few samples."""
    fig = Figure(figsize=(9.6, 3.0 * N_SHOWN), layout="constrained")
    for k, ax in enumerate(fig.subplots(N_SHOWN, 1, sharex=True)):
        data, label = chosen(test, k * len(test.labels) // N_SHOWN)
        plot.raster(network, task.encode(jax.tree.map(jnp.asarray, data)), ax=ax)
        ax.set_title(f"class {names[label]}")
    return fig


# -- program ---------------------------------------------------------------------------


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options."""
    parser = make_parser(
        "Train a recurrent spiking network on speech.",
        hidden=64,
        epochs=12,
        batch=10,
        lr=5e-3,
        decay=0.79,
        clip=1.0,
        wake=0.05,
        out="out/speech",
    )
    parser.add_argument(
        "--noise",
        type=float,
        default=0.5,
        help="of values in training, in standard deviations",
    )
    parser.add_argument(
        "--drop", type=float, default=0.2, help="part of the spikes lost in training"
    )
    parser.add_argument(
        "--early",
        type=float,
        help="time constant T of the integral's weight, in ms; by default the length "
        "of a sample",
    )
    parser.add_argument(
        "--held-out",
        type=int,
        default=0,
        help="samples of each class for validation; with 0, those to learn from are "
        "watched",
    )
    parser.add_argument(
        "--shd",
        type=Path,
        nargs=2,
        metavar=("TRAIN", "TEST"),
        help="files of SHD or SSC instead",
    )
    parser.add_argument(
        "--shift",
        type=int,
        default=40,
        help="with --shd, channels are moved by up to so many in training",
    )
    args = parser.parse_args(argv)
    check_options(parser, args)
    if not 0 <= args.noise < float("inf"):
        parser.error("--noise must be finite and not negative")
    if args.early is not None and not 0 < args.early < float("inf"):
        parser.error("--early must be finite and positive")
    for name in ("held_out", "shift"):
        if getattr(args, name) < 0:
            parser.error(f"--{name.replace('_', '-')} must not be negative")
    return args


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Train, test, draw; returns the summary."""
    args = parse_args(argv)
    is_shd = args.shd is not None
    if is_shd:
        splits = recordings(args.shd, args.held_out, args.seed)
        n_inputs, t_end = SHD_CHANNELS * len(LINE), T_SHD
        n_events = splits.train.data.times.shape[1] * len(LINE)
    else:
        splits = japanese_vowels(args.held_out, args.seed)
        n_inputs, t_end = splits.train.data.shape[1] * N_FIELDS, T_VOWEL
        n_events = n_inputs * N_FRAMES
    n_classes = 1 + max(int(np.max(part.labels)) for part in splits)
    early = t_end if args.early is None else args.early
    task = make_task(args.hidden, early, args.noise, args.drop, args.shift, is_shd)
    shape = make_shape(args.hidden, n_inputs, n_classes)
    keywords = network_keywords(shape, t_end, n_events + 100 * args.hidden)
    few = jax.tree.map(lambda x: x[:: max(len(x) // 100, 1)], splits.train.data)
    network = make_network(args.seed, shape, keywords, encoded(task, few))
    print(activity(network, encoded(task, few), shape))
    result = train_and_test(task, network, keywords, splits, args)
    print(activity(result.network, encoded(task, few), shape))
    if not args.no_plots:
        names = [str(k if is_shd else k + 1) for k in range(n_classes)]
        figures = {
            "raster": plot_raster(result.network, task, splits.test, names),
            "confusion": plot_confusion(result.decided, splits.test.labels, names),
            "curves": plot_curves(result.curves),
        }
        save_pictures(figures, args.out)
    return result.summary


if __name__ == "__main__":
    main()
