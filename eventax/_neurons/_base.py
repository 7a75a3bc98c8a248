"""The abstract neuron: all that the engine knows of any model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree, Shaped

from .._static import Constant

# What a user writes, and what built-in models derive from their equations.
PUBLIC = (
    "init_state",
    "dynamics",
    "spike_condition",
    "input_spike",
    "reset_spiked",
)

if TYPE_CHECKING:
    from .._flows import AbstractFlow

State = PyTree[Shaped[Array, " neurons ..."]]


class NeuronModel(eqx.Module):
    """A population of neurons: an ODE, a threshold and a reset.

    Subclass it and write the methods that your neuron needs; the network does the
    rest. The state `y` is an array of shape (N, S), or any pytree of arrays whose
    leading axis is N, where N is the number of neurons and S the number of state
    channels. Every array attribute is a trainable parameter; mark anything else with
    `equinox.field(static=True)`.

    A network builds the model itself, as
    `Model(key=..., n_neurons=N, in_size=M, wmask=..., dtype=..., **keywords)`.

    Arguments:
        dtype: floating-point type of state and parameters, default `jnp.float32`.

    Example:
        ```python
        class Leaky(NeuronModel):  # v' = -v / 10 + 0.2, fires at 1, back to 0
            weights: Array

            def __init__(self, key, n_neurons, in_size, wmask, dtype=jnp.float32):
                super().__init__(dtype=dtype)
                self.weights = 0.5 * jnp.asarray(wmask, dtype)

            def init_state(self, n_neurons):
                return jnp.zeros((n_neurons, 1), self.dtype)

            def dynamics(self, t, y, args):
                return -y / 10 + 0.2

            def spike_condition(self, t, y, **kwargs):
                return y[:, 0] - 1.0

            def input_spike(self, y, from_idx, to_idx, valid_mask):
                w = jnp.where(valid_mask, self.weights[from_idx, to_idx], 0.0)
                return y.at[to_idx, 0].add(w)

            def reset_spiked(self, y, spiked_mask):
                return jnp.where(spiked_mask[:, None], 0.0, y)
        ```
    """

    dtype: Any = eqx.field(static=True)

    _by_neuron: ClassVar[bool] = True
    """Whether every array of the state has the neurons as its leading axis."""

    independent: ClassVar[bool] = False
    """Whether neurons do not depend on each other but for the spikes they receive.

    A class that says so promises that motion, threshold, reset and arrival of a neuron
    read its own state and its own parameters only, and names in `per_neuron` those of
    which each neuron has its own. Feed-forward networks of it are simulated layer by
    layer. What a class says does not hold for a subclass that writes one of its methods
    anew.
    """

    per_neuron: ClassVar[tuple[str, ...]] = ()
    """Attributes of this class, arrays or static ones, with a value for each neuron.

    Their last axis is the neurons; where it has another length, as in shape (), one
    value is for all. A subclass names those that it adds.
    """

    _drives: ClassVar[tuple[str, ...]] = ("ic",)
    """Parameters (N,) without which a neuron is at rest."""

    def __init__(self, dtype: Any = jnp.float32):
        self.dtype = np.dtype(dtype)

    # What a user writes ---------------------------------------------------------

    def init_state(self, n_neurons: int) -> State:
        """State at t0: an array (N, S) or a pytree of arrays with leading axis N."""
        raise NotImplementedError(_missing(self, "init_state"))

    def dynamics(self, t: Float[Array, ""], y: State, args: Any) -> State:
        """Time derivative dy/dt, of the structure of `y`. The engine's args is None."""
        raise NotImplementedError(_missing(self, "dynamics"))

    def spike_condition(
        self, t: Float[Array, ""], y: State, **kwargs: Any
    ) -> Float[Array, " neurons"]:
        """Signed distance to threshold; a neuron fires when it rises through 0."""
        raise NotImplementedError(_missing(self, "spike_condition"))

    def input_spike(
        self,
        y: State,
        from_idx: Int[Array, ""] | int,
        to_idx: Int[Array, "*receivers"] | int,
        valid_mask: Bool[Array, "*receivers"] | bool,
    ) -> State:
        """State after a spike of sender `from_idx` arrived at neurons `to_idx`.

        Senders are numbered neurons first, then inputs. Entries whose `valid_mask` is
        False must not change the state; they may point anywhere.
        """
        raise NotImplementedError(_missing(self, "input_spike"))

    def reset_spiked(self, y: State, spiked_mask: Bool[Array, " neurons"]) -> State:
        """State after the neurons in `spiked_mask` fired."""
        raise NotImplementedError(_missing(self, "reset_spiked"))

    def observe(self, y: State) -> Float[Array, "neurons channels"]:
        """What `state_at_t` shows of a state, default the state itself."""
        return y

    def __call__(self, t: Float[Array, ""], y: State, args: Any) -> State:
        """The same as `dynamics`."""
        return self.dynamics(t, y, args)

    # What the engine asks, derived from the above --------------------------------
    # A model may hold its state in another form while the engine runs (`_unpack`) and
    # answer the questions below in that form.

    def _is_independent(self, chosen: slice | np.ndarray = slice(0, None)) -> bool:
        """Whether the chosen neurons are said not to depend on any other, default all.

        The class that wrote the equations says so, by `independent`.
        """
        for cls in type(self).__mro__:
            if "independent" in vars(cls):
                return bool(vars(cls)["independent"])
            if any(name in vars(cls) for name in PUBLIC):
                return False
        return False

    def _kinds(self, n_neurons: int) -> np.ndarray:
        """A number for each neuron, the same for those of one model."""
        return np.zeros((n_neurons,), int)

    def flow(self) -> AbstractFlow | None:
        """How the state moves between events; None means by numerical integration."""
        return None

    def _padded_size(self, n_neurons: int) -> int:
        """The number of neurons to simulate where extra ones make it faster."""
        return n_neurons

    def _padded(self, n_neurons: int, width: int) -> NeuronModel:
        """The same population with neurons added that nobody hears."""
        extra = (0, width - n_neurons)

        def pad(name: str, x: Any) -> Any:
            if isinstance(x, np.ndarray):
                return np.pad(x, extra, mode="edge")
            if x.ndim > 1:
                return jnp.pad(x, [*[(0, 0)] * (x.ndim - 1), extra])
            # Without a drive they are quiet.
            return jnp.pad(
                x, extra, mode="constant" if name in self._drives else "edge"
            )

        return self._per_neuron(n_neurons, pad, lambda m: m._padded(n_neurons, width))

    def _part(self, n_neurons: int, chosen: slice | np.ndarray) -> NeuronModel:
        """The population of the chosen neurons, which hear the same senders."""
        return self._per_neuron(
            n_neurons, lambda _, x: x[..., chosen], lambda m: m._part(n_neurons, chosen)
        )

    def _state_of(self, z: PyTree, chosen: slice | np.ndarray) -> PyTree:
        """Of a state in the engine's form, that of the chosen neurons."""
        return jax.tree.map(lambda x: x[chosen], z)

    def _per_neuron(
        self,
        n_neurons: int,
        change: Callable[[str, Any], Any],
        change_inside: Callable[[NeuronModel], NeuronModel],
    ) -> NeuronModel:
        """A copy in which `change(name, x)` replaces what holds a value per neuron.

        That is what the class names in `per_neuron`. Arrays in constants are NumPy
        arrays, all others are JAX's. `change_inside` does the same to a model inside.
        """
        classes = [vars(cls) for cls in type(self).__mro__]
        own = {name for cls in classes for name in cls.get("per_neuron", ())}

        def changed(name: str, x: Any) -> Any:
            if isinstance(x, NeuronModel):
                return change_inside(x)
            value = x.value if isinstance(x, Constant) else x
            if name not in own or np.shape(value)[-1:] != (n_neurons,):
                return x
            if isinstance(x, Constant):
                return Constant(change(name, np.asarray(value)))
            return change(name, jnp.asarray(value))

        copy = object.__new__(type(self))
        for field in dataclasses.fields(self):
            value = changed(field.name, getattr(self, field.name))
            object.__setattr__(copy, field.name, value)
        return copy

    def sender_leaves(self) -> list[Any]:
        """Parameters of which an arriving spike reads its own sender's row only.

        The rows are handed to `receive`. Their gradients are then gathered row by row,
        so that an event costs O(N); all other parameters cost their size per event.
        """
        return []

    def _unpack(self, y: State) -> PyTree:
        """The engine's form of the state `y`."""
        return y

    def _pack(self, z: PyTree) -> State:
        """Inverse of `_unpack`."""
        return z

    def _slope(self, t: Float[Array, ...], z: PyTree) -> PyTree:
        """`dynamics` in the engine's form."""
        return self.dynamics(t, z, None)

    def _gap(self, t: Float[Array, ...], z: PyTree) -> Float[Array, " neurons"]:
        """`spike_condition` in the engine's form."""
        return self.spike_condition(t, z)

    def _fire(self, z: PyTree, fired: Bool[Array, " neurons"]) -> PyTree:
        """`reset_spiked` in the engine's form."""
        return self.reset_spiked(z, fired)

    def _spread(self, values: Shaped[Array, " neurons"], z: PyTree) -> PyTree:
        """One value per neuron as a pytree like `z`, to be broadcast to it."""
        return jax.tree.map(lambda x: values.reshape(-1, *[1] * (x.ndim - 1)), z)

    def units(self, largest: PyTree) -> PyTree:
        """In the engine's form of a state, the size beside which an error is small.

        For each channel, from the largest size that it has had; the same by default.
        """
        return largest

    def _alarm(self, z: PyTree) -> Float[Array, " neurons"] | None:
        """Time until each neuron changes by itself, inf if it does not.

        None where no neuron can. The change is an event that is landed on exactly.
        """
        return None

    def _ring(self, z: PyTree, rings: Bool[Array, " neurons"]) -> PyTree:
        """State after the alarms of the neurons in `rings`."""
        return z

    def receive(
        self,
        z: PyTree,
        sender: Int[Array, ""],
        rows: list[Float[Array, " neurons"]],
        reached: Bool[Array, " neurons"],
    ) -> PyTree:
        """`input_spike` in the engine's form, at all neurons in `reached`."""
        everyone = jnp.arange(reached.shape[0])
        return self.input_spike(z, sender, everyone, reached)


def as_slice(numbers: np.ndarray) -> slice | np.ndarray:
    """Consecutive numbers are cut out, which is faster than to gather them."""
    first, end = int(numbers[0]), int(numbers[0]) + len(numbers)
    consecutive = np.array_equal(numbers, np.arange(first, end))
    return slice(first, end) if consecutive else numbers


def replaced(model: NeuronModel, base: type[NeuronModel], *methods: str) -> bool:
    """Whether a user's subclass wrote one of these methods of `base` anew."""
    cls = type(model)
    return any(getattr(cls, name) is not getattr(base, name) for name in methods)


def _missing(model: NeuronModel, method: str) -> str:
    return (
        f"{type(model).__name__} must define `{method}`, see eventax.neuron_models."
        f"NeuronModel.{method} for its arguments and result."
    )


def check_model_class(argument: str, model: Any) -> None:
    """A class of neurons, which is built later."""
    if isinstance(model, type) and issubclass(model, NeuronModel):
        return
    if isinstance(model, NeuronModel):
        name = type(model).__name__
        raise TypeError(
            f"`{argument}` must be a class, not an instance of it: pass {name} and its "
            f"keywords to the network, which builds the model; got {model!r}."
        )
    raise TypeError(
        f"`{argument}` must be a subclass of eventax.neuron_models.NeuronModel; got "
        f"{model!r}."
    )
