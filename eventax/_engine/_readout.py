"""Neurons of which some numbers are kept track of while the network is simulated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from .._flows import AbstractFlow, ClosedForm, Gauge

Numbers = list[Float[Array, " readouts"]]


class Counted(NamedTuple):
    """Whether what leads to an event lies in the window, and what it jumps to."""

    way: Bool[Array, ""]
    jump: Bool[Array, ""]


class Readout(NamedTuple):
    """Which neurons, and what is asked of them."""

    neurons: slice | np.ndarray = slice(0)
    flow: AbstractFlow = ClosedForm()  # in closed form, of these neurons alone
    gauges: tuple[Gauge, ...] = ()
    width: int = 0  # of the whole population, padding included
    window: bool = False  # between the first and the second observation only

    def start(self, model: Any, z: PyTree) -> Numbers:
        """At t0."""
        here = self._points(model, z)
        if not self.window:
            return here
        pairs = zip(self.gauges, here, strict=True)
        return [jnp.full_like(number, gauge.nothing) for gauge, number in pairs]

    def _points(self, model: Any, z: PyTree) -> Numbers:
        return self._ask(
            model, lambda gauge, part, z: gauge.point(self.flow, part, z), z
        )

    def along(
        self,
        model: Any,
        before: Numbers,
        t: Any,
        z: PyTree,
        end: PyTree,
        step: Any,
        counts: Counted | None,
    ) -> Numbers:
        """After a way from z at t to `end`."""

        def piece(gauge: Gauge, part: Any, z: PyTree, end: PyTree) -> Array:
            return gauge.piece(self.flow, part, t, z, end, step)

        way = None if counts is None else counts.way
        return self._added(before, self._ask(model, piece, z, end), way)

    def over(
        self, model: Any, before: Numbers, z: PyTree, counts: Counted | None
    ) -> Numbers:
        """After a jump to z."""
        jump = None if counts is None else counts.jump
        return self._added(before, self._points(model, z), jump)

    def over_late(
        self,
        model: Any,
        before: Numbers,
        t: Any,
        common: tuple[PyTree, PyTree],
        own: tuple[PyTree, PyTree],
        late: Float[Array, " neurons"],
        counts: Counted | None,
    ) -> Numbers:
        """After a jump, for each neuron at its own time; see `Gauge.jump`."""
        late = late[self.neurons]

        def jump(gauge: Gauge, part: Any, *states: PyTree) -> Array:
            return gauge.jump(self.flow, part, t, states[:2], states[2:], late)

        more = self._ask(model, jump, *common, *own)
        return self._added(before, more, None if counts is None else counts.jump)

    def _ask(
        self, model: Any, number: Callable[..., Array], *states: PyTree
    ) -> Numbers:
        """A number of each gauge, of the readouts' parts of the states."""
        if not self.gauges:
            return []
        part = model._part(self.width, self.neurons)
        own = [model._state_of(z, self.neurons) for z in states]
        return [number(gauge, part, *own) for gauge in self.gauges]

    def _added(
        self, before: Numbers, more: Numbers, counts: Bool[Array, ""] | None
    ) -> Numbers:
        triples = zip(self.gauges, before, more, strict=True)
        added = [gauge.add(old, new) for gauge, old, new in triples]
        if counts is None:
            return added
        pairs = zip(added, before, strict=True)
        return [jnp.where(counts, new, old) for new, old in pairs]


NO_READOUT = Readout()
