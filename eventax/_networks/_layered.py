"""Whether a feed-forward network can be simulated layer by layer, and how."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Array

from .._engine import split_senders
from .._flows import AbstractFlow
from .._layers import LayerPlan
from .._neurons import NeuronModel
from ._checks import check_model


def plan_layers(
    model: NeuronModel,
    sizes: Sequence[int],
    in_size: int,
    choose: Callable[[NeuronModel], AbstractFlow],
) -> tuple[LayerPlan, ...] | None:
    """A plan for each layer; None where the general engine has to do it.

    That is so where neurons of a layer may depend on each other, where a layer is of
    several models, or where it is not in closed form.
    """
    if not model._is_independent():
        return None
    n_neurons = sum(sizes)
    plans, first, senders = [], 0, (n_neurons, in_size)
    for size in sizes:
        part = _part(model, n_neurons, slice(first, first + size))
        if part is None:
            return None
        _check_part(part, size)
        flow = choose(part)
        if not (flow.closed and _reads_rows_only(flow, part, size)):
            return None
        plans.append(LayerPlan(first, size, *senders, flow))
        first, senders = first + size, (first, size)
    return tuple(plans)


def _part(model: NeuronModel, n_neurons: int, chosen: slice) -> NeuronModel | None:
    kinds = model._kinds(n_neurons)[chosen]
    return None if np.any(kinds != kinds[0]) else model._part(n_neurons, chosen)


def _check_part(part: NeuronModel, size: int) -> None:
    """That the methods fit a population of this size too."""
    try:
        check_model(part, size, part.dtype)
    except Exception as error:
        name = type(part).__name__
        raise ValueError(
            f"{name} declares `independent`, but its methods do not fit a layer of "
            f"{size} neurons. Name in its `per_neuron` every attribute that has a "
            f"value for each neuron, the neurons being its last axis; got {error}"
        ) from error


def _reads_rows_only(flow: AbstractFlow, model: NeuronModel, size: int) -> bool:
    """Whether weights matter at arrivals only, and there by the sender's row."""

    def rows_read(model: NeuronModel) -> list[Array]:
        z = flow.enter(model, model.init_state(size))
        return split_senders(flow, model, eqx.filter(model, eqx.is_array), z, size)[1]

    # Traced, not run: nothing is compiled to find this out.
    return len(eqx.filter_eval_shape(rows_read, model)) > 0
