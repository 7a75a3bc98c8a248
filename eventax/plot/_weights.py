"""The distribution of weights."""

from __future__ import annotations

from typing import Any

from ._histograms import draw_histograms
from ._style import Axes, axes_for
from ._synapses import parts_of, weights_of


def weights(synapses: Any, *, layer: int | None = None, ax: Any = None) -> Axes:
    """How weights are distributed, by layer.

    Of a network there is one histogram for the connections between each two layers, or
    into and between hidden and output neurons; each has the area 1, so that a layer of
    few connections is seen as well as one of many. Connections that do not exist do not
    count.

    Arguments:
        synapses: an `EvNN` or `FFEvNN`; or weights of any shape, such as
            `w[mask > 0]`.
        layer: only weights into this layer of the network: a number from 0, or from -1
            backwards. Without layers, 0 are the hidden neurons and 1 the outputs.
        ax: matplotlib Axes to draw into; by default a new figure.

    Returns:
        The Axes.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `ax` is no Axes, or `synapses` are no numbers.
        ValueError: there is no such `layer`, or the network's model has no leaf
            `weights`.

    Example:
        >>> import jax
        >>> from eventax import FFEvNN, plot
        >>> from eventax.neuron_models import LIF
        >>> net = FFEvNN(
        ...     [20, 10], 5, LIF, 50.0, key=jax.random.key(0), thresh=1.0, tsyn=5.0,
        ...     tmem=10.0, wlim=4.0, wmean=2.0, init_bias=0.0,
        ... )
        >>> ax = plot.weights(net)
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['input → hidden', 'hidden → output']
    """
    ax = axes_for(ax)
    draw_histograms(ax, parts_of("synapses", synapses, layer, weights_of))
    ax.set_xlabel("weight")
    return ax
