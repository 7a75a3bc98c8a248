"""Neurons that pause after a spike: what all such wrappers have in common."""

from __future__ import annotations

import abc
import copyreg
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal
from jaxtyping import Array, Bool, Float, PyTree

from .._arguments import check_static
from .._flows import AbstractFlow, Pauses
from ._base import PUBLIC, NeuronModel, replaced
from ._columns import ColumnModel
from ._multi import MultiNeuronModel

# What a wrapper asks of the model inside: the model itself or, in another form of
# the state, a flow together with the model.
Motion = Any


class Paused(NamedTuple):
    """State of a wrapper: that of the model inside, and who pauses."""

    inner: PyTree
    off: Float[Array, " neurons"]  # 1 while a neuron pauses, else 0
    rest: Float[Array, " neurons"] | None  # time left; None: it pauses for good


class Wrapping(type(NeuronModel)):
    """The class of wrappers' classes, which are pickled as the call that made them."""


def _made(cls: Wrapping) -> Any:
    own = vars(cls).get("_wrapping")
    if own is None:  # a user's subclass, found by its name
        return cls.__qualname__
    wrapper, inner, options = own
    return partial(wrapper, **options), (inner,)


copyreg.pickle(Wrapping, _made)


class Pausing(NeuronModel, metaclass=Wrapping):
    """A wrapper whose neurons pause after a spike: they do not fire, and may be held.

    The end of a pause is an event: the simulation lands on it exactly, and its time
    moves with the spike's.
    """

    neuron: NeuronModel

    # How a saved network tells which class it was: wrapper, model inside, options.
    _wrapping: ClassVar[tuple[Callable[..., Any], type[NeuronModel], dict[str, Any]]]

    @abc.abstractmethod
    def _held(self) -> np.ndarray:
        """Which channels stay as they are during a pause: () or (channels,), bool."""

    @abc.abstractmethod
    def _deaf(self) -> bool:
        """Whether spikes that arrive during a pause are lost."""

    @abc.abstractmethod
    def _duration(self) -> Any:
        """Length of a pause, a scalar or (N,); None if it is for good."""

    # The public interface --------------------------------------------------------

    def init_state(self, n_neurons: int) -> PyTree:
        """State at t0: that of the model inside, and nobody pauses."""
        zero = jnp.zeros((n_neurons,), self.dtype)
        rest = None if self._duration() is None else zero
        return Paused(self.neuron.init_state(n_neurons), zero, rest)

    def dynamics(self, t: Any, y: PyTree, args: Any) -> PyTree:
        """Time derivative; held channels and those who are not paused stand still."""
        return self._paused_slope(y, self.neuron.dynamics(t, y.inner, args))

    def spike_condition(self, t: Any, y: PyTree, **kwargs: Any) -> Any:
        """Signed distance to threshold, (N,); negative during a pause."""
        return self._paused_gap(y, self.neuron.spike_condition(t, y.inner, **kwargs))

    def input_spike(
        self, y: PyTree, from_idx: Any, to_idx: Any, valid_mask: Any
    ) -> PyTree:
        """State after a spike of `from_idx` arrived at `to_idx`."""
        if self._deaf() and self._pauses():
            valid_mask = valid_mask & ~(y.off[to_idx] > 0)
        inner = self.neuron.input_spike(y.inner, from_idx, to_idx, valid_mask)
        return y._replace(inner=inner)

    def reset_spiked(self, y: PyTree, spiked_mask: Any) -> PyTree:
        """State after the neurons in `spiked_mask` fired: they pause."""
        return self._pause(
            y, self.neuron.reset_spiked(y.inner, spiked_mask), spiked_mask
        )

    def observe(self, y: PyTree) -> Any:
        """What the model inside shows."""
        return self.neuron.observe(y.inner)

    # The engine's questions ------------------------------------------------------

    @property
    def _by_neuron(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether every array of the state has the neurons as its leading axis."""
        return self.neuron._by_neuron

    def _overrides(self, *methods: str) -> bool:
        """Whether a user's subclass replaced one of these public methods."""
        return replaced(self, Pausing, *methods)

    def _is_independent(self, chosen: slice | np.ndarray = slice(0, None)) -> bool:
        return self.neuron._is_independent(chosen) and not self._overrides(*PUBLIC)

    def _kinds(self, n_neurons: int) -> np.ndarray:
        return self.neuron._kinds(n_neurons)

    def flow(self) -> AbstractFlow | None:
        own = self.neuron.flow()
        if own is None or self._overrides(*PUBLIC) or not self._free_ones_are_free():
            return None
        return Pauses(own)

    def _padded_size(self, n_neurons: int) -> int:
        if self._overrides(*PUBLIC):
            return n_neurons
        return self.neuron._padded_size(n_neurons)

    def sender_leaves(self) -> list[Any]:
        return [] if self._as_told() else self.neuron.sender_leaves()

    def _spread(self, values: Array, z: PyTree) -> PyTree:
        rest = None if z.rest is None else values
        return Paused(self.neuron._spread(values, z.inner), values, rest)

    def _state_of(self, z: PyTree, chosen: Any) -> PyTree:
        rest = None if z.rest is None else z.rest[chosen]
        return Paused(self.neuron._state_of(z.inner, chosen), z.off[chosen], rest)

    def _unpack(self, y: PyTree) -> PyTree:
        return y if self._as_told() else self._inside(y, self.neuron._unpack)

    def _pack(self, z: PyTree) -> PyTree:
        return z if self._as_told() else self._inside(z, self.neuron._pack)

    def units(self, largest: PyTree) -> PyTree:
        return largest if self._as_told() else self._inside(largest, self.neuron.units)

    def _slope(self, t: Any, z: PyTree, motion: Motion = None) -> PyTree:
        if self._as_told():
            return super()._slope(t, z)
        return self._paused_slope(z, (motion or self.neuron)._slope(t, z.inner))

    def _gap(self, t: Any, z: PyTree, motion: Motion = None) -> Any:
        if self._as_told():
            return super()._gap(t, z)
        return self._paused_gap(z, (motion or self.neuron)._gap(t, z.inner))

    def _fire(self, z: PyTree, fired: Any, motion: Motion = None) -> PyTree:
        if self._as_told():
            return super()._fire(z, fired)
        return self._pause(z, (motion or self.neuron)._fire(z.inner, fired), fired)

    def receive(
        self, z: PyTree, sender: Any, rows: Any, reached: Any, motion: Motion = None
    ) -> PyTree:
        if self._as_told():
            return super().receive(z, sender, rows, reached)
        if self._deaf() and self._pauses():
            reached = reached & ~(z.off > 0)
        motion = motion or self.neuron
        return z._replace(inner=motion.receive(z.inner, sender, rows, reached))

    def _alarm(self, z: PyTree, motion: Motion = None) -> Any:
        inner = (motion or self.neuron)._alarm(z.inner)
        if z.rest is None or not self._pauses():
            return inner
        own = self._left(z)
        return own if inner is None else jnp.minimum(own, inner)

    def _ring(self, z: PyTree, rings: Any, motion: Motion = None) -> PyTree:
        motion = motion or self.neuron
        inner = motion._alarm(z.inner)
        if z.rest is not None and self._pauses():
            ends = rings
            if inner is not None:
                # One at a time: what else is due rings next.
                ends = rings & (self._left(z) <= inner)
                rings = rings & ~ends
            z = z._replace(
                off=jnp.where(ends, 0, z.off), rest=jnp.where(ends, 0, z.rest)
            )
        return z if inner is None else z._replace(inner=motion._ring(z.inner, rings))

    # The pause -------------------------------------------------------------------

    def _hold(self, z: PyTree, moved: PyTree) -> PyTree:
        """The moved state inside; of neurons that pause, held channels are z's."""
        if not self._pauses():
            return moved
        return jax.tree.map(
            lambda held, old, new: jnp.where(held, old, new),
            _where_held(self.neuron, self._held(), z.off > 0, z.inner),
            z.inner,
            moved,
        )

    def _paused_slope(self, z: Paused, inner: PyTree) -> Paused:
        still = jax.tree.map(jnp.zeros_like, z.inner)
        inner = self._hold(z._replace(inner=still), inner)
        rest = None if z.rest is None else -z.off
        return Paused(inner, jnp.zeros_like(z.off), rest)

    def _paused_gap(self, z: Paused, inner: Any) -> Any:
        return jnp.where(z.off > 0, -1, inner) if self._pauses() else inner

    def _pause(self, z: Paused, inner: PyTree, fired: Any) -> Paused:
        length = self._duration()
        if length is None:
            return Paused(inner, jnp.where(fired, 1, z.off), None)
        if not self._pauses():
            return z._replace(inner=inner)
        assert z.rest is not None
        off = jnp.where(fired, jnp.where(length > 0, 1, 0), z.off)
        return Paused(inner, off, jnp.where(fired, length, z.rest))

    def _pauses(self) -> bool:
        """Whether anybody ever does."""
        length = self._duration()
        return length is None or bool(np.any(length > 0))

    def _left(self, z: Paused) -> Any:
        assert z.rest is not None
        return jnp.where(z.off > 0, z.rest, jnp.inf)

    def _inside(self, y: Paused, change: Any) -> Paused:
        return y._replace(inner=change(y.inner))

    def _as_told(self) -> bool:
        return self._overrides(*PUBLIC)

    def _free_ones_are_free(self) -> bool:
        """Whether channels that are not held move as if nothing were held."""
        held = self._held()
        if held.ndim == 0 or np.all(held) or not np.any(held):
            return True
        model = self.neuron
        while isinstance(model, Pausing):
            model = model.neuron
        if not isinstance(model, ColumnModel):
            return False
        n_neurons = model._weight_leaves()[0].shape[-1]
        column = jax.ShapeDtypeStruct((n_neurons,), self.dtype)
        jaxpr = jax.make_jaxpr(model._derivative)(*[column] * held.size).jaxpr
        touched = {v for v, h in zip(jaxpr.invars, held, strict=True) if h}
        for equation in jaxpr.eqns:
            if touched & _variables(equation.invars):
                touched |= _variables(equation.outvars)
        free = [v for v, h in zip(jaxpr.outvars, held, strict=True) if not h]
        return not touched & _variables(free)


def _variables(atoms: Any) -> set[Any]:
    return {atom for atom in atoms if not isinstance(atom, Literal)}


def _where_held(
    model: NeuronModel, held: np.ndarray, off: Bool[Array, " neurons"], z: PyTree
) -> PyTree:
    """Who is held, as a pytree that broadcasts to the state `z` of `model`.

    A wrapper inside goes on counting time: held are the channels of its own model.
    """
    if isinstance(z, Paused):
        assert isinstance(model, Pausing)
        nobody = jnp.zeros_like(off)
        rest = None if z.rest is None else nobody
        return Paused(_where_held(model.neuron, held, off, z.inner), nobody, rest)
    if isinstance(model, MultiNeuronModel):
        parts = zip(model.submodels, model._split(off), z, strict=True)
        return tuple(_where_held(part, held, who, own) for part, who, own in parts)
    who = model._spread(off, z)
    if held.ndim == 0:
        return jax.tree.map(lambda off: off & bool(held), who)
    leaves, structure = jax.tree.flatten(who)
    if len(leaves) == 1:
        return jax.tree.map(lambda off: off & held, who)
    leaves = [off & bool(h) for off, h in zip(leaves, held, strict=True)]
    return jax.tree.unflatten(structure, leaves)


def check_held(
    mask: Any, neuron: NeuronModel, n_neurons: int
) -> bool | tuple[bool, ...]:
    """A mask of held channels in a form that can be compared, default all."""
    check_static("refrac_mask", mask)
    held = np.asarray(True if mask is None else mask)
    y = jax.eval_shape(lambda: neuron.init_state(n_neurons))
    while isinstance(y, Paused):
        y = y.inner
    shapes = [leaf.shape for leaf in jax.tree.leaves(y)]
    channels = shapes[0][1] if len(shapes) == 1 and len(shapes[0]) == 2 else None
    if held.ndim and held.shape != (channels,):
        one = f" or have one entry per channel, shape ({channels},)" if channels else ""
        raise ValueError(
            f"`refrac_mask` must be a scalar{one}; got shape {held.shape}."
        )
    if not np.all((held == 0) | (held == 1)):
        raise ValueError(
            "`refrac_mask` must hold only 0 and 1 (free and held channels); got "
            f"{mask!r}."
        )
    held = held.astype(bool)
    return tuple(held.tolist()) if held.ndim else bool(held)


def named(
    wrapper: type[Pausing], name: str, inner: type[NeuronModel], own: Any = ()
) -> type[Pausing]:
    """A wrapper's class under its name, and with the keywords that it takes."""
    wrapper.__name__ = wrapper.__qualname__ = f"{name}({inner.__name__})"
    wrapper.__doc__ = f"{inner.__name__} in the wrapper {name}: see there."
    known = inspect.signature(inner).parameters
    theirs = list(known.values())
    mine = inspect.signature(wrapper.__init__).parameters
    mine = [mine[key].replace(annotation=Any) for key in own if key not in known]
    # After what may be positional, before what takes all the rest.
    rest = [p for p in theirs if p.kind is p.VAR_KEYWORD]
    theirs = [p for p in theirs if p.kind is not p.VAR_KEYWORD]
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    signature = inspect.Signature([this, *theirs, *mine, *rest])
    wrapper.__init__.__signature__ = signature
    return wrapper
