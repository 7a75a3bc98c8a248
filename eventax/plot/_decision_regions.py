"""Which class a network gives to each point of a plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._arrays import as_array, as_indices, check_length, class_names
from ._plane import draw_values
from ._style import Axes, axes_for, colours, note, paler


def decision_regions(
    points: Any,
    classes: Any,
    *,
    samples: Any = None,
    labels: Any = None,
    names: Sequence[str] | None = None,
    ax: Any = None,
) -> Axes:
    """The class of each point as an area, and samples as dots in their class's colour.

    A dot in an area of another colour is a sample that is told wrongly. White is where
    no class is told.

    Arguments:
        points: (n, 2) points, of a grid or not: only those of a grid make an area.
        classes: (n,) the class told at each of them, whole numbers from 0; negative
            where none is.
        samples: (s, 2) samples.
        labels: (s,) their classes.
        names: names of the classes.
        ax: matplotlib Axes to draw into; by default a new figure.

    Returns:
        The Axes.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `ax` is no Axes, or what should be numbers are none.
        ValueError: a shape is wrong, lengths differ, only one of `samples` and `labels`
            is given, or there are fewer `names` than classes.

    Example:
        >>> import numpy as np
        >>> from eventax import plot
        >>> x, y = np.meshgrid(np.linspace(0, 1, 20), np.linspace(0, 1, 20))
        >>> points = np.stack([x.ravel(), y.ravel()], axis=1)
        >>> classes = (points.sum(axis=1) > 1).astype(int)
        >>> ax = plot.decision_regions(points, classes, names=["below", "above"])
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['below', 'above']
    """
    ax = axes_for(ax, equal=True)
    points, classes = _pair("points", points, "classes", classes)
    if (samples is None) != (labels is None):
        missing = "labels" if labels is None else "samples"
        raise ValueError(
            f"`{missing}` must be given too: `samples` and `labels` go together."
        )
    dots, of_class = np.zeros((0, 2)), np.zeros(0, int)
    if samples is not None:
        dots, of_class = _pair("samples", samples, "labels", labels)
    _draw(ax, points, classes, dots, of_class, class_names(names, classes, of_class))
    ax.set(xlabel="x", ylabel="y")
    ax.set_aspect("equal")
    ax.spines[:].set_visible(False)
    return ax


def _pair(
    name: str, points: Any, classes_name: str, classes: Any
) -> tuple[np.ndarray, np.ndarray]:
    where = as_array(name, points, 2)
    if where.shape[1] != 2:
        raise ValueError(f"`{name}` must have shape (n, 2); got shape {where.shape}.")
    which = as_indices(classes_name, classes, "class")
    check_length(classes_name, which, len(where), f"`{name}`")
    return where, which


def _draw(
    ax: Axes,
    points: np.ndarray,
    classes: np.ndarray,
    dots: np.ndarray,
    of_class: np.ndarray,
    names: Sequence[str],
) -> None:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    if not len(points) and not len(dots):
        note(ax, "no points")
        return
    palette = colours(len(names))
    if len(points):
        areas = ListedColormap([paler(colour) for colour in palette] or ["white"])
        values = np.where(classes < 0, np.nan, classes)
        draw_values(ax, points, values, cmap=areas, vmin=-0.5, vmax=len(names) - 0.5)
    for k, colour in enumerate(palette):
        ax.plot(*dots[of_class == k].T, ".", ms=3, color=colour)
    handles = [
        Patch(color=c, label=name) for c, name in zip(palette, names, strict=True)
    ]
    ax.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
        fontsize="small",
        handlelength=0.8,
    )
