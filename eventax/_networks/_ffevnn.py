"""Feed-forward networks of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._arguments import check_count
from .._engine import Readout, spike_trains, spikes_in_order
from .._flows import Clock, Events
from .._layers import Layered, run_layers
from .._neurons import NeuronModel
from .._static import Constant
from ._choices import choose_flow
from ._connectivity import layered
from ._delays import not_negative
from ._engines import Engine
from ._evnn import EvNN
from ._layered import plan_layers


class FFEvNN(EvNN):
    """Feed-forward network: layer l feeds layer l+1 only.

    The first layer takes the input, the last one is the output. Neurons are numbered
    layer by layer. Everything else is that of [`EvNN`][eventax.EvNN], with the same
    methods.

    Layers in closed form (`LI`, `LIF`, `PLIF`, `ALIF`, also in `AMOS` or `Refractory`;
    one model per layer, no `solver` and no `adjoint`) are simulated one after another,
    each neuron on a clock of its own, which is much faster than event by event. For
    `ttfs`, events after the last first spike of the outputs do not count.

    Arguments:
        layers: sizes of the layers, from the first hidden one to the output. The
            network keeps them as `layers`, a tuple.
        in_size: number of input channels M.
        neuron_model: a `NeuronModel` class.
        max_solver_time: time at which simulations end.
        key: random key; needed where something is random.
        init_delays, dlim, init_axonal_delays, axonal_dlim: as in `EvNN`.
        buffer_capacity: as in `EvNN`.
        solver_stepsize, root_finder, stepsize_controller, solver: as in `EvNN`.
        adjoint: as in `EvNN`.
        max_event_steps: bound on events (spikes, arrivals) per sample, default 100 (and
            1000 in `EvNN`): what 0.1.0 has.
        output_no_spike_value: written where an output neuron did not fire, default inf.
        dtype: floating-point type.
        engine: as in `EvNN`.
        output_neurons: (N,) bool, the neurons that results show, default the last
            layer.
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

    layers: tuple[int, ...] = eqx.field(static=True)
    _plans: Constant = eqx.field(static=True)

    # Layers count an input once, and each spike.
    _counts_deliveries: ClassVar[bool] = False

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
        engine: Engine = "auto",
        output_neurons: Any = None,
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
        if output_neurons is None:
            output_neurons = neurons >= len(neurons) - sizes[-1]
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
            output_neurons=output_neurons,
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
            engine=engine,
            **neuron_model_kwargs,
        )
        plans = None
        if adjoint is None:
            plans = plan_layers(
                self.neuron_model,
                sizes,
                in_size,
                lambda part: choose_flow(
                    part, solver, solver_stepsize, stepsize_controller, root_finder
                ),
            )
        self.layers = tuple(sizes)
        self._plans = Constant(plans)

    # Layer by layer where that is possible; the same results as by the general engine.

    def _ttfs_by_jax(self, inputs: Events, shown: np.ndarray) -> Array:
        plans, which = self._plans_to(shown)
        # The other neurons of a layer are not to be waited for.
        if plans is None or shown.size < plans[-1].size:
            return super()._ttfs_by_jax(inputs, shown)
        first = self._run_layers(inputs, plans, once=True).first[which]
        return jnp.where(first < jnp.inf, first, self.output_no_spike_value)

    def _spikes_until_t_by_jax(
        self, inputs: Events, end: Clock, max_spikes: int, shown: np.ndarray
    ) -> Array:
        plans, _ = self._plans_to(shown)
        if plans is None:
            return super()._spikes_until_t_by_jax(inputs, end, max_spikes, shown)
        done = self._run_layers(inputs, plans, t_end=end).run
        fill, ids = self.output_no_spike_value, jnp.asarray(shown, jnp.int32)
        return spike_trains(done, self.n_neurons, ids, max_spikes, fill)

    def _state_at_t_by_jax(
        self, inputs: Events, times: Clock, shown: np.ndarray
    ) -> Array:
        plans, which = self._plans_to(shown)
        if plans is None:
            return super()._state_at_t_by_jax(inputs, times, shown)
        done = self._run_layers(inputs, plans, observe_at=times).run
        model = self.neuron_model._part(self.n_neurons, plans[-1].neurons)
        seen = jax.vmap(model.observe)(done.states)
        return jnp.swapaxes(seen[:, which], 0, 1)

    def _record_by_jax(self, inputs: Events) -> tuple[Array, Array, Array]:
        plans = self._plans.value
        # With delays the numbers of pending spikes are asked for too.
        if plans is None or self.use_delays or self.use_axonal_delays:
            return super()._record_by_jax(inputs)
        done = self._run_layers(inputs, plans, record=True).run
        times, neurons = spikes_in_order(done, self.output_no_spike_value)
        return times, neurons, done.pending

    def _gauged_by_jax(
        self, inputs: Events, asked: Readout, window: Clock | None, shown: np.ndarray
    ) -> Array:
        plans, which = self._plans_to(shown)
        if plans is None:
            return super()._gauged_by_jax(inputs, asked, window, shown)
        wishes: dict[str, Any] = {"gauges": asked.gauges}
        if window is not None:
            wishes |= {"observe_at": window, "t_end": window.at(1), "window": True}
        return self._run_layers(inputs, plans, **wishes).gauges[0][which]

    def _plans_to(self, shown: np.ndarray) -> tuple[Any, np.ndarray]:
        """Plans up to the layer of these neurons, and their numbers in it.

        None where they are of several layers, or layers are not run by themselves.
        """
        for k, plan in enumerate(self._plans.value or ()):
            within = shown - plan.first
            if np.all((within >= 0) & (within < plan.size)):
                return self._plans.value[: k + 1], within
        return None, shown

    def _run_layers(self, inputs: Events, plans: Any, **wishes: Any) -> Layered:
        model, inputs, *delays = self._differentiable(inputs)
        synaptic, axonal = (None if d is None else not_negative(d) for d in delays)
        delays = synaptic, axonal
        return run_layers(self._settings(), plans, model, inputs, delays, **wishes)
