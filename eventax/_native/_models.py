"""What the native core has to know of a neuron model, or why it cannot simulate it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from .._neurons import NeuronModel
from .._neurons._alif import ALIF
from .._neurons._base import PUBLIC
from .._neurons._li import AbstractLI
from .._neurons._lif import AbstractLIF
from .._neurons._multi import MultiNeuronModel
from .._neurons._pausing import Paused, Pausing
from .._neurons._qif import AbstractQIF

# As in native/parameters.h.
KINDS = {AbstractLIF: 1, AbstractLI: 0, ALIF: 2, AbstractQIF: 3}

# What a subclass may write anew: where it starts and what it shows is told by JAX.
FREE = {"init_state", "start", "observe"}


class Mode(NamedTuple):
    """What a neuron does in a pause."""

    off: bool = False
    hold_x: bool = False
    hold_y: bool = False
    deaf: bool = False

    @property
    def flags(self) -> int:
        return sum(1 << k for k, value in enumerate(self) if value)

    def __or__(self, other: Mode) -> Mode:
        return Mode(*(a or b for a, b in zip(self, other, strict=True)))


class Population(NamedTuple):
    """Neurons of one model, with arrays of their parameters.

    The state of each neuron is two numbers, x and y.
    """

    kind: int
    neurons: np.ndarray
    weights: Float[Array, "senders neurons"]
    bias: Float[Array, " neurons"]
    taus: tuple[Any, Any]  # time constants, each (1,) or (neurons,)
    trains: bool
    start: Float[Array, "neurons 2"]
    fixed: np.ndarray  # constants (names, neurons)
    first: Mode  # of a pause, for `rest`
    then: Mode  # after it
    rest: np.ndarray | None

    @property
    def pauses(self) -> bool:
        return self.first.off or self.then.off


def why_not(model: NeuronModel) -> str | None:
    """Why the native core does not know this model; None where it does."""
    if isinstance(model, Pausing):
        if model._overrides(*PUBLIC):
            return f"{type(model).__name__} overrides what it wraps"
        return why_not(model.neuron)
    if isinstance(model, MultiNeuronModel):
        if model._overrides(*PUBLIC):
            return f"{type(model).__name__} overrides MultiNeuronModel"
        return next(filter(None, map(why_not, model.submodels)), None)
    base = _base_of(model)
    if base is None:
        return (
            f"it knows LI, LIF, PLIF, ALIF, QIF and PQIF, and {type(model).__name__} "
            "is another equation"
        )
    for cls in type(model).__mro__:
        if cls.__module__.startswith("eventax."):
            return None
        own = [n for n in vars(cls) if not n.startswith("_") and n not in FREE]
        own = [n for n in own if callable(getattr(base, n, None))]
        if own:
            return f"{cls.__name__} overrides `{own[0]}`"
    return None


def why_not_paused(model: NeuronModel, wrappers: int = 0) -> str | None:
    """Why it does not know how its wrappers compose; None where it does."""
    if isinstance(model, Pausing):
        length = model._duration()
        rests = length is not None and bool(np.any(length > 0))
        if wrappers and rests:
            return "it knows one `Refractory` around a model, and there are several"
        return why_not_paused(model.neuron, wrappers + rests)
    if isinstance(model, MultiNeuronModel):
        reasons = [why_not_paused(part, wrappers) for part in model.submodels]
        return next(filter(None, reasons), None)
    return None


def populations(model: NeuronModel, n_neurons: int, z: PyTree) -> list[Population]:
    """Its populations; `z` is the state at the start in the engine's form."""
    found: list[Population] = []
    pause = Mode(), Mode(), np.zeros(n_neurons, model.dtype)
    _collect(model, np.arange(n_neurons), z, pause, found)
    return found


def with_states(
    model: NeuronModel, z: PyTree, states: Float[Array, "neurons 2"]
) -> PyTree:
    """The state `z` with other numbers x and y for all neurons."""
    if isinstance(model, Pausing):
        return z._replace(inner=with_states(model.neuron, z.inner, states))
    if isinstance(model, MultiNeuronModel):
        parts = zip(model.submodels, z, model._split(states), strict=True)
        return tuple(with_states(m, own, values) for m, own, values in parts)
    return jax.tree.unflatten(jax.tree.structure(z), [states[:, 0], states[:, 1]])


def _base_of(model: NeuronModel) -> type | None:
    return next((cls for cls in KINDS if isinstance(model, cls)), None)


def _collect(
    model: NeuronModel,
    neurons: Int[np.ndarray, " chosen"],
    z: PyTree,
    pause: tuple[Mode, Mode, np.ndarray],
    found: list[Population],
) -> None:
    if isinstance(model, Pausing):
        assert isinstance(z, Paused)
        _collect(model.neuron, neurons, z.inner, _paused(model, *pause), found)
    elif isinstance(model, MultiNeuronModel):
        first, then, rest = pause
        parts = zip(
            model.submodels, z, model._split(neurons), model._split(rest), strict=True
        )
        for part, own, who, its_rest in parts:
            _collect(part, who, own, (first, then, its_rest), found)
    else:
        found.append(_population(model, neurons, z, pause))


def _paused(
    model: Pausing, first: Mode, then: Mode, rest: np.ndarray
) -> tuple[Mode, Mode, np.ndarray]:
    held = np.broadcast_to(model._held(), (2,))
    mode = Mode(True, bool(held[0]), bool(held[1]), model._deaf())
    length = model._duration()
    if length is None:
        return first | mode, then | mode, rest
    if not np.any(length > 0):
        return first, then, rest
    return first | mode, then, np.broadcast_to(length, rest.shape)


def _population(
    model: Any,
    neurons: np.ndarray,
    z: PyTree,
    pause: tuple[Mode, Mode, np.ndarray],
) -> Population:
    kind = KINDS[_base_of(model)]
    if kind == KINDS[ALIF]:
        taus = model.tmem.value, model.ta.value
        drops = float(model.reset_grad_preserve)
        constants = model.b0.value, model._rise(), model.rm.value, drops
    else:
        taus = model._time_constants()
        constants = 0.0, 0.0
        if kind == KINDS[AbstractLIF]:
            constants = model.thresh.value, model.vreset.value
        elif kind == KINDS[AbstractQIF]:
            constants = (model.series.tolerance,)
    size = neurons.size
    trains = any(isinstance(tau, jax.Array) for tau in taus)
    shape = (size,) if any(np.size(tau) > 1 for tau in taus) else (1,)
    fixed = [np.broadcast_to(np.asarray(c, model.dtype), (size,)) for c in constants]
    first, then, rest = pause
    return Population(
        kind=kind,
        neurons=neurons.astype(np.int32),
        weights=model.weights,
        bias=model.ic,
        taus=tuple(_as_vector(tau, shape, model.dtype) for tau in taus),
        trains=trains,
        start=jnp.stack(jax.tree.leaves(z), axis=-1),
        fixed=np.stack(fixed),
        first=first,
        then=then,
        rest=np.asarray(rest, model.dtype) if first.off else None,
    )


def _as_vector(tau: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    if isinstance(tau, jax.Array):
        return jnp.broadcast_to(tau, shape)
    return np.broadcast_to(np.asarray(tau, dtype), shape)
