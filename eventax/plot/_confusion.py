"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._arrays import as_indices, check_length, class_names
from ._style import SHADES, Axes, axes_for, note

MOST = 25  # classes whose counts are written


def confusion(
    decided: Any, labels: Any, *, names: Sequence[str] | None = None, ax: Any = None
) -> Axes:
    """How many samples of each class were put into each class.

    A row is a class, a column what was told, and a cell the darker the larger its part
    of the row. Samples for which no class was told are in a last column. Counts are
    written for up to 25 classes; the title has the accuracy.

    Arguments:
        decided: (n,) the class that was told for each sample, whole numbers from 0;
            negative where none was.
        labels: (n,) the right classes.
        names: names of the classes.
        ax: matplotlib Axes to draw into; by default a new figure.

    Returns:
        The Axes.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `ax` is no Axes.
        ValueError: a shape is wrong, lengths differ, a label is negative, or there are
            fewer `names` than classes.

    Example:
        >>> from eventax import plot
        >>> ax = plot.confusion([0, 1, -1, 1], [0, 1, 0, 0], names=["yin", "yang"])
        >>> ax.get_title()
        'accuracy 50.0 % of 4 samples'
        >>> ax.images[0].get_array()  # parts of a row: as yin, as yang, as none
        masked_array(
          data=[[0.3333, 0.3333, 0.3333],
                [0.    , 1.    , 0.    ]],
          mask=False,
          fill_value=1e+20)
    """
    ax = axes_for(ax, equal=True)
    decided = as_indices("decided", decided, "class")
    labels = as_indices("labels", labels, "class")
    check_length("decided", decided, len(labels), "`labels`")
    if labels.min(initial=0) < 0:
        raise ValueError(f"`labels` must be at least 0; got {labels.min()}.")
    rows = class_names(names, decided, labels)
    n = len(rows)
    ax.set(xlabel="class told by the network", ylabel="class")
    if n == 0:
        note(ax, "no samples")
        return ax
    counts = np.zeros((n, n + 1), int)
    np.add.at(counts, (labels, np.where(decided < 0, n, decided)), 1)
    if not counts[:, n].any():
        counts = counts[:, :n]
    _draw(ax, counts)
    if names is not None or n <= MOST:
        _name(ax, rows, counts.shape[1])
    right = f"{100 * np.mean(decided == labels):.1f}" if len(labels) else "–"
    ax.set_title(f"accuracy {right} % of {len(labels)} samples", size="medium")
    return ax


def _draw(ax: Axes, counts: np.ndarray) -> None:
    parts = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(parts, cmap=SHADES, vmin=0, vmax=1)
    if len(counts) <= MOST:
        size = float(np.clip(90 / len(counts), 5, 10))
        for row, column in np.argwhere(counts):
            colour = "white" if parts[row, column] > 0.5 else "black"
            text = str(counts[row, column])
            ax.text(
                column, row, text, ha="center", va="center", size=size, color=colour
            )
    ax.spines[:].set_visible(False)


def _name(ax: Axes, rows: Sequence[str], n_columns: int) -> None:
    columns = [*rows, "none"][:n_columns]
    turn = 90 if max(map(len, columns)) > 4 and len(columns) > 6 else 0
    ax.set_xticks(range(n_columns), columns, rotation=turn)
    ax.set_yticks(range(len(rows)), rows)
