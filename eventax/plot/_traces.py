"""States over time, with spikes and threshold."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._networks import EvNN
from ._lines import draw_bands
from ._states import States, of_array, of_network
from ._style import (
    BLUE,
    GREY,
    MANY,
    Axes,
    axes_for,
    colours,
    legend_above,
    note,
    show_times,
    with_unit,
)

# What is in view where potentials are infinite at spikes, those of QIF neurons.
LOW, HIGH = -5.0, 6.0


def traces(
    states: Any,
    in_spike_times: Any = None,
    *,
    neurons: Any = None,
    channel: int = 0,
    times: Any = None,
    spikes: Any = None,
    threshold: Any = None,
    max_event_steps: int | None = None,
    unit: str | None = "ms",
    ax: Any = None,
) -> Axes:
    """A state channel over time: the membrane potential, unless another is asked for.

    Triangles above mark a neuron's own spikes, at which its line is broken, those below
    input spikes; a dashed line is the threshold. Up to six neurons have a line each;
    more are shown by median, middle half and range at each time.

    Arguments:
        states: an `EvNN` or `FFEvNN`; or (n, T) or (n, T, channels) states, as
            `state_at_t` returns them, together with `times`.
        in_spike_times: (M, K) times of input spikes, padded with `inf`: the network's
            input.
        neurons: which neurons to show, by default the network's outputs, or all rows of
            the array.
        channel: which of the channels that `state_at_t` shows.
        times: (T,) times of the states; for a network by default 1001 times over the
            whole simulation.
        spikes: (n, k) times of the spikes of the array's rows, padded with `inf`. Those
            of a network are computed.
        threshold: a number, or (n,) one for each row of the array. Built-in models tell
            theirs where it is one of the potential.
        max_event_steps: bound on events for the picture, the network's by default.
        unit: of times, for labels; None for none.
        ax: matplotlib Axes to draw into; by default a new figure.

    Returns:
        The Axes. Of `QIF` and `PQIF`, whose potential is infinite at a spike, what lies
        between -5 and 6 is in view: rest is 0, and above 1 they fire by themselves.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `ax` is no Axes, or what should be numbers are none.
        ValueError: a shape is wrong, lengths differ, `times` are missing, or there is
            no such neuron or channel.
        EquinoxRuntimeError: as `EvNN.state_at_t`.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax import EvNN, plot
        >>> from eventax.neuron_models import LIF
        >>> net = EvNN(
        ...     LIF, 1, 50.0, in_size=1, wmask=[[0], [1]], thresh=1.0, tsyn=5.0,
        ...     tmem=10.0, init_weights=5.0, init_bias=0.0,
        ... )
        >>> ax = plot.traces(net, jnp.array([[1.0, 20.0]]))
        >>> ax.get_ylabel()
        'membrane potential'
    """
    ax = axes_for(ax)
    if isinstance(states, EvNN):
        for name, value in (("spikes", spikes), ("threshold", threshold)):
            if value is not None:
                raise ValueError(
                    f"`{name}` goes with an array; a network tells its own."
                )
        shown = of_network(
            states, in_spike_times, neurons, channel, times, max_event_steps
        )
    else:
        shown = of_array(
            states, in_spike_times, neurons, channel, times, spikes, threshold
        )
    _draw(ax, shown)
    ax.set_xlabel(with_unit("time", unit))
    ax.set_ylabel("membrane potential" if channel == 0 else f"state channel {channel}")
    return ax


def _draw(ax: Axes, shown: States) -> None:
    n = len(shown.values)
    if n > MANY:
        draw_bands(ax, shown.times, shown.values, BLUE)
    else:
        _draw_lines(ax, shown)
    _draw_threshold(ax, shown)
    low, high = _limits(shown)
    row = 0.05 * (high - low)
    if n <= MANY:
        high = _draw_spikes(ax, shown, high, row)
    if shown.inputs.size:
        low -= row
        place = np.full(len(shown.inputs), low)
        ax.plot(shown.inputs, place, "^", color=GREY, ms=4, label="input spike")
    ax.set_ylim(low - row, high + row)
    if shown.times.size:
        show_times(ax, shown.times[0], shown.times[-1])
    if not shown.values.size:
        note(ax, "no states")
    legend_above(ax)


def _draw_lines(ax: Axes, shown: States) -> None:
    """A line for each neuron, with a gap at each spike: none goes across the jump."""
    parts = zip(shown.neurons, shown.values, shown.spikes, strict=True)
    palette = colours(len(shown.neurons))
    for (neuron, values, spikes), colour in zip(parts, palette, strict=True):
        where = np.searchsorted(shown.times, spikes)
        times = np.insert(shown.times, where, spikes)
        values = np.insert(values, where, np.nan)
        ax.plot(times, values, color=colour, lw=1.2, label=f"neuron {neuron}")


def _draw_spikes(ax: Axes, shown: States, high: float, row: float) -> float:
    """A row of marks for each neuron that fires; returns the height of the last one."""
    label = "spike"
    for spikes, colour in zip(shown.spikes, colours(len(shown.spikes)), strict=True):
        if spikes.size:
            high += row
            place = np.full(len(spikes), high)
            ax.plot(spikes, place, "v", color=colour, ms=4, label=label)
            label = None
    return high


def _draw_threshold(ax: Axes, shown: States) -> None:
    """One line if it is the same for all, else one for each neuron."""
    rows, n = shown.threshold, len(shown.threshold)
    palette = colours(n)
    if np.allclose(rows, rows[:1], rtol=1e-4, equal_nan=True):  # but for rounding
        rows, palette = rows[:1], [GREY]
    elif n > MANY:
        return
    label = "threshold"
    for row, colour in zip(rows, palette, strict=False):
        if np.isfinite(row).any():
            ax.plot(shown.times, row, "--", color=colour, lw=1, label=label)
            label = None


def _limits(shown: States) -> tuple[float, float]:
    every = np.concatenate([shown.values, shown.threshold])
    every = every[np.isfinite(every)]
    low, high = (every.min(), every.max()) if every.size else (0.0, 1.0)
    if shown.infinite:
        low, high = max(low, LOW), min(high, HIGH)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return float(low), float(high)
