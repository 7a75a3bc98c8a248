"""Built-in models: equations on named state columns instead of (N, S) arrays."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ._base import PUBLIC, NeuronModel, replaced

Column = Float[Array, " neurons"]
Columns = tuple[Column, ...]


class ColumnModel(NeuronModel):
    """A neuron whose state (N, S) is a tuple of S columns, each of shape (N,).

    A model states `_start`, `_derivative`, `_distance`, `_reset` and `_arrive` on
    columns; the public methods follow. Separate columns are what the engine carries:
    XLA then fuses a whole step into few loops, which it cannot do through stacks and
    slices. A user's subclass may override any public method: the engine then uses that
    one.
    """

    independent: ClassVar[bool] = True

    @abc.abstractmethod
    def _start(self, n_neurons: int) -> Columns:
        """Columns at t0."""

    @abc.abstractmethod
    def _derivative(self, *columns: Column) -> Columns:
        """Time derivatives of the columns."""

    @abc.abstractmethod
    def _distance(self, *columns: Column) -> Column:
        """Signed distance to threshold."""

    @abc.abstractmethod
    def _reset(self, fired: Bool[Array, " neurons"], *columns: Column) -> Columns:
        """Columns after the neurons in `fired` spiked."""

    @abc.abstractmethod
    def _arrive(self, rows: list[Column], *columns: Column) -> Columns:
        """Columns after a spike whose weights onto all neurons are `rows`."""

    @abc.abstractmethod
    def _weight_leaves(self) -> list[Any]:
        """The leaves (N+M, N) whose rows `_arrive` gets."""

    def _padded_size(self, n_neurons: int) -> int:
        """N rounded up to full vectors, which a loop over neurons is fast on."""
        lanes = 32 // self.dtype.itemsize
        plain = not self._overrides(*PUBLIC)
        return -(-n_neurons // lanes) * lanes if plain else n_neurons

    # The public interface on (N, S) ----------------------------------------------

    def init_state(self, n_neurons: int) -> Float[Array, "neurons channels"]:
        """State (N, S) at t0."""
        return jnp.stack(self._start(n_neurons), axis=-1)

    def dynamics(self, t: Any, y: Any, args: Any) -> Any:
        """dy/dt, (N, S)."""
        return jnp.stack(self._derivative(*_split(y)), axis=-1)

    def spike_condition(self, t: Any, y: Any, **kwargs: Any) -> Any:
        """Signed distance to threshold, (N,)."""
        return self._distance(*_split(y))

    def reset_spiked(self, y: Any, spiked_mask: Any) -> Any:
        """State after the neurons in `spiked_mask` fired."""
        return jnp.stack(self._reset(spiked_mask, *_split(y)), axis=-1)

    def input_spike(self, y: Any, from_idx: Any, to_idx: Any, valid_mask: Any) -> Any:
        """State after a spike of `from_idx` arrived at `to_idx`."""
        columns = _split(y)

        def row(leaf: Array) -> Column:
            values = jnp.where(valid_mask, leaf[from_idx, to_idx], 0)
            return jnp.zeros_like(columns[0]).at[to_idx].add(values)

        rows = [row(leaf) for leaf in self._weight_leaves()]
        return jnp.stack(self._arrive(rows, *columns), axis=-1)

    # The engine's questions, on columns unless a user's subclass overrode them ----

    def _overrides(self, *methods: str) -> bool:
        """Whether a subclass replaced one of these public methods."""
        return replaced(self, ColumnModel, *methods)

    def sender_leaves(self) -> list[Any]:
        return [] if self._overrides("input_spike") else self._weight_leaves()

    def _unpack(self, y: Any) -> Any:
        return _split(y)

    def _pack(self, z: Any) -> Any:
        return jnp.stack(z, axis=-1)

    def _slope(self, t: Any, z: Any) -> Any:
        if self._overrides("dynamics"):
            return _split(self.dynamics(t, self._pack(z), None))
        return self._derivative(*z)

    def _gap(self, t: Any, z: Any) -> Any:
        if self._overrides("spike_condition"):
            return self.spike_condition(t, self._pack(z))
        return self._distance(*z)

    def _fire(self, z: Any, fired: Any) -> Any:
        if self._overrides("reset_spiked"):
            return _split(self.reset_spiked(self._pack(z), fired))
        return self._reset(fired, *z)

    def receive(self, z: Any, sender: Int[Array, ""], rows: Any, reached: Any) -> Any:
        if self._overrides("input_spike"):
            return _split(super().receive(self._pack(z), sender, rows, reached))
        return self._arrive([jnp.where(reached, row, 0) for row in rows], *z)


def _split(y: Float[Array, "neurons channels"]) -> Columns:
    return tuple(y[..., k] for k in range(y.shape[-1]))
