"""How a state moves between events: the interface that all flows share."""

from __future__ import annotations

import abc
import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

Scalar = Float[Array, ""]
Gaps = Float[Array, " neurons"]
# One time for all neurons, or a time for each: closed forms are asked for both.
Time = Float[Array, "..."]


class Limits(NamedTuple):
    """How far a flow may go; lengths, since times are less precise the later it is."""

    room: Scalar  # to what comes next
    reach: Scalar  # a crossing beyond `room`, up to here, comes first nevertheless
    quiet: Scalar  # how long nothing has happened before


class Segment(NamedTuple):
    """How far a flow can go: to its first crossing or to its own limit.

    A rejected trial has no length. One that is not finite says that the flow cannot go
    on.
    """

    length: Scalar
    route: PyTree  # how the flow gets there, in a form of its own
    end: PyTree  # the state there
    crossed: Bool[Array, " neurons"]  # who reaches threshold there
    jumped: Bool[Array, ""]  # they were above it from the start: put there by a jump
    memory: PyTree  # the flow's notes for the next segment, without gradient


class AbstractFlow(eqx.Module):
    """Motion of a neuron model between two events.

    A flow may hold the state in a form `z` of its own. It never keeps the model: that
    is handed to each method, since its leaves are what gradients are taken of.
    """

    def enter(self, model: Any, y: PyTree) -> PyTree:
        """The flow's form of a state."""
        return model._unpack(y)

    def leave(self, model: Any, z: PyTree) -> PyTree:
        """Inverse of `enter`."""
        return model._pack(z)

    def likely_steps(self, span: float) -> int:
        """How many segments that end at no event to expect in a time `span`, at most.

        More of them are an error when gradients are taken, fewer waste memory.
        """
        return 0

    def remember(self, model: Any, t: Scalar, z: PyTree) -> PyTree:
        """The flow's notes (step sizes, say) at the start of a simulation."""
        return ()

    def slope(self, model: Any, t: Time, z: PyTree) -> PyTree:
        """dz/dt."""
        return model._slope(t, z)

    def gap(self, model: Any, t: Time, z: PyTree) -> Gaps:
        """Signed distance to threshold; rises through 0 at a spike."""
        return model._gap(t, z)

    def gap_rate(
        self, model: Any, t: Time, z: PyTree, slope: PyTree
    ) -> tuple[Gaps, Gaps]:
        """The gap and its time derivative along `slope`."""
        one = jax.numpy.ones_like(t)
        return jax.jvp(lambda t, z: self.gap(model, t, z), (t, z), (one, slope))

    def alarm(self, model: Any, z: PyTree) -> Gaps | None:
        """Time until each neuron changes by itself, inf if never; None if none can."""
        return model._alarm(z)

    def ring(self, model: Any, z: PyTree, rings: Bool[Array, " neurons"]) -> PyTree:
        """z after the alarms of the neurons in `rings`."""
        return model._ring(z, rings)

    def fire(self, model: Any, z: PyTree, fired: Bool[Array, " neurons"]) -> PyTree:
        """z after the neurons in `fired` spiked and were reset."""
        return model._fire(z, fired)

    def receive(
        self, model: Any, z: PyTree, sender: Any, rows: list[Any], reached: Any
    ) -> PyTree:
        """z after a spike of `sender` arrived at all neurons in `reached`."""
        return model.receive(z, sender, rows, reached)

    @abc.abstractmethod
    def find(
        self,
        model: Any,
        t: Scalar,
        z: PyTree,
        memory: PyTree,
        limits: Limits,
        alive: Bool[Array, " neurons"],
    ) -> Segment:
        """The next segment from (t, z).

        Neurons that are not `alive` never fire.
        """

    @abc.abstractmethod
    def advance(self, model: Any, t: Time, z: PyTree, route: PyTree) -> PyTree:
        """z at the end of `route`, as `find` found it; no crossing lies in between.

        Differentiable in `model`, `t` and `z`, at fixed lengths.
        """

    # What a flow knows beyond, if it is in closed form ---------------------------

    @property
    def closed(self) -> bool:
        """Whether the methods below exist, and `advance` takes a length per neuron."""
        return False

    def waits(self, model: Any, z: PyTree, horizon: Gaps) -> Gaps:
        """Time until each neuron's next crossing, on a clock of its own.

        0 where it is above threshold, inf where it does not cross within `horizon`.
        """
        raise NotImplementedError

    def decay(self, model: Any, step: Any) -> PyTree:
        """What `decayed` needs to know of the length of a way, for one length or many.

        Apart from it, so that it is computed once for all neurons on the same way.
        """
        raise NotImplementedError

    def decayed(self, model: Any, z: PyTree, decay: PyTree) -> PyTree:
        """z at the end of a way."""
        raise NotImplementedError

    def potential(self, model: Any, z: PyTree) -> Gaps:
        """What a readout is about."""
        raise NotImplementedError

    def turn(self, model: Any, z: PyTree) -> Gaps:
        """Time until the extremum of the potential, inf if it has none."""
        raise NotImplementedError

    def area(self, model: Any, z: PyTree, end: PyTree, step: Any, rate: float) -> Gaps:
        """Integral of the potential times exp(-rate t) on the way from z to `end`."""
        raise NotImplementedError

    def route(self, length: Scalar) -> PyTree:
        """The way to t + length, no further than `find` went. Default: the length."""
        return length

    def length(self, route: PyTree) -> Time:
        """How long a route is."""
        return route


def rounding(*times: Time) -> Time:
    """What rounding leaves uncertain of times or lengths; closer ones are equal."""
    largest = functools.reduce(jnp.maximum, [jnp.abs(t) for t in times])
    return 8 * jnp.finfo(largest.dtype).eps * largest


def weighted_time(rate: float, step: Any) -> Any:
    """The integral of exp(-rate t) over `step`."""
    return step if rate == 0 else -jnp.expm1(-rate * step) / rate
