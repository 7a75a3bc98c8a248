"""Values at points of a plane: an area where they lie on a grid, else dots."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._style import Axes


def draw_values(ax: Axes, points: np.ndarray, values: np.ndarray, **style: Any) -> Any:
    """Colour (n, 2) points by (n,) values but NaN; returns what was drawn."""
    style["rasterized"] = len(points) > 5000
    grid = _on_grid(points, values)
    if grid is not None:
        return ax.pcolormesh(*grid, shading="nearest", **style)
    shown = np.isfinite(values)
    return ax.scatter(*points[shown].T, c=values[shown], s=9, lw=0, **style)


def _on_grid(
    points: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Columns, rows and (rows, columns) values; None if points lie on no grid."""
    columns, column = np.unique(points[:, 0], return_inverse=True)
    rows, row = np.unique(points[:, 1], return_inverse=True)
    n_cells = len(rows) * len(columns)
    # A disc fills three quarters of its grid; points that were drawn fill next to none.
    if min(len(rows), len(columns)) < 2 or n_cells > 4 * len(points):
        return None
    table = np.full((len(rows), len(columns)), np.nan)
    table[row, column] = values
    return columns, rows, np.ma.masked_invalid(table)
