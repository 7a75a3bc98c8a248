"""Flow of neurons whose motion between events is known in closed form."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree

from ._base import AbstractFlow, Scalar, Segment, rounding


class ClosedForm(AbstractFlow):
    """Flow of a model that states `solution(z, step)` and `crossing(z, horizon)`.

    `solution` is z after time `step`. `crossing` is, per neuron, the time until the
    gap first rises through 0 (0 if it is not negative now), inf if that is not within
    `horizon`. A segment goes to the first of these times: there are no steps.
    """

    def find(
        self,
        model: Any,
        t: Scalar,
        z: PyTree,
        memory: PyTree,
        bound: Scalar,
        alive: Bool[Array, " neurons"],
    ) -> Segment:
        horizon = bound - t + rounding(bound, t)
        waits = jnp.where(alive, model.crossing(z, horizon), jnp.inf)
        times = jnp.minimum(t + waits, bound)
        reach = waits < jnp.inf
        time = jnp.min(jnp.where(reach, times, bound))
        # Not the wait itself: state and time stay consistent under rounding.
        step = time - t
        return Segment(
            time=time,
            route=step,
            end=model.solution(z, step),
            crossed=reach & (times <= time),
            jumped=jnp.min(waits) <= 0,
            memory=memory,
        )

    def advance(self, model: Any, t: Scalar, z: PyTree, route: Scalar) -> PyTree:
        return model.solution(z, route)
