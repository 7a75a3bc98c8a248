"""When neurons fire first, over an input or for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._arrays import as_array, as_indices, check_length, check_names, with_gaps
from ._lines import draw_bands
from ._plane import draw_values
from ._style import (
    BLUE,
    MANY,
    ORANGE,
    SEQUENTIAL,
    VERMILLION,
    Axes,
    axes_for,
    colours,
    default_names,
    legend_above,
    legend_inside,
    note,
    paler,
    with_unit,
)


def latencies(
    times: Any,
    *,
    over: Any = None,
    labels: Any = None,
    target: Any = None,
    names: Sequence[str] | None = None,
    limits: Any = None,
    no_spike: Any = None,
    unit: str | None = "ms",
    ax: Any = None,
) -> Axes:
    """First spike times of outputs, in one of three pictures.

    - `over` (n,) numbers: a curve for each output, up to six; more are shown by median,
      middle half and range. Crosses at the top are samples for which it is silent.
    - `over` (n, 2) points: a map of one output, white where it is silent. Points of a
      grid make an area, others dots.
    - `labels`: for each class the times of its own output, and of the first of the
      others. A box has the middle half of the samples and a line at the median, its
      whiskers reach over 90 %; above it is the percentage of samples with no such
      spike.

    Arguments:
        times: (n, outputs) first spike times of n samples, as a batch of `ttfs` returns
            them, or (n,) those of one output. Infinite values and NaN are no spikes.
        over: (n,) or (n, 2) the input that they depend on.
        labels: (n,) the right output of each sample, whole numbers from 0.
        target: (n,) times that are wanted, with `over` (n,).
        names: of the outputs, for legend, title or axis.
        limits: (2,) first and last time of a map's colours, by default of the times.
        no_spike: another value that stands for no spike.
        unit: of times, for labels; None for none.
        ax: matplotlib Axes to draw into; by default a new figure.

    Returns:
        The Axes.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `ax` is no Axes, or what should be numbers are none.
        ValueError: a shape is wrong, lengths differ, not just one of `over` and
            `labels` is given, or a label is the number of no output.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax import plot
        >>> times = jnp.array([[3.0, 4.0], [5.0, jnp.inf], [6.0, 2.0]])
        >>> ax = plot.latencies(times, over=[0.0, 0.5, 1.0], names=["left", "right"])
        >>> [line.get_label() for line in ax.lines]
        ['left', 'right', 'silent']
    """
    ax = axes_for(ax, equal=np.ndim(over) == 2)
    first = with_gaps(as_array("times", times, 1, 2), no_spike)
    first = first[:, None] if first.ndim == 1 else first
    names = check_names(names, first.shape[1], "output")
    if (over is None) == (labels is None):
        raise ValueError("Give one of `over`, an input, and `labels`, classes.")
    if target is not None and np.ndim(over) != 1:
        raise ValueError("`target` goes with `over` of shape (n,) only.")
    if limits is not None and np.ndim(over) != 2:
        raise ValueError("`limits` goes with `over` of shape (n, 2) only.")
    label = with_unit("first spike", unit)
    if labels is not None:
        _draw_classes(ax, first, labels, names, label)
        return ax
    inputs = as_array("over", over, 1, 2)
    check_length("over", inputs, len(first), "`times`")
    if inputs.ndim == 1:
        _draw_curves(ax, first, inputs, target, names)
        ax.set(xlabel="input", ylabel=label)
    else:
        _draw_map(ax, first, inputs, limits, label)
        ax.set_title(names[0] if names else "")
    return ax


def _draw_curves(
    ax: Axes,
    times: np.ndarray,
    inputs: np.ndarray,
    target: Any,
    names: Sequence[str] | None,
) -> None:
    order = np.argsort(inputs)
    x, times = inputs[order], times[order]
    n = times.shape[1]
    if target is not None:
        wanted = as_array("target", target, 1)
        check_length("target", wanted, len(x), "`over`")
        ax.plot(x, wanted[order], color=paler(ORANGE), lw=5, label="target")
    if n > MANY:
        draw_bands(ax, x, times.T, BLUE)
    labels = names or ([None] if n == 1 else default_names("output", n))
    palette = colours(n)
    if n <= MANY:
        for column, label, colour in zip(times.T, labels, palette, strict=True):
            ax.plot(x, column, color=colour, lw=1.4, label=label)
    silent = np.isnan(times)
    top, label = ax.get_xaxis_transform(), "silent"
    for quiet, colour in zip(silent.T, palette, strict=True):
        if quiet.any() and n <= MANY:
            place = np.full(quiet.sum(), 0.98)
            ax.plot(
                x[quiet], place, "x", color=colour, ms=4, transform=top, label=label
            )
            label = None
    if silent.all():
        note(ax, "no spikes")
    legend_inside(ax)


def _draw_map(
    ax: Axes,
    times: np.ndarray,
    points: np.ndarray,
    limits: Any,
    label: str,
) -> None:
    if points.shape[1] != 2 or times.shape[1] != 1:
        raise ValueError(
            "A map needs `over` of shape (n, 2) and `times` (n,) of one output, such "
            f"as `times[:, 0]`; got shapes {points.shape} and {times.shape}."
        )
    heard = times[np.isfinite(times)]
    if not heard.size:
        note(ax, "no spikes")
    low, high = (heard.min(), heard.max()) if heard.size else (0.0, 1.0)
    if limits is not None:
        low, high = _pair(limits)
    shown = draw_values(
        ax, points, times[:, 0], cmap=SEQUENTIAL, vmin=float(low), vmax=float(high)
    )
    bar = ax.figure.colorbar(shown, ax=ax, label=label)
    bar.ax.tick_params(labelsize="small")
    ax.set(xlabel="x", ylabel="y")
    ax.set_aspect("equal")
    ax.spines[:].set_visible(False)


def _pair(limits: Any) -> np.ndarray:
    pair = as_array("limits", limits, 1)
    if pair.shape != (2,) or not pair[0] < pair[1]:
        raise ValueError(
            f"`limits` must be two times, the second one later; got {limits!r}."
        )
    return pair


def _draw_classes(
    ax: Axes,
    times: np.ndarray,
    labels: Any,
    names: Sequence[str] | None,
    ylabel: str,
) -> None:
    which = as_indices("labels", labels, "class")
    check_length("labels", which, len(times), "`times`")
    n = times.shape[1]
    wrong = which[(which < 0) | (which >= n)]
    if wrong.size:
        raise ValueError(
            f"`labels` must lie between 0 and {n - 1}, as there are {n} outputs; got "
            f"{wrong[0]}."
        )
    rows = np.arange(len(times))
    own = times[rows, which]
    others = np.where(np.isnan(times), np.inf, times)
    others[rows, which] = np.inf
    rival = others.min(axis=1, initial=np.inf)
    both = ((own, -0.2, BLUE, "own output"), (rival, 0.2, VERMILLION, "first other"))
    for values, shift, colour, name in both[: min(n, 2)]:
        _draw_boxes(ax, values, which, n, (shift, colour, name))
    if not np.isfinite(times).any():
        note(ax, "no spikes")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.1 * (high - low))  # room for the percentages
    ax.set_xlim(-0.5, n - 0.5)
    if names or n <= 25:
        ax.set_xticks(range(n), names or [str(k) for k in range(n)])
    ax.set(xlabel="class", ylabel=ylabel)
    legend_above(ax)


def _draw_boxes(
    ax: Axes, times: np.ndarray, which: np.ndarray, n: int, look: tuple[float, str, str]
) -> None:
    """A box for each class, and the percentage of samples with no spike above it."""
    shift, colour, name = look
    of_class = [times[which == k] for k in range(n)]
    heard = [values[np.isfinite(values)] for values in of_class]
    fired = [k for k in range(n) if heard[k].size]
    if fired:
        line = {"color": colour}
        ax.boxplot(
            [heard[k] for k in fired],
            positions=[k + shift for k in fired],
            widths=0.32,
            whis=(5, 95),
            showfliers=False,
            patch_artist=True,
            manage_ticks=False,
            boxprops={"facecolor": paler(colour), "edgecolor": colour},
            medianprops=line,
            whiskerprops=line,
            capprops=line,
        )
    ax.plot([], [], "s", color=colour, label=name)
    if n > 25:
        return
    for k, (values, spikes) in enumerate(zip(of_class, heard, strict=True)):
        if len(spikes) < len(values):
            text = f"{100 * (1 - len(spikes) / len(values)):.0f} %"
            ax.text(
                k + shift,
                0.99,
                text,
                transform=ax.get_xaxis_transform(),
                color=colour,
                size="x-small",
                ha="center",
                va="top",
            )
