"""Built-in models that are simulated in another coordinate than their potential."""

from __future__ import annotations

import abc
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ._base import NeuronModel
from ._columns import Column, ColumnModel, Columns


class CoordinateModel(ColumnModel):
    """A model with a stiff upstroke, in a coordinate in which it is smooth.

    The first column is the potential, and threshold and reset are values of it. What
    `ColumnModel` asks for is stated in the potential, which is what users see; the
    change of coordinate and the motion in it are stated too, for the engine. The other
    columns are the same in both, and arrivals change only those.

    A subclass with another `dynamics` or `spike_condition` is simulated in the
    potential: its own may make no sense in the coordinate.
    """

    @abc.abstractmethod
    def _coordinate(self, v: Any) -> Any:
        """The coordinate of a potential, which it rises with."""

    @abc.abstractmethod
    def _potential(self, x: Column) -> Column:
        """Inverse of `_coordinate`, finite for every finite number."""

    @abc.abstractmethod
    def _coordinate_slope(self, x: Column, *rest: Column) -> Columns:
        """`_derivative` in the coordinate."""

    @abc.abstractmethod
    def _threshold(self) -> Any:
        """Potential at a spike, a scalar, (1,) or (N,)."""

    @abc.abstractmethod
    def _reset_value(self) -> Any:
        """Potential after a spike, a scalar, (1,) or (N,)."""

    # The engine's questions --------------------------------------------------------

    def _as_told(self) -> bool:
        """Whether to stay with the potential."""
        return self._overrides("dynamics", "spike_condition")

    def _unpack(self, y: Float[Array, "neurons channels"]) -> Columns:
        v, *rest = super()._unpack(y)
        return (v if self._as_told() else self._coordinate(v)), *rest

    def _pack(self, z: Columns) -> Float[Array, "neurons channels"]:
        x, *rest = z
        return super()._pack((x if self._as_told() else self._potential(x), *rest))

    def _slope(self, t: Any, z: Columns) -> Columns:
        return super()._slope(t, z) if self._as_told() else self._coordinate_slope(*z)

    def _gap(self, t: Any, z: Columns) -> Column:
        if self._as_told():
            return super()._gap(t, z)
        return z[0] - self._coordinate(self._threshold())

    def _fire(self, z: Columns, fired: Bool[Array, " neurons"]) -> Columns:
        if self._as_told():
            return super()._fire(z, fired)
        if self._overrides("reset_spiked"):
            return self._unpack(self.reset_spiked(self._pack(z), fired))
        # A spike is at threshold, so that the drop leads to the same as a fixed value.
        x = jnp.where(fired, self._coordinate(self._reset_value()), z[0])
        return x, *self._reset(fired, *z)[1:]

    def receive(
        self,
        z: Columns,
        sender: Int[Array, ""],
        rows: list[Column],
        reached: Bool[Array, " neurons"],
    ) -> Columns:
        if self._as_told() or not self._overrides("input_spike"):
            return super().receive(z, sender, rows, reached)
        y = NeuronModel.receive(self, self._pack(z), sender, rows, reached)
        return self._unpack(y)
