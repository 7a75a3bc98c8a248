"""Feed-forward networks of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._neurons import NeuronModel
from ._checks import check_count
from ._connectivity import layered
from ._evnn import EvNN


class FFEvNN(EvNN):
    """Feed-forward network: layer l feeds layer l+1 only.

    The first layer takes the input, the last one is the output. Neurons are numbered
    layer by layer. Everything else is that of [`EvNN`][eventax.EvNN], with the same
    methods.

    Arguments:
        layers: sizes of the layers, from the first hidden one to the output.
        in_size: number of input channels M.
        neuron_model: a `NeuronModel` class.
        max_solver_time: time at which simulations end.
        key: random key; needed where something is random.
        init_delays, dlim, init_axonal_delays, axonal_dlim: as in `EvNN`.
        buffer_capacity: as in `EvNN`.
        solver_stepsize, root_finder, stepsize_controller, solver: as in `EvNN`.
        adjoint: as in `EvNN`.
        max_event_steps: bound on events (spikes, arrivals) per sample.
        output_no_spike_value: written where an output neuron did not fire, default inf.
        dtype: floating-point type.
        **neuron_model_kwargs: keywords of the neuron model.

    Raises:
        ValueError: `layers` is empty; and as `EvNN`.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax import FFEvNN
        >>> from eventax.neuron_models import LIF
        >>> net = FFEvNN(
        ...     [3, 2], in_size=1, neuron_model=LIF, max_solver_time=50.0, thresh=1.0,
        ...     tsyn=5.0, tmem=10.0, init_weights=8.0, init_bias=0.0,
        ... )
        >>> net.ttfs(jnp.array([[1.0]])).shape
        (2,)
    """

    def __init__(
        self,
        layers: Sequence[int],
        in_size: int,
        neuron_model: type[NeuronModel],
        max_solver_time: float,
        key: Any = None,
        init_delays: Any = None,
        dlim: Any = None,
        init_axonal_delays: Any = None,
        axonal_dlim: Any = None,
        buffer_capacity: int | None = None,
        solver_stepsize: float = 0.01,
        adjoint: Any = None,
        max_event_steps: int = 100,
        output_no_spike_value: float | None = None,
        root_finder: Any = None,
        stepsize_controller: Any = None,
        solver: Any = None,
        dtype: Any = jnp.float32,
        **neuron_model_kwargs: Any,
    ):
        if len(layers) == 0:
            raise ValueError(
                "`layers` must name at least one layer size, the last one is the "
                f"output; got {layers!r}."
            )
        sizes = [check_count("layers", size, 1) for size in layers]
        neurons = np.arange(sum(sizes))
        models = neuron_model_kwargs.get("neuron_models", ())
        if "neuron_type_ids" not in neuron_model_kwargs and len(models) == len(sizes):
            types = np.repeat(np.arange(len(sizes)), sizes)
            neuron_model_kwargs["neuron_type_ids"] = types
        super().__init__(
            neuron_model=neuron_model,
            n_neurons=len(neurons),
            max_solver_time=max_solver_time,
            in_size=in_size,
            key=key,
            wmask=layered(sizes, check_count("in_size", in_size, 0)),
            init_delays=init_delays,
            dlim=dlim,
            init_axonal_delays=init_axonal_delays,
            axonal_dlim=axonal_dlim,
            output_neurons=neurons >= len(neurons) - sizes[-1],
            input_neurons=neurons < sizes[0],
            buffer_capacity=buffer_capacity,
            max_event_steps=max_event_steps,
            solver_stepsize=solver_stepsize,
            output_no_spike_value=(
                jnp.inf if output_no_spike_value is None else output_no_spike_value
            ),
            root_finder=root_finder,
            stepsize_controller=stepsize_controller,
            solver=solver,
            adjoint=adjoint,
            dtype=dtype,
            **neuron_model_kwargs,
        )
