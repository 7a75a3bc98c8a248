"""Draw the pictures of docs/start/concepts.md: ``python docs/plots/concepts.py``.

One neuron that hears two inputs: how its state flows and jumps, how its spike moves
when a weight changes, and how it vanishes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eventax import EvNN
from eventax.neuron_models import LIF

HERE = Path(__file__).parent
T_END = 40.0
INPUTS = jnp.array([[4.0, 20.0], [9.0, jnp.inf]])
TIMES = np.linspace(0.0, T_END, 2001)
INK, FLOW, JUMP, MOVED = "#444444", "#0072b2", "#d55e00", "#009e73"


def neuron(first: Any, second: Any = 2.4) -> EvNN:
    """A neuron with these weights of its two inputs."""
    return EvNN(
        LIF,
        n_neurons=1,
        max_solver_time=T_END,
        in_size=2,
        wmask=[[0], [1], [1]],
        thresh=1.0,
        tsyn=5.0,
        tmem=10.0,
        init_weights=jnp.array([[0.0], [first], [second]]),
        init_bias=0.0,
    )


def potential(net: EvNN) -> np.ndarray:
    """v at all times, with a gap where it is reset."""
    v = np.array(net.state_at_t(INPUTS, TIMES)[0, :, 0])
    v[np.flatnonzero(np.diff(v) < -0.2) + 1] = np.nan
    return v


def spikes(net: EvNN) -> np.ndarray:
    """Times of its spikes."""
    found = np.asarray(net.spikes_until_t(INPUTS, T_END, 10))[0]
    return found[np.isfinite(found)]


def axes(rows: int, height: float) -> Any:
    """A figure of panels above each other."""
    fig = Figure(figsize=(6.4, height), layout="constrained")
    panels = np.atleast_1d(fig.subplots(rows, sharex=True))
    for ax in panels:
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_xlim(0.0, T_END)
    panels[-1].set_xlabel("time (ms)")
    return fig, panels


def draw_events() -> Figure:
    """States between events and at events."""
    net = neuron(2.2)
    fig, (current, voltage) = axes(2, 3.9)
    i = np.array(net.state_at_t(INPUTS, TIMES)[0, :, 1])
    i[np.flatnonzero(np.diff(i) > 0.5) + 1] = np.nan
    current.plot(TIMES, i, color=FLOW)
    voltage.plot(TIMES, potential(net), color=FLOW)
    for time in np.asarray(INPUTS)[np.isfinite(INPUTS)]:
        before, after = (
            float(net.state_at_t(INPUTS, [t])[0, 0, 1]) for t in (time - 1e-3, time)
        )
        arrow(current, time, before, after)
    (spike, *_) = spikes(net)
    arrow(voltage, spike, 1.0, 0.0)
    voltage.axhline(1.0, color=INK, ls="--", lw=0.8)
    voltage.text(T_END, 1.03, "threshold", ha="right", va="bottom", color=INK)
    note(voltage, "spike: v is reset", (spike, 0.5), (spike + 1.5, 0.7), JUMP)
    note(current, "input arrives: i jumps by a weight", (9.0, 2.2), (11.0, 2.9), JUMP)
    note(current, "between events: flow", (14.5, 1.1), (24.0, 2.3), FLOW)
    current.set_ylabel("current i")
    voltage.set_ylabel("potential v")
    voltage.set_ylim(-0.1, 1.25)
    return fig


def draw_gradient() -> Figure:
    """A larger weight lifts the potential, and so the spike comes earlier."""

    def first_spike(weight: Any) -> Any:
        return neuron(weight).ttfs(INPUTS)[0]

    small = 2.2
    time, slope = jax.value_and_grad(first_spike)(jnp.asarray(small))
    step = 0.15
    fig, (ax,) = axes(1, 3.1)
    for weight, colour, words in (
        (small, FLOW, "weight w"),
        (small + step, MOVED, "weight w + δw"),
    ):
        net = neuron(weight)
        v = potential(net)
        until = spikes(net)[0]
        ax.plot(TIMES[until >= TIMES], v[until >= TIMES], color=colour, label=words)
        ax.plot([until], [1.0], "v", color=colour)
    ax.axhline(1.0, color=INK, ls="--", lw=0.8)
    ax.set(xlim=(float(time) - 3.2, float(time) + 1.5), ylim=(0.72, 1.12))
    exact = float(first_spike(small + step) - time)
    text = (
        f"dt/dw = {float(slope):.2f} ms per unit of w\n"
        f"δw = {step}: to first order {step * float(slope):.2f} ms,\n"
        f"in truth {exact:.2f} ms"
    )
    text = text.replace("-", "−")
    ax.text(0.99, 0.1, text, color=INK, ha="right", transform=ax.transAxes)
    ax.set_ylabel("potential v")
    ax.legend(loc="upper left", frameon=False)
    return fig


def draw_vanishing() -> Figure:
    """The first spike over the weight, with its derivative, and where it ends."""
    weights = np.linspace(0.2, 3.6, 400)

    def first_spike(weight: Any) -> Any:
        return neuron(weight).ttfs(INPUTS)[0]

    slope = jax.grad(lambda w: jnp.where(jnp.isfinite(t := first_spike(w)), t, 0.0))
    times = np.asarray(jax.lax.map(first_spike, jnp.asarray(weights)))
    slopes = np.asarray(jax.lax.map(slope, jnp.asarray(weights)))
    fig, (above, below) = axes(2, 3.9)
    fires = np.isfinite(times)
    jumps = np.flatnonzero(np.abs(np.diff(np.where(fires, times, 0.0))) > 1.5) + 1
    for ax, values in ((above, times), (below, slopes)):
        shown = np.where(fires, values, np.nan)
        shown[jumps] = np.nan
        ax.plot(weights, shown, color=FLOW)
        ax.set_xlim(weights[0], weights[-1])
    first = weights[fires][0]
    for ax in (above, below):
        ax.axvspan(weights[0], first, color="0.92", lw=0)
    above.text((weights[0] + first) / 2, 15, "no spike:\nno gradient", ha="center")
    above.set_ylabel("first spike (ms)")
    below.set(
        ylabel="its derivative", ylim=(-20, 1), xlabel="weight of the first input"
    )
    return fig


def arrow(ax: Axes, time: float, start: float, end: float) -> None:
    """A jump."""
    style = {"arrowstyle": "->", "color": JUMP, "lw": 1.5, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", (time, end), (time, start), arrowprops=style)


def note(ax: Axes, words: str, at: Any, text_at: Any, colour: str) -> None:
    """Words beside what they are about."""
    style = {"arrowstyle": "-", "color": colour, "lw": 0.6}
    ax.annotate(words, at, text_at, color=colour, arrowprops=style)


def main() -> None:
    """Draw them all."""
    pictures = {
        "concept_events": draw_events,
        "concept_gradient": draw_gradient,
        "concept_vanishing": draw_vanishing,
    }
    for name, draw in pictures.items():
        draw().savefig(HERE / f"{name}.png", dpi=110)


if __name__ == "__main__":
    main()
