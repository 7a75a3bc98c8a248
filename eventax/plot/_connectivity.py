"""Who hears whom."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._networks import EvNN
from .._networks._groups import Group, groups_of
from ._arrays import as_array
from ._style import (
    DIVERGING,
    PALE,
    SHADES,
    Axes,
    axes_for,
    note,
    warn_lost,
    whole_ticks,
)
from ._synapses import weights_of

MOST = 1000  # cells along a side


def connectivity(synapses: Any, *, ax: Any = None) -> Axes:
    """Mask or weights: senders downwards, receivers to the right.

    Weights are red where positive and blue where negative, and grey where there is no
    connection; of a mask, existing connections are dark. Names at the top and on the
    right are those of layers, or of hidden and output neurons; lines divide them. Above
    1000 rows or columns a cell is the mean over a block of connections.

    Arguments:
        synapses: an `EvNN` or `FFEvNN`, of which weights are shown; or (senders,
            receivers) numbers: a mask, if all are 0 or 1, as `get_wmask` returns it,
            else weights, 0 and NaN being no connection.
        ax: matplotlib Axes to draw into; by default a new figure.

    Returns:
        The Axes. Senders are numbered neurons first, then inputs.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `ax` is no Axes, or `synapses` are no numbers.
        ValueError: an array has not two axes, or the network's model has no leaf
            `weights`.

    Example:
        >>> from eventax import FFEvNN, plot
        >>> from eventax.neuron_models import LIF
        >>> net = FFEvNN(
        ...     [3, 1], 2, LIF, 50.0, thresh=1.0, tsyn=5.0, tmem=10.0, init_weights=5.0,
        ...     init_bias=0.0,
        ... )
        >>> ax = plot.connectivity(net)
        >>> ax.images[0].get_array().shape  # 3 + 1 + 2 senders, 4 receivers
        (6, 4)
    """
    ax = axes_for(ax, equal=True)
    if isinstance(synapses, EvNN):
        values, exist = weights_of(synapses)
        _draw(ax, values, exist, is_mask=False)
        _name_groups(ax, groups_of(synapses), synapses.in_size)
        return ax
    values = as_array("synapses", synapses, 2)
    is_mask = bool(np.isin(values, (0, 1)).all())
    _draw(ax, values, (values != 0) & ~np.isnan(values), is_mask)
    return ax


def _draw(ax: Axes, values: np.ndarray, exist: np.ndarray, is_mask: bool) -> None:
    ax.set(xlabel="receiver", ylabel="sender")
    if not values.size:
        note(ax, "no connections")
        return
    shown = exist & np.isfinite(values)
    step = -(-max(values.shape) // MOST)
    counts, sums = _blocks(shown, step), _blocks(np.where(shown, values, 0), step)
    if is_mask:
        cells = sums / _blocks(np.ones(values.shape, bool), step)
        label, style = "part that exists", {"cmap": SHADES, "vmin": 0, "vmax": 1}
    else:
        cells = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        label = "weight" if step == 1 else f"mean weight of {step} × {step} connections"
        top = np.nanmax(abs(cells)) if (counts > 0).any() else 1.0
        style = {"cmap": DIVERGING, "vmin": -(top or 1.0), "vmax": top or 1.0}
    n_senders, n_receivers = values.shape
    right, bottom = (step * n - 0.5 for n in cells.shape[::-1])
    ax.set_facecolor(PALE)
    image = ax.imshow(
        cells,
        extent=(-0.5, right, bottom, -0.5),
        aspect="auto",
        interpolation="nearest",
        **style,
    )
    ax.set(xlim=(-0.5, n_receivers - 0.5), ylim=(n_senders - 0.5, -0.5))
    whole_ticks(ax.xaxis)
    whole_ticks(ax.yaxis)
    if not is_mask or step > 1:
        bar = ax.figure.colorbar(image, ax=ax, label=label)
        bar.ax.tick_params(labelsize="small")
    warn_lost(ax, int(np.sum(exist & ~np.isfinite(values))), "weights")


def _blocks(values: np.ndarray, step: int) -> np.ndarray:
    """Sums over blocks of cells."""
    for axis, n in enumerate(values.shape):
        starts = np.arange(0, n, step)
        values = np.add.reduceat(values, starts, axis=axis, dtype=float)
    return values


def _name_groups(ax: Axes, groups: list[Group], n_inputs: int) -> None:
    """Names at the top and on the right, lines between; of groups that are in order."""
    n = sum(len(group.neurons) for group in groups)
    if any(np.any(np.diff(group.neurons) != 1) for group in groups):
        groups = [Group("neurons", np.arange(n))]
    spans = [(g.name, g.neurons[0], g.neurons[-1]) for g in groups]
    spans.sort(key=lambda span: span[1])
    with_inputs = [*spans, ("input", n, n + n_inputs - 1)] if n_inputs else spans
    above, beside = ax.secondary_xaxis("top"), ax.secondary_yaxis("right")
    for side, parts, line in (
        (above.xaxis, spans, ax.axvline),
        (beside.yaxis, with_inputs, ax.axhline),
    ):
        names, first, last = zip(*parts, strict=True)
        side.set_ticks(np.add(first, last) / 2, names, size="small")
        for place in first[1:]:
            line(place - 0.5, color="k", lw=0.6)
    for second in (above, beside):
        second.tick_params(length=0)
        second.spines[:].set_visible(False)
