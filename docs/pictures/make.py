"""Draw the pictures of docs/connectivity.md: ``python docs/pictures/make.py``."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from eventax import plot
from eventax.connectivity import (
    by_distance,
    conv2d,
    excitatory_inhibitory,
    fixed_in_degree,
    grid,
    layers,
    one_to_one,
)
from eventax.encoding import (
    latency_per_frame,
    level_crossing,
    poisson,
    population,
)

HERE = Path(__file__).parent


def draw_encoders() -> Figure:
    """One signal in four codes."""
    times = np.linspace(0.0, 100.0, 201)
    signal = 0.5 + 0.45 * np.sin(times / 12) * np.exp(-times / 120)
    frames = signal[10::20]
    fields = population(frames[None], 6, low=0.0, high=1.0, axis=-2)
    codes = {
        "level_crossing: rises, falls": level_crossing(
            jnp.asarray(signal[None]), jnp.asarray(times), threshold=0.08
        ),
        "latency_per_frame": latency_per_frame(frames[None], period=10.0),
        "population, then latency_per_frame": latency_per_frame(
            fields, period=10.0, threshold=0.1
        ),
        "poisson, the signal as a rate per ms": poisson(
            jax.random.key(0), frames[None] * jnp.ones((3, 1)), period=10.0
        ),
    }
    fig = Figure(figsize=(8.0, 7.0), layout="constrained")
    axes = fig.subplots(5, 1, sharex=True, height_ratios=(2, 1, 1, 2, 1.4))
    axes[0].plot(times, signal)
    axes[0].set(ylabel="signal", ylim=(0, 1))
    for ax, (name, spikes) in zip(axes[1:], codes.items(), strict=True):
        plot.raster(np.asarray(spikes), ax=ax)
        ax.set_title(name, loc="left", fontsize="medium")
        ax.label_outer()
    return fig


def draw_connectivity() -> Figure:
    """Masks and patterns: senders downwards, receivers to the right."""
    key_a, key_b = jax.random.split(jax.random.key(0))
    places = grid(6, 6)
    shape = layers({"hidden": 12, "out": 4}, 8, recurrent=["hidden"])
    patterns = {
        "layers, hidden ones recurrent": shape.wmask,
        "excitatory_inhibitory: signs": excitatory_inhibitory(
            key_a, 24, 6, probability=0.2
        ).signs,
        "one_to_one": one_to_one(20),
        "fixed_in_degree, 4 of 20": fixed_in_degree(key_b, 20, 20, degree=4),
        "by_distance on a grid of 6 x 6": by_distance(
            places, places, lambda d: d < 1.5, key_b
        ),
        "conv2d, kernel 3 on 6 x 6": conv2d((6, 6), (1, 2), 3),
    }
    fig = Figure(figsize=(9.6, 6.4), layout="constrained")
    for ax, (name, pattern) in zip(
        fig.subplots(2, 3).flat, patterns.items(), strict=True
    ):
        ax.imshow(np.asarray(pattern, float), cmap="PuOr", vmin=-1, vmax=1)
        ax.set(xticks=[], yticks=[], xlabel="receivers", ylabel="senders")
        ax.set_title(name, fontsize="medium")
    return fig


def main() -> None:
    """Write the files beside this one."""
    for name, figure in {
        "encoders": draw_encoders(),
        "connectivity": draw_connectivity(),
    }.items():
        figure.savefig(HERE / f"{name}.png", dpi=90)


if __name__ == "__main__":
    main()
