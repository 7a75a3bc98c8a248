"""What a network has to know about its connections."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

INPUT = "input"

Name = str | int


@dataclasses.dataclass(frozen=True, eq=False)
class Connectivity:
    """Populations of neurons, and who hears whom; made by `connect` and `layers`.

    Unpack it into a network: `EvNN(LIF, max_solver_time=50.0, **connectivity, ...)`
    passes `n_neurons`, `in_size`, `wmask`, `input_neurons` and `output_neurons`, and
    `neuron_type_ids` where populations have types. Printed, it lists the projections.

    `a | b` has the connections of both. They must be of the same populations.

    Attributes:
        sizes: number of neurons of each population, by name, in the order in which
            neurons are numbered.
        in_size: number of input channels M.
        wmask: (N+M, N) bool, rows are senders (neurons first, then inputs), columns
            receivers.
        output_neurons: (N,) bool, the neurons that results show.
        neuron_type_ids: (N,) the model of each neuron, for `MultiNeuronModel`; None
            where populations have no types.
        inhibitory: names of the populations whose synapses are negative.

    Raises:
        KeyError: there is no population of a name.
        ValueError: two that are joined by `|` are not of the same populations.

    Example:
        >>> from eventax import EvNN
        >>> from eventax.connectivity import layers
        >>> from eventax.neuron_models import LIF
        >>> shape = layers({"hidden": 3, "out": 2}, in_size=4, recurrent=["hidden"])
        >>> shape
        Connectivity: 5 neurons, 4 inputs, 27 synapses
          hidden (3) -> hidden (3)  9
          hidden (3) -> out (2)     6
          input (4)  -> hidden (3)  12
        >>> net = EvNN(
        ...     LIF, max_solver_time=50.0, **shape, thresh=1.0, tsyn=5.0, tmem=10.0,
        ...     init_weights=1.0, init_bias=0.0,
        ... )
        >>> net.output_indices
        array([3, 4])
        >>> net.neuron_model.weights[shape.block("hidden", "out")].shape
        (3, 2)
    """

    sizes: Mapping[Name, int]
    in_size: int
    wmask: Bool[np.ndarray, "senders neurons"]
    output_neurons: Bool[np.ndarray, " neurons"]
    neuron_type_ids: Int[np.ndarray, " neurons"] | None = None
    inhibitory: tuple[Name, ...] = ()

    @property
    def n_neurons(self) -> int:
        """N, of all populations."""
        return sum(self.sizes.values())

    @property
    def input_neurons(self) -> Bool[np.ndarray, " neurons"]:
        """(N,) bool, the neurons that hear an input."""
        return np.any(self.wmask[self.n_neurons :], axis=0)

    @property
    def signs(self) -> Int[np.ndarray, "senders neurons"]:
        """(N+M, N): -1 where a synapse is inhibitory, 1 where not, 0 without one.

        Multiply positive weights by it: `init_weights=shape.signs * weights`.
        """
        sign = np.ones(self.wmask.shape[0], int)
        for name in self.inhibitory:
            sign[self.senders(name)] = -1
        return self.wmask * sign[:, None]

    def neurons(self, name: Name) -> slice:
        """The neurons of a population: columns of weights and mask."""
        if name not in self.sizes:
            raise KeyError(unknown("name", name, self.sizes))
        names = list(self.sizes)
        first = sum(self.sizes[k] for k in names[: names.index(name)])
        return slice(first, first + self.sizes[name])

    def senders(self, name: Name) -> slice:
        """The rows of weights and mask of a population, or of `"input"`."""
        if name == INPUT:
            return slice(self.n_neurons, self.n_neurons + self.in_size)
        return self.neurons(name)

    def block(self, sender: Name, receiver: Name) -> tuple[slice, slice]:
        """Where the synapses between two populations are: `weights[block]`."""
        return self.senders(sender), self.neurons(receiver)

    def keys(self) -> list[str]:
        """The keywords of a network that it holds."""
        own = ["n_neurons", "in_size", "wmask", "input_neurons", "output_neurons"]
        return own if self.neuron_type_ids is None else [*own, "neuron_type_ids"]

    def __getitem__(self, keyword: str) -> Any:
        if keyword not in self.keys():
            raise KeyError(f"`{keyword}` is none of {', '.join(self.keys())}.")
        return getattr(self, keyword)

    def __or__(self, other: Connectivity) -> Connectivity:
        if not isinstance(other, Connectivity):
            return NotImplemented
        for field in dataclasses.fields(self):
            ours, theirs = (getattr(x, field.name) for x in (self, other))
            if field.name == "sizes":
                # Neurons are numbered in this order.
                ours, theirs = list(ours.items()), list(theirs.items())
            if field.name != "wmask" and not np.array_equal(ours, theirs):
                raise ValueError(
                    "`|` must join connections of the same populations; they differ in "
                    f"`{field.name}`: {ours} and {theirs}. Give both of them the same "
                    "populations, inputs, outputs and types."
                )
        return dataclasses.replace(self, wmask=self.wmask | other.wmask)

    def __repr__(self) -> str:
        places = {**self.sizes, INPUT: self.in_size}
        rows = [
            (f"{a} ({places[a]})", f"{b} ({places[b]})", n)
            for a in places
            for b in self.sizes
            if (n := int(self.wmask[self.block(a, b)].sum()))
        ]
        left = max((len(a) for a, _, _ in rows), default=0)
        right = max((len(b) for _, b, _ in rows), default=0)
        title = (
            f"Connectivity: {self.n_neurons} neurons, {self.in_size} inputs, "
            f"{int(self.wmask.sum())} synapses"
        )
        lines = [f"  {a:{left}} -> {b:{right}}  {n}" for a, b, n in rows]
        return "\n".join([title, *lines])


def unknown(argument: str, name: Any, names: Any) -> str:
    """The message of a name that no population has."""
    return (
        f"`{argument}` must name a population, one of {list(names)}; got {name!r}. "
        "Populations given as a list are named 0, 1, ..."
    )
