"""What all pictures have in common: Axes, colours, legends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
else:  # matplotlib may be missing
    Axes = AxesImage = Any

# Okabe & Ito (2008), told apart in every kind of colour blindness.
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
ORANGE, SKY, PINK = "#E69F00", "#56B4E9", "#CC79A7"
PALETTE = (BLUE, VERMILLION, GREEN, ORANGE, SKY, PINK)
GREY, PALE = "0.45", "0.88"
SEQUENTIAL, DIVERGING, SHADES = "viridis", "RdBu_r", "Blues"
MANY = len(PALETTE)  # lines that are told apart by colour


def axes_for(ax: Any, *, equal: bool = False) -> Axes:
    """The Axes that were given, or new ones in a figure of their own."""
    try:
        from matplotlib import axes, pyplot
    except ImportError as error:
        raise ImportError(
            "eventax.plot needs matplotlib: `pip install 'eventax[plot]'`."
        ) from error
    if ax is None:
        size = (5.2, 4.4) if equal else (6.4, 4.0)
        _, ax = pyplot.subplots(figsize=size, layout="constrained")
    if not isinstance(ax, axes.Axes):
        raise TypeError(
            "`ax` must be one matplotlib Axes, such as `plt.subplots()[1]`, or None "
            f"for a new figure; got {type(ax).__name__}."
        )
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(which="both", labelsize="small")
    return ax


def colours(n: int) -> list[Any]:
    """n colours: of the palette as far as it goes, else along a scale."""
    if n <= len(PALETTE):
        return list(PALETTE[:n])
    import matplotlib as mpl

    return list(mpl.colormaps[SEQUENTIAL](np.linspace(0, 0.95, n)))


def paler(colour: Any) -> tuple[float, ...]:
    """The colour, two thirds white: for areas below marks of that colour."""
    from matplotlib.colors import to_rgb

    return tuple(1 - (1 - part) / 3 for part in to_rgb(colour))


def legend_above(ax: Axes) -> list[Any]:
    """A legend that covers no data; returns its marks."""
    _, names = ax.get_legend_handles_labels()
    if not names:
        return []
    legend = ax.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=min(len(names), 4),
        frameon=False,
        fontsize="small",
        handlelength=1.2,
        columnspacing=1.2,
        borderpad=0.2,
    )
    return list(legend.legend_handles)


def legend_inside(ax: Axes) -> None:
    """A legend where there is most room, over the data where there is too little."""
    if ax.get_legend_handles_labels()[1]:
        ax.legend(framealpha=0.85, edgecolor="none", fontsize="small")


def note(ax: Axes, text: str) -> None:
    """A word in the middle of a picture that would be empty."""
    ax.text(
        0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=GREY
    )


def warn_lost(ax: Axes, n: int, what: str) -> None:
    """Say in a corner that values cannot be shown."""
    if n:
        text = f"{n} of the {what} are not finite"
        ax.text(0.01, 0.99, text, transform=ax.transAxes, va="top", color=VERMILLION)


def whole_ticks(axis: Any, least: Any = -np.inf) -> None:
    """Ticks at whole numbers only, and none below the least."""
    from matplotlib.ticker import MaxNLocator

    class Whole(MaxNLocator):
        def tick_values(self, vmin: Any, vmax: Any) -> Any:
            ticks = np.asarray(super().tick_values(max(vmin, least), vmax))
            return ticks[ticks >= least]

    steps = [1, 2, 5, 10]
    axis.set_major_locator(Whole(6, integer=True, min_n_ticks=1, steps=steps))


def show_times(ax: Axes, start: Any, end: Any) -> None:
    """From start to end, with room for marks at either."""
    if start < end:
        margin = 0.015 * (end - start)
        ax.set_xlim(start - margin, end + margin)


def log_values(ax: Axes) -> None:
    """A logarithmic axis upwards, with plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())


def with_unit(quantity: str, unit: str | None) -> str:
    """`time (ms)`, or `time` where there is no unit."""
    return f"{quantity} ({unit})" if unit else quantity


def default_names(kind: str, n: int) -> Sequence[str]:
    """Names of numbered things."""
    return [f"{kind} {k}" for k in range(n)]
