"""Many curves in one picture: lines while they can be told apart, else bands."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._style import Axes, paler

BANDS = ((0, 100, "range"), (25, 75, "middle half"))


def draw_bands(
    ax: Axes, x: np.ndarray, values: np.ndarray, colour: Any, name: str | None = None
) -> None:
    """Median, middle half and range of (k, n) values at each of n places.

    NaN are left out; where all are NaN there is a gap.
    """
    marks = np.full((5, len(x)), np.nan)
    known = np.isfinite(values).any(axis=0)
    if known.any():
        finite = np.where(np.isfinite(values), values, np.nan)[:, known]
        marks[:, known] = np.nanpercentile(finite, (0, 25, 50, 75, 100), axis=0)
    lowest, low, median, high, highest = marks
    prefix = f"{name}: " if name else ""
    pale = {"color": paler(colour), "lw": 0}
    ax.fill_between(x, lowest, highest, alpha=0.5, label=f"{prefix}range", **pale)
    ax.fill_between(x, low, high, label="middle half", **pale)
    ax.plot(x, median, color=colour, lw=1.4, label="median")
