"""The distribution of delays."""

from __future__ import annotations

from typing import Any

from ._histograms import draw_histograms
from ._style import Axes, axes_for, with_unit
from ._synapses import delays_of, parts_of


def delays(
    synapses: Any,
    *,
    layer: int | None = None,
    unit: str | None = "ms",
    ax: Any = None,
) -> Axes:
    """How delays are distributed, by layer.

    As `weights`; of a network the delays that are in force, from sender to receiver:
    synaptic and axonal ones add up, and negative values act as 0.

    Arguments:
        synapses: an `EvNN` or `FFEvNN`; or delays of any shape.
        layer: only delays into this layer of the network: a number from 0, or from -1
            backwards. Without layers, 0 are the hidden neurons and 1 the outputs.
        unit: of times, for labels; None for none.
        ax: matplotlib Axes to draw into; by default a new figure.

    Returns:
        The Axes.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `ax` is no Axes, or `synapses` are no numbers.
        ValueError: there is no such `layer`, or the network has no delays.

    Example:
        >>> import jax
        >>> from eventax import FFEvNN, plot
        >>> from eventax.neuron_models import LIF
        >>> net = FFEvNN(
        ...     [20, 10], 5, LIF, 50.0, key=jax.random.key(0), dlim=6.0, thresh=1.0,
        ...     tsyn=5.0, tmem=10.0, init_weights=2.0, init_bias=0.0,
        ... )
        >>> plot.delays(net).get_xlabel()
        'delay (ms)'
    """
    ax = axes_for(ax)
    draw_histograms(ax, parts_of("synapses", synapses, layer, delays_of))
    ax.set_xlabel(with_unit("delay", unit))
    return ax
