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

    A model states `start`, `derivative`, `distance`, `reset` and `arrive` on columns;
    the public methods follow. Separate columns are what the engine carries: XLA then
    fuses a whole step into few loops, which it cannot do through stacks and slices.
    A user's subclass may override any public method: the engine then uses that one.
    """

    independent: ClassVar[bool] = True

    @abc.abstractmethod
    def start(self, n_neurons: int) -> Columns:
        """Columns at t0."""

    @abc.abstractmethod
    def derivative(self, *columns: Column) -> Columns:
        """Time derivatives of the columns."""

    @abc.abstractmethod
    def distance(self, *columns: Column) -> Column:
        """Signed distance to threshold."""

    @abc.abstractmethod
    def reset(self, fired: Bool[Array, " neurons"], *columns: Column) -> Columns:
        """Columns after the neurons in `fired` spiked."""

    @abc.abstractmethod
    def arrive(self, rows: list[Column], *columns: Column) -> Columns:
        """Columns after a spike whose weights onto all neurons are `rows`."""

    @abc.abstractmethod
    def weight_leaves(self) -> list[Any]:
        """The leaves (N+M, N) whose rows `arrive` gets."""

    def padded_size(self, n_neurons: int) -> int:
        """N rounded up to full vectors, which a loop over neurons is fast on."""
        lanes = 32 // self.dtype.itemsize
        plain = not self.overrides(*PUBLIC)
        return -(-n_neurons // lanes) * lanes if plain else n_neurons

    # The public interface on (N, S) ----------------------------------------------

    def init_state(self, n_neurons: int) -> Float[Array, "neurons channels"]:
        """State (N, S) at t0."""
        return jnp.stack(self.start(n_neurons), axis=-1)

    def dynamics(self, t: Any, y: Any, args: Any) -> Any:
        """dy/dt, (N, S)."""
        return jnp.stack(self.derivative(*_split(y)), axis=-1)

    def spike_condition(self, t: Any, y: Any, **kwargs: Any) -> Any:
        """Signed distance to threshold, (N,)."""
        return self.distance(*_split(y))

    def reset_spiked(self, y: Any, spiked_mask: Any) -> Any:
        """State after the neurons in `spiked_mask` fired."""
        return jnp.stack(self.reset(spiked_mask, *_split(y)), axis=-1)

    def input_spike(self, y: Any, from_idx: Any, to_idx: Any, valid_mask: Any) -> Any:
        """State after a spike of `from_idx` arrived at `to_idx`."""
        columns = _split(y)

        def row(leaf: Array) -> Column:
            values = jnp.where(valid_mask, leaf[from_idx, to_idx], 0)
            return jnp.zeros_like(columns[0]).at[to_idx].add(values)

        rows = [row(leaf) for leaf in self.weight_leaves()]
        return jnp.stack(self.arrive(rows, *columns), axis=-1)

    # The engine's questions, on columns unless a user's subclass overrode them ----

    def overrides(self, *methods: str) -> bool:
        """Whether a subclass replaced one of these public methods."""
        return replaced(self, ColumnModel, *methods)

    def sender_leaves(self) -> list[Any]:
        return [] if self.overrides("input_spike") else self.weight_leaves()

    def unpack(self, y: Any) -> Any:
        return _split(y)

    def pack(self, z: Any) -> Any:
        return jnp.stack(z, axis=-1)

    def slope(self, t: Any, z: Any) -> Any:
        if self.overrides("dynamics"):
            return _split(self.dynamics(t, self.pack(z), None))
        return self.derivative(*z)

    def gap(self, t: Any, z: Any) -> Any:
        if self.overrides("spike_condition"):
            return self.spike_condition(t, self.pack(z))
        return self.distance(*z)

    def fire(self, z: Any, fired: Any) -> Any:
        if self.overrides("reset_spiked"):
            return _split(self.reset_spiked(self.pack(z), fired))
        return self.reset(fired, *z)

    def receive(self, z: Any, sender: Int[Array, ""], rows: Any, reached: Any) -> Any:
        if self.overrides("input_spike"):
            return _split(super().receive(self.pack(z), sender, rows, reached))
        return self.arrive([jnp.where(reached, row, 0) for row in rows], *z)


def _split(y: Float[Array, "neurons channels"]) -> Columns:
    return tuple(y[..., k] for k in range(y.shape[-1]))
