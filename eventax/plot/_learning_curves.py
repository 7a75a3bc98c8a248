"""Loss, accuracy or parameters over training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._arguments import check_count
from ._arrays import as_array
from ._lines import draw_bands
from ._style import (
    Axes,
    axes_for,
    colours,
    legend_inside,
    log_values,
    note,
    paler,
    whole_ticks,
)

MOST = 500  # runs that have a line each


def learning_curves(
    curves: Any,
    *,
    start: int = 1,
    window: int | None = None,
    log: bool = False,
    xlabel: str = "training step",
    ylabel: str = "loss",
    ax: Any = None,
) -> Axes:
    """What was noted at each step of training, such as loss or accuracy.

    Several runs (seeds), or several parameters, are thin lines of one colour; above 500
    of them median, middle half and range. Values that are not finite are gaps.

    Arguments:
        curves: (steps,) values; or (runs, steps) of several runs; or a dictionary of
            such arrays by name, also of different lengths.
        start: number of the first step; 0 where the state before training comes first.
        window: with it, a strong line is the mean of so many steps, and the values
            themselves are pale; the mean of a shorter run is that of all its steps.
        log: whether the values' axis is logarithmic; values not above 0 are left out.
        xlabel: name of a step, such as "epoch".
        ylabel: what the values are, with their unit.
        ax: matplotlib Axes to draw into; by default a new figure.

    Returns:
        The Axes.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `ax` is no Axes, or what should be numbers are none.
        ValueError: a curve has not one or two axes, `start` is below 0, or `window`
            below 1.

    Example:
        >>> from eventax import plot
        >>> accuracy = {"training": [60.0, 80.0], "validation": [50.0, 70.0]}
        >>> ax = plot.learning_curves(accuracy, xlabel="epoch", ylabel="accuracy (%)")
        >>> [line.get_label() for line in ax.lines]
        ['training', 'validation']
    """
    ax = axes_for(ax)
    named = curves if isinstance(curves, Mapping) else {"": curves}
    parts = {
        str(name): np.atleast_2d(
            as_array(f"curves[{name!r}]" if name else "curves", values, 1, 2)
        )
        for name, values in named.items()
    }
    check_count("start", start, 0)
    if window is not None:
        check_count("window", window, 1)
    if log:
        parts = {k: np.where(v > 0, v, np.nan) for k, v in parts.items()}
    for (name, values), colour in zip(parts.items(), colours(len(parts)), strict=True):
        _draw(ax, values, start, window, colour, name)
    if not any(np.isfinite(values).any() for values in parts.values()):
        note(ax, "no values above 0" if log else "no values")
    elif log:
        log_values(ax)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    whole_ticks(ax.xaxis)
    legend_inside(ax)
    return ax


def _draw(
    ax: Axes, values: np.ndarray, start: int, window: int | None, colour: Any, name: str
) -> None:
    steps = start + np.arange(values.shape[1])
    if not values.size:
        return
    if len(values) > MOST:
        draw_bands(ax, steps, values, colour, name)
        return
    # One step alone is a point, not a line.
    marker = "o" if len(steps) == 1 else None
    if window is None:
        width = 1.4 if len(values) == 1 else 0.7
        alpha = 1.0 if len(values) <= 20 else 0.5
        lines = ax.plot(
            steps, values.T, color=colour, lw=width, alpha=alpha, marker=marker
        )
    else:
        ax.plot(steps, values.T, color=paler(colour), lw=0.6)
        middles, means = _moving_mean(steps, values, window)
        lines = ax.plot(middles, means, color=colour, lw=1.6, marker=marker)
    lines[0].set_label(name or "_")


def _moving_mean(
    steps: np.ndarray, values: np.ndarray, window: int
) -> tuple[np.ndarray, np.ndarray]:
    """Middle and (windows, runs) means of all windows."""
    parts = np.lib.stride_tricks.sliding_window_view(
        values, min(window, len(steps)), axis=1
    )
    half = (parts.shape[2] - 1) / 2
    return steps[: parts.shape[1]] + half, parts.mean(axis=2).T
