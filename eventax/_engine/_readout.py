"""Neurons of which some numbers are kept track of while the network is simulated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float, PyTree

from .._flows import AbstractFlow, ClosedForm, Gauge

Numbers = list[Float[Array, " readouts"]]


class Readout(NamedTuple):
    """Which neurons, and what is asked of them."""

    neurons: slice | np.ndarray = slice(0)
    flow: AbstractFlow = ClosedForm()  # in closed form, of these neurons alone
    gauges: tuple[Gauge, ...] = ()
    width: int = 0  # of the whole population, padding included

    def start(self, model: Any, z: PyTree) -> Numbers:
        """At t0."""
        return self._ask(
            model, lambda gauge, part, z: gauge.point(self.flow, part, z), z
        )

    def along(
        self, model: Any, before: Numbers, t: Any, z: PyTree, end: PyTree, step: Any
    ) -> Numbers:
        """After a way from z at t to `end`."""

        def piece(gauge: Gauge, part: Any, z: PyTree, end: PyTree) -> Array:
            return gauge.piece(self.flow, part, t, z, end, step)

        return self._added(before, self._ask(model, piece, z, end))

    def over(self, model: Any, before: Numbers, z: PyTree) -> Numbers:
        """After a jump to z."""
        return self._added(before, self.start(model, z))

    def over_late(
        self,
        model: Any,
        before: Numbers,
        t: Any,
        common: tuple[PyTree, PyTree],
        own: tuple[PyTree, PyTree],
        late: Float[Array, " neurons"],
    ) -> Numbers:
        """After a jump, for each neuron at its own time; see `Gauge.jump`."""
        late = late[self.neurons]

        def jump(gauge: Gauge, part: Any, *states: PyTree) -> Array:
            return gauge.jump(self.flow, part, t, states[:2], states[2:], late)

        return self._added(before, self._ask(model, jump, *common, *own))

    def _ask(
        self, model: Any, number: Callable[..., Array], *states: PyTree
    ) -> Numbers:
        """A number of each gauge, of the readouts' parts of the states."""
        if not self.gauges:
            return []
        part = model.part(self.width, self.neurons)
        own = [model.state_of(z, self.neurons) for z in states]
        return [number(gauge, part, *own) for gauge in self.gauges]

    def _added(self, before: Numbers, more: Numbers) -> Numbers:
        triples = zip(self.gauges, before, more, strict=True)
        return [gauge.add(old, new) for gauge, old, new in triples]


NO_READOUT = Readout()
