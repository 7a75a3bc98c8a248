"""Event-driven networks with arbitrary connectivity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from .. import _native as native
from .._arguments import as_float, check_count
from .._engine import (
    Readout,
    Run,
    Settings,
    first_spikes,
    run,
    spike_trains,
    spikes_in_order,
)
from .._flows import Clock, Events, Gauge, Highest, Integral
from .._neurons import NeuronModel
from .._neurons._base import check_model_class
from .._once import in_reverse
from .._static import Constant
from . import _checks as checks
from ._choices import choose_flow, choose_gradient
from ._compiled import compiled
from ._connectivity import chosen, connectivity, selection
from ._delays import draw_delays, not_negative, total_delays
from ._engines import Engine, check_engine, is_native, why_not_native
from ._inputs import as_spikes
from ._methods import method
from ._readouts import readout


class EvNN(eqx.Module):
    r"""A spiking network of any connectivity, simulated from event to event.

    N neurons listen to each other and to M input channels. Between two events (a
    spike, the arrival of an input, an observation) the state follows the neuron model's
    differential equation; at an event it jumps. Spike times are solved for, not rounded
    to a grid, and reverse-mode gradients pass exactly through every spike.

    All methods are pure and work under `jax.jit`, `jax.vmap` (over inputs, parameters,
    or both) and `jax.grad`, the input times being differentiable too. A method takes
    one sample; use `jax.vmap` for a batch, which is simulated as one loop. Times and
    time constants have one unit, which is yours to choose (the examples use ms).

    **How the state moves between events.** `LIF`, `PLIF` and `ALIF` in closed form.
    `QIF` and `PQIF` through a linear form of their equation in sixth-order Magnus
    steps, whose accuracy is their keyword `flow_tolerance`. Wrapped models as the model
    inside. Any
    other model, and a subclass that overrides `dynamics` or `spike_condition`, is
    integrated numerically; so is every model when `solver` is given. Numerical
    integration takes fixed steps `solver_stepsize` if only `solver` is given, and steps
    of controlled error with `stepsize_controller`. With neither, it is `diffrax.Tsit5`
    at a relative tolerance of 1e-6 in float32 and 1e-8 in float64.
    `stepsize_controller`, `solver_stepsize` and `root_finder` concern numerical
    integration only.

    **Events at one time** are all applied before time moves on: inputs in ascending
    order, then observations. Neurons that reach threshold at the same instant all fire
    at it, lower index first, unless an earlier one's spike takes a later one below
    threshold. A neuron put above threshold by a jump fires at once. A spike at exactly
    `max_solver_time` counts.

    **Gradients** of a neuron that does not fire are zero. Where a state only touches
    the threshold, the spike time has no derivative: the result is finite but means
    nothing.

    Arguments:
        neuron_model: a `NeuronModel` class, such as `LIF`. The network builds it as
            `neuron_model(key=..., n_neurons=N, in_size=M, wmask=..., dtype=...,
            **neuron_model_kwargs)`.
        n_neurons: N, at least 1.
        max_solver_time: time at which simulations end, not before `t0`.
        in_size: number of input channels M, 0 for a network without input.
        key: random key; needed where something is random.
        t0: time at which simulations start.
        wmask: (N+M, N) of 0 and 1, which connections exist. Rows are senders (neurons
            first, then inputs), columns receivers. By default every neuron feeds every
            neuron, itself included, and inputs feed `input_neurons`.
        init_delays: synaptic delays from sender to receiver, (N+M, N) or a scalar;
            default none. A trainable leaf `delays`. Negative values act as 0.
        dlim: instead of `init_delays`, draw them uniformly in [0, dlim].
        init_axonal_delays: delays of each sender, (N+M,) or a scalar, which add to the
            synaptic ones; default none. A trainable leaf `axonal_delays`.
        axonal_dlim: instead of them, draw them uniformly in [0, axonal_dlim].
        output_neurons: (N,) bool, the neurons that results show, default all.
        input_neurons: (N,) bool, the receivers of inputs in the default `wmask`,
            default all. Not used where `wmask` is given.
        buffer_capacity: spikes of neurons under way at once, delayed and yet to arrive
            somewhere, default 1000. More are an error that tells the number. A spike is
            one, however many neurons it will reach.
        max_event_steps: bound on events per sample: spikes of all neurons plus arriving
            inputs. Reaching it is an error. Steps of a solver do not count.
        solver_stepsize: fixed step of `solver`, or the first one under a controller.
        output_no_spike_value: written where an output neuron did not fire.
        root_finder: an `optimistix` root finder that places spikes within a step;
            by default a step is aimed to end at the spike.
        stepsize_controller: a `diffrax` controller, such as
            `diffrax.PIDController(rtol=1e-6, atol=1e-8)`. Needs a solver that
            estimates its error.
        solver: a `diffrax` solver, explicit or implicit; any model is then integrated.
        adjoint: None; `diffrax.RecursiveCheckpointAdjoint(checkpoints=n)`, which
            takes gradients through up to n² segments and holds 2n states for it; or
            `eventax.adjoint.EventPropAdjoint()`.
        dtype: `jnp.float32`, or `jnp.float64` where JAX's 64-bit mode is on.
        engine: "native" simulates in C++, many times faster and compiled at once:
            networks of `LI`, `LIF`, `PLIF`, `ALIF`, `QIF` and `PQIF`, wrapped or not,
            on a CPU. "jax" simulates anything anywhere. "auto" takes the native core
            where it can. Results are the same.
        **neuron_model_kwargs: keywords of the neuron model.

    Attributes:
        neuron_model: the model; its arrays are the trainable parameters. Replace them
            with `equinox.tree_at`.
        delays: trainable leaf (N+M, N), None if not used.
        axonal_delays: trainable leaf (N+M,), None if not used.
        n_neurons: as given, and static; so are `in_size`, `t0`, `max_solver_time`,
            `max_event_steps`, `dtype`, `output_no_spike_value` and `engine`.

    Raises:
        TypeError: a keyword is unknown, or a count, number, solver, controller or root
            finder is of the wrong type.
        ValueError: a shape is wrong, a mask holds other values than 0 and 1, a number
            is outside its range, `key` is missing where something is random, the
            controller needs an error estimate that the solver does not give, or float64
            is asked for while JAX's 64-bit mode is off.

    Example:
        An input spike makes neuron 0 fire, whose spike makes neuron 1 fire:

        >>> import jax.numpy as jnp
        >>> from eventax import EvNN
        >>> from eventax.neuron_models import LIF
        >>> chain = jnp.array([[0, 1], [0, 0], [1, 0]])  # from 0, from 1, from input
        >>> net = EvNN(
        ...     LIF, n_neurons=2, max_solver_time=50.0, in_size=1, wmask=chain,
        ...     thresh=1.0, tsyn=5.0, tmem=10.0, init_weights=8.0, init_bias=0.0,
        ... )
        >>> jnp.round(net.ttfs(jnp.array([[1.0]])), 2)
        Array([2.58, 4.17], dtype=float32)

        A batch of inputs, and the derivative of its spike times by the weight of the
        input:

        >>> import equinox as eqx
        >>> import jax
        >>> batch = jnp.array([[[1.0]], [[3.0]]])
        >>> total = lambda net: jnp.sum(jax.vmap(net.ttfs)(batch))
        >>> eqx.filter_grad(total)(net).neuron_model.weights[2, 0]
        Array(-1.04, dtype=float32)
    """

    neuron_model: NeuronModel
    delays: Float[Array, "senders neurons"] | None
    axonal_delays: Float[Array, " senders"] | None
    n_neurons: int = eqx.field(static=True)
    in_size: int = eqx.field(static=True)
    t0: float = eqx.field(static=True)
    max_solver_time: float = eqx.field(static=True)
    max_event_steps: int = eqx.field(static=True)
    dtype: Any = eqx.field(static=True)
    _fill: Constant = eqx.field(static=True)
    _wmask: Constant = eqx.field(static=True)
    _outputs: Constant = eqx.field(static=True)
    _inputs: Constant = eqx.field(static=True)
    _flow: Constant = eqx.field(static=True)
    _backward: Constant = eqx.field(static=True)
    _checkpoints: int | None = eqx.field(static=True)
    _capacity: int = eqx.field(static=True)
    engine: Engine = eqx.field(static=True)
    _why_not_native: str | None = eqx.field(static=True)

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
        engine: Engine = "auto",
        **neuron_model_kwargs: Any,
    ):
        self.n_neurons = check_count("n_neurons", n_neurons, 1)
        self.in_size = check_count("in_size", in_size, 0)
        self.max_event_steps = check_count("max_event_steps", max_event_steps, 1)
        self.t0 = checks.check_number("t0", t0)
        self.max_solver_time = checks.check_number("max_solver_time", max_solver_time)
        if self.max_solver_time < self.t0:
            raise ValueError(
                "`max_solver_time` is the time at which the simulation ends and must "
                f"not lie before `t0` = {self.t0}; got {max_solver_time!r}."
            )
        if buffer_capacity is None:
            buffer_capacity = 1000
        self._capacity = check_count("buffer_capacity", buffer_capacity, 1)
        fill = as_float("output_no_spike_value", output_no_spike_value)
        self._fill = Constant(fill)
        self.dtype = checks.check_dtype(dtype)
        delay_key, model_key = (None, None) if key is None else jax.random.split(key)
        senders = n_neurons + in_size
        self.delays, self.axonal_delays = draw_delays(
            delay_key,
            (senders, n_neurons),
            self.dtype,
            init_delays=init_delays,
            dlim=dlim,
            init_axonal_delays=init_axonal_delays,
            axonal_dlim=axonal_dlim,
        )
        self._outputs = Constant(selection("output_neurons", output_neurons, n_neurons))
        self._inputs = Constant(selection("input_neurons", input_neurons, n_neurons))
        mask = connectivity(wmask, n_neurons, in_size, self._inputs.value)
        self._wmask = Constant(mask)
        check_model_class("neuron_model", neuron_model)
        checks.check_keywords(type(self), neuron_model, neuron_model_kwargs)
        build = cast("Callable[..., NeuronModel]", neuron_model)
        self.neuron_model = build(
            key=model_key,
            n_neurons=n_neurons,
            in_size=in_size,
            wmask=jnp.asarray(mask, self.dtype),
            dtype=self.dtype,
            **neuron_model_kwargs,
        )
        checks.check_model(self.neuron_model, n_neurons, self.dtype)
        flow = choose_flow(
            self.neuron_model, solver, solver_stepsize, stepsize_controller, root_finder
        )
        self._flow = Constant(flow)
        self._checkpoints, backward = choose_gradient(adjoint, flow, self.dtype)
        self._backward = Constant(backward)
        self.engine = check_engine(engine)
        self._why_not_native = why_not_native(self.neuron_model, solver, adjoint)
        if self.engine == "native":
            is_native(self.engine, self._why_not_native)

    @property
    def output_no_spike_value(self) -> float:
        """What is written where an output neuron did not fire."""
        return self._fill.value

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

    def init_state(self) -> PyTree:
        """State of all neurons at t0: (N, S), or a pytree of arrays over neurons.

        In the neuron model's own form, not `observe`d.
        """
        return self.neuron_model.init_state(self.n_neurons)

    @method
    def ttfs(
        self, in_spike_times: Any, *, neurons: Any = None
    ) -> Float[Array, " outputs"]:
        """Time to first spike: when each output neuron fires first.

        The simulation stops once all of them have fired.

        Arguments:
            in_spike_times: (M, K) times of input spikes, up to K per channel in any
                order, padded with `inf`; or `Spikes`, a list; or `PackedSpikes`; None
                for no input.
            neurons: other neurons to show instead of the outputs: different whole
                numbers in 0..N-1, or (N,) bool; each choice is a program of its own.

        Returns:
            (n_out,) times in the order of `output_indices` or `neurons`;
            `output_no_spike_value` where one does not fire until `max_solver_time`.

        Raises:
            ValueError: the shape is wrong, or `neurons` are none of the network.
            EquinoxRuntimeError: a time is NaN or before `t0`, or there are more than
                `max_event_steps` events.

        Example:
            >>> import jax.numpy as jnp
            >>> from eventax import EvNN
            >>> from eventax.neuron_models import LIF
            >>> net = EvNN(
            ...     LIF, 1, 50.0, in_size=2, wmask=[[0], [1], [1]], thresh=1.0,
            ...     tsyn=5.0, tmem=10.0, init_weights=2.5, init_bias=0.0,
            ...     output_no_spike_value=-1.0,
            ... )
            >>> net.ttfs(jnp.array([[1.0], [3.0]]))
            Array([5.44], dtype=float32)
            >>> net.ttfs(jnp.array([[1.0], [jnp.inf]]))  # one input is not enough
            Array([-1.], dtype=float32)
        """
        shown = self._shown(neurons)
        return self._ttfs(self._inputs_at(in_spike_times), shown)

    @method
    def spikes_until_t(
        self,
        in_spike_times: Any,
        final_time: Any,
        max_spikes: int = 100,
        *,
        neurons: Any = None,
    ) -> Float[Array, "outputs max_spikes"]:
        """The first `max_spikes` spikes of each output neuron until `final_time`.

        Arguments:
            in_spike_times: (M, K) times of input spikes, padded with `inf`, or
                `Spikes`; None for no input.
            final_time: scalar between `t0` and `max_solver_time`; a spike at exactly
                this time counts.
            max_spikes: columns of the result. Further spikes of a neuron are left out,
                which is not an error.
            neurons: other neurons to show instead of the outputs, as in `ttfs`.

        Returns:
            (n_out, max_spikes) ascending times, filled with `output_no_spike_value`.

        Raises:
            ValueError: a shape is wrong, or `max_spikes` is negative.
            EquinoxRuntimeError: as `ttfs`, or `final_time` is out of range.

        Example:
            >>> import jax.numpy as jnp
            >>> from eventax import EvNN
            >>> from eventax.neuron_models import LIF
            >>> net = EvNN(  # a neuron that its bias current drives
            ...     LIF, 1, 50.0, in_size=0, thresh=1.0, tsyn=5.0, tmem=10.0,
            ...     init_weights=0.0, init_bias=1.5,
            ... )
            >>> net.spikes_until_t(None, 30.0, max_spikes=4)
            Array([[10.99, 21.97,  inf,  inf]], dtype=float32)
        """
        check_count("max_spikes", max_spikes, 0)
        end = Clock.of(final_time, self.dtype)
        if (shape := end.time.shape) != ():
            raise ValueError(f"`final_time` must be a scalar; got shape {shape}.")
        inputs, shown = self._inputs_at(in_spike_times), self._shown(neurons)
        return self._spikes_until_t(inputs, end, max_spikes, shown)

    @method
    def state_at_t(
        self, in_spike_times: Any, comp_times: Any, *, neurons: Any = None
    ) -> Float[Array, "outputs times channels"]:
        """The observed state of the output neurons at given times.

        Right-continuous: every event at such a time has been applied.

        Arguments:
            in_spike_times: (M, K) times of input spikes, padded with `inf`, or
                `Spikes`; None for no input.
            comp_times: times between `t0` and `max_solver_time`, flattened; they need
                not be sorted.
            neurons: other neurons to show instead of the outputs, as in `ttfs`.

        Returns:
            (n_out, n_times, channels), what the model's `observe` shows, in the order
            in which the times were given.

        Raises:
            ValueError: the shape of `in_spike_times` is wrong.
            EquinoxRuntimeError: as `ttfs`, or a time of `comp_times` is out of range.

        Example:
            >>> import jax.numpy as jnp
            >>> from eventax import EvNN
            >>> from eventax.neuron_models import LIF
            >>> net = EvNN(
            ...     LIF, 1, 50.0, in_size=1, wmask=[[0], [1]], thresh=1.0,
            ...     tsyn=5.0, tmem=10.0, init_weights=2.0, init_bias=0.0,
            ... )
            >>> y = net.state_at_t(jnp.array([[1.0]]), [1.0, 6.0])
            >>> jnp.round(y, 2)  # (v, i) at both times
            Array([[[0.  , 2.  ],
                    [0.48, 0.74]]], dtype=float32)
        """
        times = jax.tree.map(jnp.ravel, Clock.of(comp_times, self.dtype))
        inputs, shown = self._inputs_at(in_spike_times), self._shown(neurons)
        return self._state_at_t(inputs, times, shown)

    @method
    def record(
        self, in_spike_times: Any
    ) -> tuple[Float[Array, " events"], Int[Array, " events"], Int[Array, " events"]]:
        """Every spike of every neuron until `max_solver_time`, in order of time.

        Spikes at the same time are in the order in which they were applied.

        Arguments:
            in_spike_times: (M, K) times of input spikes, padded with `inf`, or
                `Spikes`; None for no input.

        Returns:
            Three arrays of shape (max_event_steps,): times, neurons, and the number of
            neurons' spikes under way then, this one included (0 without delays). After
            the last spike they are filled with `output_no_spike_value`, -1 and -1.

        Raises:
            ValueError: the shape is wrong.
            EquinoxRuntimeError: as `ttfs`.

        Example:
            >>> import jax.numpy as jnp
            >>> from eventax import FFEvNN
            >>> from eventax.neuron_models import LIF
            >>> net = FFEvNN(
            ...     [1, 1], 1, LIF, 50.0, thresh=1.0, tsyn=5.0, tmem=10.0,
            ...     init_weights=5.0, init_bias=0.0, max_event_steps=4,
            ... )
            >>> times, neurons, _ = net.record(jnp.array([[1.0]]))
            >>> jnp.round(times, 2)
            Array([4.24, 7.47,  inf,  inf], dtype=float32)
            >>> neurons
            Array([ 0,  1, -1, -1], dtype=int32)
        """
        return self._record(self._inputs_at(in_spike_times))

    @method
    def max_over_time(
        self,
        in_spike_times: Any,
        *,
        start: Any = None,
        end: Any = None,
        neurons: Any = None,
    ) -> Float[Array, " outputs"]:
        """The highest potential of each output neuron from `start` to `end`.

        The maximum is found in closed form, between events too. Its derivative is that
        of the potential at the time of the maximum, which moves with `start` or `end`
        where it is one of them. Potential means the first state channel. What a spike
        resets counts too: of `LIF` that is the threshold, of `ALIF` the value after the
        jump that made it fire.

        Arguments:
            in_spike_times: (M, K) times of input spikes, padded with `inf`, or
                `Spikes`; None for no input.
            start: scalar, the first time that counts, default `t0`. Every event at this
                time has been applied. Differentiable, and a number for each sample
                under `jax.vmap`.
            end: scalar, the last time that counts, default `max_solver_time`; not
                before `start`. The simulation stops there.
            neurons: other neurons to show instead of the outputs, as in `ttfs`.

        Returns:
            (n_out,) potentials.

        Raises:
            ValueError: a shape is wrong, or output neurons are not all of one model in
                closed form (`LI`, `LIF`, `PLIF`, `ALIF`, in wrappers or not).
            EquinoxRuntimeError: as `record`; or `start` or `end` is outside of the
                simulation, or `start` after `end`.

        Example:
            >>> import jax.numpy as jnp
            >>> from eventax import FFEvNN
            >>> from eventax.neuron_models import LI
            >>> net = FFEvNN(
            ...     [1], 1, LI, 50.0, tsyn=5.0, tmem=10.0, init_weights=2.0,
            ...     init_bias=0.0,
            ... )
            >>> net.max_over_time(jnp.array([[1.0]]))  # 2 / 4, when i has halved twice
            Array([0.5], dtype=float32)
            >>> net.max_over_time(jnp.array([[1.0]]), end=4.0)  # it is still rising
            Array([0.3841], dtype=float32)
        """
        inputs, shown = self._inputs_at(in_spike_times), self._shown(neurons)
        return self._gauged(inputs, Highest(), self._window(start, end), shown)

    @method
    def integral(
        self,
        in_spike_times: Any,
        decay: float | None = None,
        *,
        start: Any = None,
        end: Any = None,
        neurons: Any = None,
    ) -> Float[Array, " outputs"]:
        r"""The integral of each output neuron's potential from `start` to `end`.

        $$\int_{\mathtt{start}}^{\mathtt{end}} v(t)\, e^{-t/\mathtt{decay}}\, dt$$

        exactly, in closed form; without `decay` the weight is 1. With a window the
        weight is still 1 at t = 0, not at `start`.

        Arguments:
            in_spike_times: (M, K) times of input spikes, padded with `inf`, or
                `Spikes`; None for no input.
            decay: time constant of the weight, positive; in the user's time unit.
            start: as in `max_over_time`.
            end: as in `max_over_time`.
            neurons: other neurons to show instead of the outputs, as in `ttfs`.

        Returns:
            (n_out,) potential times time.

        Raises:
            ValueError: as `max_over_time`, or `decay` is not positive.
            EquinoxRuntimeError: as `max_over_time`.

        Example:
            >>> import jax.numpy as jnp
            >>> from eventax import FFEvNN
            >>> from eventax.neuron_models import LI
            >>> net = FFEvNN(
            ...     [1], 1, LI, 500.0, tsyn=5.0, tmem=10.0, init_weights=2.0,
            ...     init_bias=0.0,
            ... )
            >>> net.integral(jnp.array([[1.0]]))  # weight times tsyn
            Array([10.], dtype=float32)

            The mean potential of each sample over a window of its own:

            >>> import jax
            >>> ends = jnp.array([10.0, 20.0])
            >>> x = jnp.array([[[1.0]], [[8.0]]])
            >>> area = jax.vmap(lambda x, end: net.integral(x, end=end))(x, ends)
            >>> jnp.round(area / ends[:, None], 3)
            Array([[0.352],
                   [0.244]], dtype=float32)
        """
        rate = 0.0 if decay is None else 1 / checks.check_positive("decay", decay)
        inputs, shown = self._inputs_at(in_spike_times), self._shown(neurons)
        return self._gauged(inputs, Integral(rate), self._window(start, end), shown)

    # Values become arrays before `jit`: it would compile again for every new number.

    def _inputs_at(self, in_spike_times: Any) -> Events:
        return as_spikes("in_spike_times", in_spike_times, self.in_size, self.dtype)

    def _window(self, start: Any, end: Any) -> Clock | None:
        """Start and end as two observations; None without a window."""
        if start is None and end is None:
            return None
        times = []
        for name, value, default in (
            ("start", start, self.t0),
            ("end", end, self.max_solver_time),
        ):
            time = Clock.of(default if value is None else value, self.dtype)
            if time.time.shape != ():
                raise ValueError(
                    f"`{name}` must be a scalar; got shape {time.time.shape}. Use "
                    "`jax.vmap` for a batch."
                )
            times.append(time)
        return jax.tree.map(lambda a, b: jnp.stack([a, b]), *times)

    def _shown(self, neurons: Any) -> Constant:
        """The neurons that a result is about; equal ones are one program."""
        return Constant(
            self.output_indices if neurons is None else chosen(neurons, self.n_neurons)
        )

    @compiled
    def _ttfs(self, inputs: Events, shown: Constant) -> Array:
        if self._is_native():
            return self._filled(self._ask(inputs, native.FIRST, shown).times[:, 0])
        return self._ttfs_by_jax(inputs, shown.value)

    @compiled
    def _spikes_until_t(
        self, inputs: Events, end: Clock, max_spikes: int, shown: Constant
    ) -> Array:
        if self._is_native():
            wishes = {"t_end": end, "max_spikes": max_spikes}
            found = self._ask(inputs, native.TRAINS, shown, **wishes)
            return self._filled(found.times)
        return self._spikes_until_t_by_jax(inputs, end, max_spikes, shown.value)

    @compiled
    def _state_at_t(self, inputs: Events, times: Clock, shown: Constant) -> Array:
        if self._is_native():
            found = self._ask(inputs, native.STATES, shown, observe_at=times)
            seen = native.observed(self._settings(), self.neuron_model, found.states)
            return jnp.swapaxes(seen[:, shown.value], 0, 1)
        return self._state_at_t_by_jax(inputs, times, shown.value)

    @compiled
    def _record(self, inputs: Events) -> tuple[Array, Array, Array]:
        if self._is_native():
            found = self._ask(inputs, native.RECORD, Constant(self.output_indices))
            return self._filled(found.times), found.neurons, found.pending
        return self._record_by_jax(inputs)

    @compiled
    def _gauged(
        self, inputs: Events, gauge: Gauge, window: Clock | None, shown: Constant
    ) -> Array:
        asked = readout(self.neuron_model, self.n_neurons, shown.value, gauge)
        if not self._is_native():
            return self._gauged_by_jax(inputs, asked, window, shown.value)
        wishes: dict[str, Any] = {"reading": native.HIGHEST}
        if isinstance(gauge, Integral):
            wishes = {"reading": native.INTEGRAL, "rate": gauge.rate}
        if window is not None:
            wishes |= {"observe_at": window, "t_end": window.at(1)}
        return self._ask(inputs, native.READING, shown, **wishes).readouts

    # The same by JAX.

    def _ttfs_by_jax(self, inputs: Events, shown: np.ndarray) -> Array:
        done = self._run(inputs, awaited=np.isin(np.arange(self.n_neurons), shown))
        return first_spikes(done, _ids(shown), self.output_no_spike_value)

    def _spikes_until_t_by_jax(
        self, inputs: Events, end: Clock, max_spikes: int, shown: np.ndarray
    ) -> Array:
        done = self._run(inputs, t_end=end)
        fill = self.output_no_spike_value
        return spike_trains(done, self.n_neurons, _ids(shown), max_spikes, fill)

    def _state_at_t_by_jax(
        self, inputs: Events, times: Clock, shown: np.ndarray
    ) -> Array:
        done = self._run(inputs, observe_at=times)
        seen = jax.vmap(self.neuron_model.observe)(done.states)
        return jnp.swapaxes(seen[:, shown], 0, 1)

    def _record_by_jax(self, inputs: Events) -> tuple[Array, Array, Array]:
        done = self._run(inputs)
        times, neurons = spikes_in_order(done, self.output_no_spike_value)
        return times, neurons, done.pending

    def _gauged_by_jax(
        self, inputs: Events, asked: Readout, window: Clock | None, shown: np.ndarray
    ) -> Array:
        if window is None:
            # Of the whole way: its end is an event.
            end = Clock.of([self.max_solver_time], self.dtype)
            (values,) = self._run(inputs, observe_at=end, readout=asked).numbers
            return values
        asked = asked._replace(window=True)
        (values,) = self._run(
            inputs, observe_at=window, t_end=window.at(1), readout=asked
        ).numbers
        return values

    # By the native core.

    # Whether `max_event_steps` counts arrivals of one spike after different delays.
    _counts_deliveries: ClassVar[bool] = True

    def _is_native(self) -> bool:
        return is_native(self.engine, self._why_not_native)

    def _ask(
        self, inputs: Events, question: int, shown: Constant, **wishes: Any
    ) -> native.Answer:
        ask = {
            k: wishes.pop(k) for k in ("max_spikes", "reading", "rate") if k in wishes
        }
        model, inputs, synaptic, axonal = self._differentiable(inputs)
        return native.ask_core(
            self._settings(),
            model,
            inputs,
            native.Delays(
                None if synaptic is None else not_negative(synaptic),
                None if axonal is None else not_negative(axonal),
            ),
            native.Ask(question, shown.value, **ask),
            counts_deliveries=self._counts_deliveries,
            **wishes,
        )

    def _filled(self, times: Array) -> Array:
        return jnp.where(times < jnp.inf, times, self.output_no_spike_value)

    def _settings(self) -> Settings:
        return Settings(
            flow=self._flow.value,
            backward=self._backward.value,
            wmask=self._wmask.value,
            t0=self.t0,
            max_time=self.max_solver_time,
            max_events=self.max_event_steps,
            capacity=self._capacity,
            checkpoints=self._checkpoints,
        )

    def _run(self, inputs: Events, **wishes: Any) -> Run:
        model, inputs, synaptic, axonal = self._differentiable(inputs)
        delays = total_delays(synaptic, axonal, self.n_neurons)
        return run(self._settings(), model, inputs, delays, **wishes)

    def _differentiable(self, inputs: Events) -> tuple[Any, Any, Any, Any]:
        """All that a simulation is a differentiable function of."""
        return in_reverse((self.neuron_model, inputs, self.delays, self.axonal_delays))


def _ids(neurons: np.ndarray) -> Int[Array, " chosen"]:
    return jnp.asarray(neurons, jnp.int32)
