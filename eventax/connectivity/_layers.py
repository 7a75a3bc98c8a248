"""Layers, one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ._connect import check_name, check_pair, connect, named
from ._connectivity import INPUT, Connectivity, Name


def layers(
    sizes: Mapping[str, int] | Sequence[int],
    in_size: int,
    *,
    recurrent: bool | Iterable[Name] = False,
    skips: Iterable[tuple[Name, Name]] = (),
    outputs: Iterable[Name] | None = None,
    types: Sequence[int] | None = None,
    inhibitory: Iterable[Name] = (),
) -> Connectivity:
    """Layers of which the first hears the input and each other one the layer before.

    For a network that is only this, `FFEvNN` is much faster, as it can rely on it.

    Arguments:
        sizes: the size of each layer, by name; or a list of sizes, whose names are
            0, 1, ...
        in_size: number of input channels M. They are called `"input"`.
        recurrent: names of the layers whose neurons also hear each other, themselves
            included; True for all layers.
        skips: further pairs (sender, receiver) of layers that are connected all to all,
            forwards or backwards.
        outputs: names of the layers that results show, by default the last one.
        types: the model of each layer, as in `connect`.
        inhibitory: names of the layers whose synapses are negative in `signs`.

    Returns:
        The connectivity, for `EvNN(**connectivity, ...)`.

    Raises:
        TypeError: as `connect`, or `recurrent` is neither True, False nor a list.
        ValueError: as `connect`.

    Example:
        A recurrent network with leaky integrators as readouts:

        >>> from eventax import EvNN
        >>> from eventax.connectivity import layers
        >>> from eventax.neuron_models import LI, LIF, MultiNeuronModel
        >>> shape = layers(
        ...     {"hidden": 6, "readout": 2}, in_size=7, recurrent=["hidden"],
        ...     types=[0, 1],
        ... )
        >>> both = {"tsyn": 5.0, "tmem": 10.0, "init_weights": 1.0, "init_bias": 0.0}
        >>> net = EvNN(
        ...     MultiNeuronModel, max_solver_time=50.0, **shape,
        ...     neuron_models=[LIF, LI],
        ...     neuron_model_kwargs=[{**both, "thresh": 1.0}, both],
        ... )
        >>> net.max_over_time(None)
        Array([0., 0.], dtype=float32)
    """
    populations = named(sizes)
    chain = [INPUT, *populations]
    pairs = list(itertools.pairwise(chain))
    pairs += [(name, name) for name in _recurrent(recurrent, populations)]
    pairs += [check_pair("skips", pair, populations) for pair in skips]
    return connect(
        sizes,
        in_size,
        dict.fromkeys(pairs, True),
        outputs=outputs,
        types=types,
        inhibitory=inhibitory,
    )


def _recurrent(recurrent: Any, populations: Mapping[Name, int]) -> list[Name]:
    if isinstance(recurrent, bool):
        return list(populations) if recurrent else []
    if isinstance(recurrent, str) or not isinstance(recurrent, Iterable):
        raise TypeError(
            "`recurrent` must be True, False or a list of names of layers; got "
            f"{recurrent!r}."
        )
    names = list(recurrent)
    for name in names:
        check_name("recurrent", name, populations)
    return names
