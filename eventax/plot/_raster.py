"""Which neuron fires when."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._networks import EvNN
from .._networks._groups import Group, groups_of
from .._networks._views import with_bound
from ._arrays import as_array, as_indices, check_length, with_gaps
from ._groups import choose
from ._states import by_channel
from ._style import (
    GREY,
    Axes,
    axes_for,
    colours,
    legend_above,
    note,
    show_times,
    whole_ticks,
    with_unit,
)


def raster(
    spikes: Any,
    in_spike_times: Any = None,
    *,
    neurons: Any = None,
    layer: int | None = None,
    no_spike: Any = None,
    max_event_steps: int | None = None,
    unit: str | None = "ms",
    ax: Any = None,
) -> Axes:
    """A mark for each spike: time to the right, neurons upwards.

    Of a network all neurons are shown, each layer in a colour of its own; in one
    without layers, output neurons have another colour than the rest. Its input spikes
    are below, channel 0 lowest, in a third of the height at most if there are many
    channels. Where nothing fires, the picture says so.

    Arguments:
        spikes: an `EvNN` or `FFEvNN`, of which `record` is drawn; or (n, k) spike
            times, one row per neuron, as `spikes_until_t` returns them and as inputs
            are written; or (k,) times, together with `neurons`, as `record` returns
            them. Infinite values and NaN are no spikes.
        in_spike_times: (M, K) times of input spikes, padded with `inf`: the network's
            input, and drawn below.
        neurons: (k,) the neuron of each time; negative where there is no spike.
        layer: show this layer of the network only, and no inputs: a number from 0, or
            from -1 backwards. Without layers, 0 are the hidden neurons and 1 the
            outputs.
        no_spike: another value that stands for no spike in arrays.
        max_event_steps: bound on events for the picture, the network's by default.
        unit: of times, for labels; None for none.
        ax: matplotlib Axes to draw into; by default a new figure.

    Returns:
        The Axes. A neuron's height is its index.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `ax` is no Axes, or what should be numbers are none.
        ValueError: a shape is wrong, times and `neurons` have different lengths, or
            there is no such `layer`.
        EquinoxRuntimeError: as `EvNN.record`.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax import FFEvNN, plot
        >>> from eventax.neuron_models import LIF
        >>> net = FFEvNN(
        ...     [3, 1], 1, LIF, 50.0, thresh=1.0, tsyn=5.0, tmem=10.0, init_weights=5.0,
        ...     init_bias=0.0,
        ... )
        >>> ax = plot.raster(net, jnp.array([[1.0, 20.0]]))
        >>> [line.get_label() for line in ax.lines]
        ['hidden', 'output', 'input']
    """
    ax = axes_for(ax)
    if isinstance(spikes, EvNN):
        _draw_network(ax, spikes, in_spike_times, neurons, layer, max_event_steps)
    else:
        if layer is not None:
            raise ValueError(
                "`layer` is a part of a network; `spikes` is an array: choose rows of "
                "it instead."
            )
        _draw_arrays(ax, spikes, in_spike_times, neurons, no_spike)
    ax.set(xlabel=with_unit("time", unit), ylabel="neuron")
    for mark in legend_above(ax):
        mark.set(markersize=8, markeredgewidth=2, alpha=1)
    return ax


def _draw_network(
    ax: Axes, net: EvNN, inputs: Any, neurons: Any, layer: Any, bound: int | None
) -> None:
    if neurons is not None:
        raise ValueError(
            "`neurons` tells whose the times of an array are; to see a part of a "
            "network give `layer`."
        )
    groups = groups_of(net)
    chosen = choose(groups, layer)
    times, who, _ = (np.asarray(x) for x in with_bound(net, bound).record(inputs))
    times, who = times[who >= 0], who[who >= 0]
    shown = np.concatenate([groups[k].neurons for k in chosen])
    arriving = None
    if layer is None and inputs is not None:
        arriving = by_channel(net, inputs)
    palette = colours(len(groups))
    parts = [(groups[k], palette[k]) for k in chosen]
    _draw(ax, times, who, parts, (int(shown.min()), int(shown.max())), arriving)
    show_times(ax, net.t0, net.max_solver_time)


def _draw_arrays(
    ax: Axes, spikes: Any, inputs: Any, neurons: Any, no_spike: Any
) -> None:
    times = with_gaps(as_array("spikes", spikes, 1, 2), no_spike)
    if times.ndim == 2:
        if neurons is not None:
            raise ValueError(
                "`neurons` goes with (k,) `spikes`; those of shape "
                f"{times.shape} have one row for each neuron."
            )
        n, who = len(times), np.repeat(np.arange(len(times)), times.shape[1])
    else:
        if neurons is None:
            raise ValueError(
                f"`neurons` must be given for `spikes` of shape {times.shape}: the "
                "neuron of each time. For one neuron alone use `spikes[None]`."
            )
        who = as_indices("neurons", neurons, "neuron")
        check_length("neurons", who, len(times), "`spikes`")
        n = int(who.max(initial=-1)) + 1
    times = times.ravel()
    spiked = np.isfinite(times) & (who >= 0)
    arriving = None
    if inputs is not None:
        arriving = with_gaps(as_array("in_spike_times", inputs, 2), None)
    everyone = Group("neurons", np.arange(n)), colours(1)[0]
    _draw(ax, times[spiked], who[spiked], [everyone], (0, max(n, 1) - 1), arriving)


def _draw(
    ax: Axes,
    times: np.ndarray,
    who: np.ndarray,
    parts: list[tuple[Group, Any]],
    rows: tuple[int, int],
    inputs: np.ndarray | None,
) -> None:
    """Marks of neurons in their groups' colours, and of inputs below the lowest row."""
    low, high = rows
    n_rows = high + 1 - low
    n_inputs = 0 if inputs is None else len(inputs)
    gap = max(0.5, 0.03 * n_rows) if n_inputs else 0.0
    # So close that inputs take a third of the height at most, if there are many.
    spacing = min(1.0, max(n_rows, 20) / 2 / max(n_inputs, 1))
    bottom = low - gap - spacing * n_inputs
    height = ax.bbox.height * 72 / ax.figure.dpi / (high + 1 - bottom)  # in points
    style = {"marker": "|", "ls": "", "mew": 1.0, "rasterized": len(times) > 5000}
    # Where marks lie over each other, darker is denser.
    alpha = float(np.clip(2e4 / max(len(times), 1), 0.1, 1))
    silent = True
    for group, colour in parts:
        mine = np.isin(who, group.neurons)
        silent &= not mine.any()
        label = group.name if len(parts) > 1 or n_inputs else None
        look = {"color": colour, "ms": _size(height), "alpha": alpha, "label": label}
        ax.plot(times[mine], who[mine], **look, **style)
    if inputs is not None:
        channels, which = np.nonzero(np.isfinite(inputs))
        places = inputs[channels, which], bottom + spacing * channels
        look = {"color": GREY, "ms": _size(spacing * height), "label": "input"}
        ax.plot(*places, **look, **style)
    if silent:
        note(ax, "no spikes")
    ax.set_ylim(bottom - spacing / 2, high + 0.5)
    whole_ticks(ax.yaxis, least=low)


def _size(height: float) -> float:
    """Of a mark in a row of this height, both in points."""
    return float(np.clip(0.7 * height, 2, 14))
