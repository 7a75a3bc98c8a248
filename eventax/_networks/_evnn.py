"""Event-driven networks with arbitrary connectivity."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree, Shaped

from .._engine import Run, Settings, first_spikes, run, spike_trains, spikes_in_order
from .._neurons import NeuronModel
from .._static import Constant
from . import _checks as checks
from ._choices import choose_checkpoints, choose_flow
from ._connectivity import connectivity, selection


class EvNN(eqx.Module):
    """placeholder doc"""

    neuron_model: NeuronModel
    delays: Float[Array, "senders neurons"] | None
    axonal_delays: Float[Array, " senders"] | None
    n_neurons: int = eqx.field(static=True)
    in_size: int = eqx.field(static=True)
    t0: float = eqx.field(static=True)
    max_solver_time: float = eqx.field(static=True)
    max_event_steps: int = eqx.field(static=True)
    output_no_spike_value: float = eqx.field(static=True)
    dtype: Any = eqx.field(static=True)
    _wmask: Constant = eqx.field(static=True)
    _outputs: Constant = eqx.field(static=True)
    _inputs: Constant = eqx.field(static=True)
    _flow: Constant = eqx.field(static=True)
    _checkpoints: tuple[int, int] = eqx.field(static=True)

    def __init__(
        self,
        neuron_model: type[NeuronModel],
        n_neurons: int,
        max_solver_time: float,
        in_size: int,
        key: Any = None,
        t0: float = 0.0,
        wmask: Any = None,
        init_delays: Any = None,
        dlim: Any = None,
        init_axonal_delays: Any = None,
        axonal_dlim: Any = None,
        output_neurons: Any = None,
        input_neurons: Any = None,
        buffer_capacity: int | None = None,
        max_event_steps: int = 1000,
        solver_stepsize: float = 0.001,
        output_no_spike_value: float = jnp.inf,
        root_finder: Any = None,
        stepsize_controller: Any = None,
        solver: Any = None,
        adjoint: Any = None,
        dtype: Any = jnp.float32,
        **neuron_model_kwargs: Any,
    ):
        self.n_neurons = checks.check_count("n_neurons", n_neurons, 1)
        self.in_size = checks.check_count("in_size", in_size, 0)
        self.max_event_steps = checks.check_count("max_event_steps", max_event_steps, 1)
        self.t0 = checks.check_number("t0", t0)
        self.max_solver_time = checks.check_number("max_solver_time", max_solver_time)
        if self.max_solver_time < self.t0:
            raise ValueError(
                "`max_solver_time` is the time at which the simulation ends and must "
                f"not lie before `t0` = {self.t0}; got {max_solver_time!r}."
            )
        if buffer_capacity is not None:
            checks.check_count("buffer_capacity", buffer_capacity, 1)
        self.output_no_spike_value = checks.check_fill(
            "output_no_spike_value", output_no_spike_value
        )
        self.dtype = checks.check_dtype(dtype)
        for name, value in (
            ("init_delays", init_delays),
            ("dlim", dlim),
            ("init_axonal_delays", init_axonal_delays),
            ("axonal_dlim", axonal_dlim),
        ):
            if value is not None:
                raise NotImplementedError(
                    f"`{name}`: delays are not supported yet; got {value!r}. Leave it "
                    "None."
                )
        self.delays = self.axonal_delays = None
        self._outputs = Constant(selection("output_neurons", output_neurons, n_neurons))
        self._inputs = Constant(selection("input_neurons", input_neurons, n_neurons))
        mask = connectivity(wmask, n_neurons, in_size, self._inputs.value)
        self._wmask = Constant(mask)
        checks.check_keywords(type(self), neuron_model, neuron_model_kwargs)
        if key is not None:
            key, model_key = jax.random.split(key)
        else:
            model_key = None
        self.neuron_model = neuron_model(  # pyright: ignore[reportCallIssue]
            key=model_key,
            n_neurons=n_neurons,
            in_size=in_size,
            wmask=jnp.asarray(mask, self.dtype),
            dtype=self.dtype,
            **neuron_model_kwargs,
        )
        checks.check_model(self.neuron_model, n_neurons, in_size)
        flow = choose_flow(
            self.neuron_model, solver, solver_stepsize, stepsize_controller, root_finder
        )
        self._flow = Constant(flow)
        self._checkpoints = choose_checkpoints(adjoint)

    @property
    def use_delays(self) -> bool:
        """Whether synapses have delays."""
        return self.delays is not None

    @property
    def use_axonal_delays(self) -> bool:
        """Whether senders have delays."""
        return self.axonal_delays is not None

    @property
    def output_indices(self) -> Int[np.ndarray, " outputs"]:
        """Output neurons in ascending order."""
        return np.flatnonzero(self._outputs.value)

    @property
    def input_indices(self) -> Int[np.ndarray, " input_neurons"]:
        """Input neurons in ascending order."""
        return np.flatnonzero(self._inputs.value)

    def get_wmask(self) -> Float[Array, "senders neurons"]:
        """The dense (N+M, N) connectivity mask of 0 and 1, rows are senders."""
        return jnp.asarray(self._wmask.value, self.dtype)

    @eqx.filter_jit
    def init_state(self) -> PyTree[Shaped[Array, "neurons ..."]]:
        """State of all neurons at t0."""
        return self.neuron_model.init_state(self.n_neurons)

    @eqx.filter_jit
    def ttfs(self, in_spike_times: Any) -> Float[Array, " outputs"]:
        done = self._run(in_spike_times, awaited=self._outputs.value)
        return first_spikes(done, self.output_indices, self.output_no_spike_value)

    @eqx.filter_jit
    def spikes_until_t(
        self, in_spike_times: Any, final_time: Any, max_spikes: int = 100
    ) -> Float[Array, "outputs max_spikes"]:
        checks.check_count("max_spikes", max_spikes, 0)
        end = jnp.asarray(final_time, self.dtype)
        if end.shape != ():
            raise ValueError(f"`final_time` must be a scalar; got shape {end.shape}.")
        done = self._run(in_spike_times, t_end=end)
        return spike_trains(
            done, self.output_indices, max_spikes, self.output_no_spike_value
        )

    @eqx.filter_jit
    def state_at_t(
        self, in_spike_times: Any, comp_times: Any
    ) -> Float[Array, "outputs times channels"]:
        times = jnp.asarray(comp_times, self.dtype).reshape(-1)
        done = self._run(in_spike_times, observe_at=times)
        seen = jax.vmap(self.neuron_model.observe)(done.states)
        return jnp.swapaxes(seen[:, self.output_indices], 0, 1)

    @eqx.filter_jit
    def record(
        self, in_spike_times: Any
    ) -> tuple[
        Float[Array, " events"], Int[Array, " events"], Int[Array, " events"]
    ]:
        done = self._run(in_spike_times)
        times, neurons = spikes_in_order(done, self.output_no_spike_value)
        return times, neurons, jnp.where(neurons >= 0, 0, -1)

    def _run(self, in_spike_times: Any, **wishes: Any) -> Run:
        chunk_length, n_chunks = self._checkpoints
        settings = Settings(
            flow=self._flow.value,
            wmask=self._wmask.value,
            t0=self.t0,
            max_time=self.max_solver_time,
            max_events=self.max_event_steps,
            chunk_length=chunk_length,
            n_chunks=n_chunks,
        )
        times = checks.check_times(
            "in_spike_times", in_spike_times, self.in_size, self.dtype
        )
        return run(settings, self.neuron_model, times, **wishes)
