"""From a network to a graph."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .._networks import EvNN
from .._networks._expected import check_network
from .._neurons import LI
from ._conventions import Convention, check_spike, ratio, warn_of_guesses
from ._kinds import write_neurons
from ._nir import import_nir
from ._notes import as_metadata, network_note, neurons_note
from ._populations import Population, populations


def to_nir(
    network: Any,
    *,
    unit: str | float | None = None,
    graph_unit: str | float | None = None,
    spike: str | None = None,
    dt: float | None = None,
) -> Any:
    r"""A network as a graph of the Neuromorphic Intermediate Representation (NIR).

    `LIF` and `PLIF` become `CubaLIF`, `LI` becomes `CubaLI`, `ALIF` that does not adapt
    `LIF`, one node for each layer and model, with

    $$\tau_s I' = -I + w_{in} S, \qquad \tau_m v' = v_{leak} - v + r I, \qquad
      r = 1, \quad v_{leak} = ic$$

    and all parameters (n,). Weights between layers are `Linear` nodes, recurrence is a
    cycle, axonal delays are `Delay` nodes, and synaptic ones `Linear` - `Delay` -
    `Linear` with a channel for each synapse. Neurons start at v = 0 and I = 0, which a
    graph does not tell.

    Graphs disagree on two things. Say what the reader of this one expects:

    | reader | `graph_unit` | `spike` |
    |---|---|---|
    | NIR's formula, Dirac pulses | "ms" | "dirac": a spike adds $w_{in} W / \tau_s$ |
    | jaxsnn, hxtorch | "ms" | "jump": it adds $w_{in} W$ |
    | Norse | "s" | "step": it adds $w_{in} W\, dt / \tau_s$ |

    `w_in` is set so that a spike adds the network's weight in that reading. The graph
    notes in its metadata how it was written, and `from_nir` reads the note.

    Arguments:
        network: an `EvNN` or `FFEvNN`.
        unit: of the network's times: "s", "ms", "us", "ns" or its length in seconds.
        graph_unit: of the graph's times, default `unit`.
        spike: "dirac", "jump" or "step", default "dirac".
        dt: for "step", how long a step is, in the graph's unit.

    Returns:
        A `nir.NIRGraph`; `nir.write(path, graph)` makes a file of it.

    Raises:
        TypeError: `network` is none.
        ValueError: the network has what NIR has no node for (another model, a wrapper),
            no input or no output; a weight, constant or delay is not finite; or a unit
            is unknown.
        ImportError: the package nir is not installed.

    Warns:
        UserWarning: neither `unit` nor `graph_unit` is given, or `spike` is not; delays
            of synapses make large nodes; or connections from `LI` neurons, which
            never fire, are left out.

    Reference:
        Pedersen et al., Neuromorphic intermediate representation: a unified instruction
        set for interoperable brain-inspired computing, Nature Communications 15, 8122
        (2024).

    Example:
        >>> from eventax import FFEvNN
        >>> from eventax.io import from_nir, to_nir
        >>> from eventax.neuron_models import LIF
        >>> net = FFEvNN(
        ...     [3, 2], 1, LIF, 50.0, thresh=1.0, tsyn=5.0, tmem=10.0,
        ...     init_weights=8.0, init_bias=0.0,
        ... )
        >>> graph = to_nir(net, unit="ms", spike="jump")
        >>> list(graph.nodes)
        ['input', 'lif_0', 'lif_1', 'input_to_lif_0', 'lif_0_to_lif_1', 'output']
        >>> graph.nodes["lif_1"].tau_mem
        array([10., 10.], dtype=float32)
        >>> from_nir(graph).ttfs([[1.0]]) == net.ttfs([[1.0]])
        Array([ True,  True], dtype=bool)
    """
    check_network("network", network)
    nir = import_nir()
    if graph_unit is None:
        graph_unit = unit
    reading, dt = check_spike("dirac" if spike is None else spike, dt)
    convention = Convention(ratio(unit, graph_unit), reading, dt)
    warn_of_guesses(graph_unit is None, spike is None)
    return _Writer(nir, network, convention).graph(graph_unit)


class _Writer:
    """The nodes and edges of a graph, while they are collected."""

    def __init__(self, nir: Any, network: EvNN, convention: Convention):
        if network.in_size == 0 or network.output_indices.size == 0:
            raise ValueError(
                "`network` must have an input and an output, since a graph has them; "
                f"got in_size={network.in_size} and {network.output_indices.size} "
                "output neurons."
            )
        self.nir = nir
        self.network = network
        self.convention = convention
        self.mask = np.asarray(network.get_wmask()) > 0
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self.populations = populations(network, self.mask)
        self._leave_out_readouts()

    def graph(self, graph_unit: str | float | None) -> Any:
        n, m = self.network.n_neurons, self.network.in_size
        self.nodes["input"] = self.nir.Input({"input": np.array([m])})
        weights = np.zeros((n + m, n), self.network.dtype)
        for group in self.populations:
            gain = self._add_neurons(group)
            weights[:, group.neurons] = group.model.weights[:, group.places] * gain  # pyright: ignore
        weights = np.where(self.mask, weights, 0)
        _check_finite("weights", weights)
        senders = [("input", n + np.arange(m))]
        senders += [(group.name, group.neurons) for group in self.populations]
        sources = [(name, self._delayed(name, who), who) for name, who in senders]
        for group in self.populations:
            for source in sources:
                self._connect(source, group, weights)
        self._add_output()
        self._connect_loose_ends()
        note = network_note(self.network, self.convention.scale)
        metadata = {"spike": self.convention.spike, **as_metadata(note)}
        if graph_unit is not None:
            metadata["time_unit"] = (
                graph_unit if isinstance(graph_unit, str) else float(graph_unit)
            )
        if self.convention.dt is not None:
            metadata["dt"] = self.convention.dt
        for node in self.nodes.values():
            _tidy_types(node)
        return self.nir.NIRGraph(self.nodes, self.edges, metadata)

    def _add(self, name: str, node: Any, *senders: str) -> str:
        self.nodes[name] = node
        self.edges += [(sender, name) for sender in senders]
        return name

    def _add_neurons(self, group: Population) -> np.ndarray:
        written = write_neurons(group.model, group.places, self.convention)
        for name, array in written.parameters.items():
            _check_finite(f"{name} of {group.name}", array)
        node = getattr(self.nir, written.kind)
        metadata = as_metadata(neurons_note(group))
        self._add(group.name, node(**written.parameters, metadata=metadata))
        return written.gain

    def _delayed(self, name: str, senders: np.ndarray) -> str:
        """The node whose output are spikes that have travelled along their axons."""
        delays = self.network.axonal_delays
        if delays is None or not self.mask[senders].any():
            return name
        node = self.nir.Delay(self._delays("axonal_delays", delays[senders]))
        return self._add(f"{name}_delay", node, name)

    def _delays(self, name: str, delays: Any) -> np.ndarray:
        """Those in force, in the graph's unit."""
        array = np.asarray(delays)
        _check_finite(name, array)
        times = np.where(array < 0, 0, array) / self.convention.scale
        return times.astype(self.network.dtype)

    def _connect(
        self,
        source: tuple[str, str, np.ndarray],
        group: Population,
        weights: np.ndarray,
    ) -> None:
        name, delayed, senders = source
        block = np.ix_(senders, group.neurons)
        mask, matrix = self.mask[block], weights[block]
        if not mask.any():
            return
        link = f"{name}_to_{group.name}"
        if self.network.delays is None:
            self._add_linear(link, matrix.T, mask.T, delayed)
        else:
            delays = self._delays("delays", np.asarray(self.network.delays)[block])
            self._add_synapses(link, matrix, mask, delays, delayed)
        self.edges.append((link, group.name))

    def _add_linear(
        self, name: str, matrix: np.ndarray, mask: np.ndarray, *senders: str
    ) -> str:
        zeros = np.argwhere(mask & (matrix == 0))
        note = as_metadata({"connected": zeros.tolist()}) if zeros.size else {}
        return self._add(name, self.nir.Linear(matrix, metadata=note), *senders)

    def _add_synapses(
        self,
        link: str,
        matrix: np.ndarray,
        mask: np.ndarray,
        delays: np.ndarray,
        sender: str,
    ) -> None:
        """One channel for each synapse: it hears its sender, waits, and is weighed."""
        sources, targets = np.nonzero(mask)
        synapses = np.arange(sources.size)
        n_sources, n_targets = mask.shape
        size = synapses.size * (n_sources + n_targets)
        warnings.warn(
            f"{synapses.size} synapses from {link.replace('_to_', ' to ')} have delays "
            f"of their own, which takes two matrices of {size} numbers together "
            f"({size * matrix.itemsize / 2**20:.3g} MiB). Axonal delays take none.",
            stacklevel=5,
        )
        expand = np.zeros((synapses.size, n_sources), matrix.dtype)
        expand[synapses, sources] = 1
        collect = np.zeros((n_targets, synapses.size), matrix.dtype)
        collect[targets, synapses] = matrix[mask]
        self._add(f"{link}_synapses", self.nir.Linear(expand), sender)
        delay = self.nir.Delay(delays[mask])
        self._add(f"{link}_delay", delay, f"{link}_synapses")
        there = np.zeros(collect.shape, bool)
        there[targets, synapses] = True
        self._add_linear(link, collect, there, f"{link}_delay")

    def _add_output(self) -> None:
        outputs = self.network.output_indices
        node = self.nir.Output({"output": np.array([outputs.size])})
        sources = [g for g in self.populations if np.isin(outputs, g.neurons).any()]
        first = sources[0]
        if len(sources) == 1 and np.array_equal(first.neurons, outputs):
            self._add("output", node, first.name)
            return
        for group in sources:
            chosen = outputs[:, None] == group.neurons
            self._add_linear(
                f"{group.name}_to_output",
                chosen.astype(self.network.dtype),
                chosen,
                group.name,
            )
        self._add("output", node, *(f"{group.name}_to_output" for group in sources))

    def _connect_loose_ends(self) -> None:
        """Join what nothing reaches or leaves by zeros: readers would add nodes."""
        heard = {sender for sender, _ in self.edges}
        hearing = {receiver for _, receiver in self.edges}
        n_inputs, n_outputs = self.network.in_size, self.network.output_indices.size
        for group in self.populations:
            links = []
            if group.name not in hearing:
                links.append(("input", group.name, n_inputs, group.neurons.size))
            if group.name not in heard:
                links.append((group.name, "output", group.neurons.size, n_outputs))
            for source, target, n, m in links:
                nothing = np.zeros((m, n), self.network.dtype)
                link = f"{source}_to_{target}"
                self._add(link, self.nir.Linear(nothing), source)
                self.edges.append((link, target))
        if "input" not in {sender for sender, _ in self.edges}:
            first = self.populations[0]
            nothing = np.zeros((first.neurons.size, n_inputs), self.network.dtype)
            self._add(f"input_to_{first.name}", self.nir.Linear(nothing), "input")
            self.edges.append((f"input_to_{first.name}", first.name))

    def _leave_out_readouts(self) -> None:
        """A node CubaLI sends its potential; neurons here that never fire, nothing."""
        readouts = [g.neurons for g in self.populations if type(g.model) is LI]
        rows = np.concatenate([np.zeros(0, int), *readouts])
        connections = int(self.mask[rows].sum())
        self.mask[rows] = False
        if connections:
            warnings.warn(
                f"{connections} connections from LI neurons are left out, since these "
                "neurons never fire.",
                stacklevel=4,
            )


def _check_finite(name: str, array: np.ndarray) -> None:
    if not np.all(np.isfinite(array)):
        raise ValueError(f"`network` must have finite {name}; some are not.")


def _tidy_types(node: Any) -> None:
    """Types as arrays, also of nodes for which nir makes tuples of them."""
    for types in (node.input_type, node.output_type):
        for name, shape in types.items():
            types[name] = np.array(shape)
