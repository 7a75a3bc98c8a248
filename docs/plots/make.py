"""Draw the pictures of docs/plots.md: ``python docs/plots/make.py``, about a minute.

A small network learns Yin-Yang, and everything about it is drawn.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from eventax import FFEvNN, plot
from eventax.datasets import yin_yang
from eventax.encoding import latency, with_bias_spike
from eventax.initialization import RECIPES, normal_weights
from eventax.losses import first_spike_cross_entropy
from eventax.neuron_models import LIF

HERE = Path(__file__).parent
LAYERS, IN_SIZE, T_END = [60, 3], 5, 60.0
NAMES = ("yin", "yang", "dots")
N_STEPS, BATCH = 300, 64


def input_spikes(points: Any) -> jax.Array:
    """(..., 5, 1) times of the spikes that tell x, y, 1-x, 1-y, and a bias spike."""
    return with_bias_spike(latency(1 - points, t_max=30.0))


def make_network(key: jax.Array) -> FFEvNN:
    """The untrained network, with delays."""
    weight_key, delay_key = jax.random.split(key)
    recipe = RECIPES["yin-yang"]
    means, sds = np.multiply((1.5, 1.0), [recipe.means, recipe.sds]).tolist()
    return FFEvNN(
        LAYERS,
        IN_SIZE,
        LIF,
        T_END,
        key=delay_key,
        dlim=6.0,
        max_event_steps=2000,
        thresh=1.0,
        tsyn=5.0,
        tmem=20.0,
        init_bias=0.0,
        init_weights=normal_weights(weight_key, LAYERS, IN_SIZE, means, sds),
    )


@eqx.filter_jit
def first_spikes(net: FFEvNN, points: jax.Array) -> jax.Array:
    """(n, 3) first spike times of the outputs."""
    return jax.vmap(net.ttfs)(input_spikes(points))


def decide(times: Any) -> np.ndarray:
    """The output that fires first, -1 where none does."""
    times = np.asarray(times)
    return np.where(np.isfinite(times).any(axis=1), times.argmin(axis=1), -1)


def train(net: FFEvNN, points: jax.Array, labels: jax.Array) -> tuple[FFEvNN, Any]:
    """The trained network, and the loss of every step."""
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.01))

    def loss(net: FFEvNN, points: Any, labels: Any) -> Any:
        times = first_spikes(net, points)
        settings = {"tau0": 0.5, "tau1": 6.4, "alpha": 3e-3, "t_max": T_END}
        return jnp.mean(first_spike_cross_entropy(times, labels, **settings))

    @eqx.filter_jit
    def step(net: FFEvNN, state: Any, points: Any, labels: Any) -> Any:
        value, grads = eqx.filter_value_and_grad(loss)(net, points, labels)
        updates, state = optimizer.update(grads, state)
        return eqx.apply_updates(net, updates), state, value

    state, losses = optimizer.init(eqx.filter(net, eqx.is_array)), []
    for k in range(N_STEPS):
        batch = slice(k * BATCH, (k + 1) * BATCH)
        net, state, value = step(net, state, points[batch], labels[batch])
        losses.append(float(value))
    return net, losses


def grid(n: int) -> np.ndarray:
    """(points, 4) the data of those points of a grid that are in the disc."""
    centres = (np.arange(n) + 0.5) / n
    points = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
    points = points[np.hypot(*(points - 0.5).T) <= 0.5]
    return np.concatenate([points, 1 - points], axis=1)


def along_middle(n: int) -> np.ndarray:
    """(n, 4) the data of points from left to right through both dots."""
    x = np.linspace(0.0, 1.0, n)
    return np.stack([x, np.full(n, 0.5), 1 - x, np.full(n, 0.5)], axis=1)


def save(name: str, draw: Any) -> None:
    """Draw into a small picture."""
    fig = Figure(figsize=(5.6, 3.5), layout="constrained")
    ax: Axes = fig.subplots()
    draw(ax)
    save_figure(name, fig)


def save_figure(name: str, fig: Figure) -> None:
    """Write a small file."""
    buffer = io.BytesIO()
    fig.savefig(buffer, dpi=100)
    colours = Image.open(buffer).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    colours.save(HERE / f"{name}.png", optimize=True)


def main() -> None:
    """Train and draw."""
    points, labels = yin_yang(jax.random.key(0), N_STEPS * BATCH)
    net, losses = train(make_network(jax.random.key(1)), points, labels)
    samples, truth = (np.asarray(x) for x in yin_yang(jax.random.key(2), 600))
    times = first_spikes(net, samples)
    area = grid(80)
    over_area = first_spikes(net, area)
    sample = input_spikes(samples[0])
    places = {"points": area[:, :2], "classes": decide(over_area)}
    dots = {"samples": samples[:, :2], "labels": truth}
    middle = along_middle(200)
    over_middle = first_spikes(net, middle)

    pictures = {
        "raster": lambda ax: plot.raster(net, sample, ax=ax),
        "traces": lambda ax: plot.traces(net, sample, ax=ax),
        "traces_many": lambda ax: plot.traces(net, sample, neurons=range(60), ax=ax),
        "connectivity": lambda ax: plot.connectivity(net, ax=ax),
        "weights": lambda ax: plot.weights(net, ax=ax),
        "delays": lambda ax: plot.delays(net, ax=ax),
        "latencies": lambda ax: plot.latencies(times, labels=truth, names=NAMES, ax=ax),
        "latencies_over": lambda ax: plot.latencies(
            over_middle, over=middle[:, 0], names=NAMES, ax=ax
        ),
        "latencies_map": lambda ax: plot.latencies(
            over_area[:, 2], over=area[:, :2], names=NAMES[2:], ax=ax
        ),
        "learning_curves": lambda ax: plot.learning_curves(
            losses, window=20, log=True, ax=ax
        ),
        "confusion": lambda ax: plot.confusion(
            decide(times), truth, names=NAMES, ax=ax
        ),
        "decision_regions": lambda ax: plot.decision_regions(
            **places, **dots, names=NAMES, ax=ax
        ),
    }
    for name, draw in pictures.items():
        save(name, draw)


if __name__ == "__main__":
    main()
