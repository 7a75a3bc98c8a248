"""Distributions of parameters, one outline for each part of a network."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ._style import Axes, colours, legend_above, note, warn_lost


def draw_histograms(ax: Axes, parts: Iterable[tuple[str, np.ndarray]]) -> None:
    """Densities on common bins, whose areas are 1; the names are the legend."""
    parts = [(name, np.ravel(values)) for name, values in parts]
    finite = [(name, values[np.isfinite(values)]) for name, values in parts]
    lost = sum(len(values) for _, values in parts)
    lost -= sum(len(values) for _, values in finite)
    finite = [(name, values) for name, values in finite if values.size]
    if not finite:
        note(ax, "no connections")
    else:
        lowest = min(float(values.min()) for _, values in finite)
        highest = max(float(values.max()) for _, values in finite)
        if highest - lowest <= 1e-6 * max(abs(lowest), abs(highest)):
            lowest, highest = lowest - 0.5, highest + 0.5  # all alike but for rounding
        fewest = min(values.size for _, values in finite)
        n_bins = int(np.clip(np.sqrt(fewest), 10, 60))
        edges = np.linspace(lowest, highest, n_bins + 1)
        for (name, values), colour in zip(finite, colours(len(finite)), strict=True):
            density, _ = np.histogram(values, edges, density=True)
            if len(finite) <= 3:
                ax.stairs(density, edges, color=colour, fill=True, alpha=0.25)
            ax.stairs(density, edges, color=colour, lw=1.4, label=name)
        ax.set_ylim(bottom=0)
    warn_lost(ax, lost, "values")
    ax.set_ylabel("density")
    if len(parts) > 1:
        legend_above(ax)
