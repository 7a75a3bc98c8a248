"""Flow of neurons whose motion between events is known in closed form."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree

from ._base import AbstractFlow, Gaps, Limits, Scalar, Segment, Time


class ClosedForm(AbstractFlow):
    """Flow of a model that states `_decay`, `_decayed` and `_crossing(z, horizon)`.

    `_decayed(z, _decay(step))` is z after time `step`. `_crossing` is, per neuron, the
    time until the gap first rises through 0 (0 if it is not negative now), inf if that
    is not within `horizon`. A segment goes to the first of these times: there are no
    steps. Readouts ask for `_turn` and `_area`, which are about the potential, the
    first column.
    """

    @property
    def closed(self) -> bool:
        return True

    def waits(self, model: Any, z: PyTree, horizon: Gaps) -> Gaps:
        return model._crossing(z, horizon)

    def decay(self, model: Any, step: Any) -> PyTree:
        return model._decay(step)

    def decayed(self, model: Any, z: PyTree, decay: PyTree) -> PyTree:
        return model._decayed(z, decay)

    def potential(self, model: Any, z: PyTree) -> Gaps:
        return z[0]

    def turn(self, model: Any, z: PyTree) -> Gaps:
        return model._turn(z)

    def area(self, model: Any, z: PyTree, end: PyTree, step: Any, rate: float) -> Gaps:
        return model._area(z, end, step, rate)

    def find(
        self,
        model: Any,
        t: Scalar,
        z: PyTree,
        memory: PyTree,
        limits: Limits,
        alive: Bool[Array, " neurons"],
    ) -> Segment:
        waits = jnp.where(alive, model._crossing(z, limits.reach), jnp.inf)
        first = jnp.min(waits)
        length = jnp.where(first < jnp.inf, first, limits.room)
        return Segment(
            length=length,
            route=length,
            end=self.advance(model, t, z, length),
            crossed=(waits < jnp.inf) & (waits <= first),
            jumped=first <= 0,
            memory=memory,
        )

    def advance(self, model: Any, t: Time, z: PyTree, route: Time) -> PyTree:
        return model._decayed(z, model._decay(route))
