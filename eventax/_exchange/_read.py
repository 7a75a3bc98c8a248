"""From a graph to a network."""

from __future__ import annotations

from typing import Any

from .._networks import EvNN
from ._build import build
from ._conventions import (
    Convention,
    check_spike,
    ratio,
    told_convention,
    warn_of_guesses,
)
from ._load import flatten, load
from ._notes import read_note
from ._trace import trace


def from_nir(
    graph_or_path: Any,
    max_solver_time: float | None = None,
    *,
    unit: str | float | None = None,
    graph_unit: str | float | None = None,
    spike: str | None = None,
    dt: float | None = None,
    **keywords: Any,
) -> EvNN:
    r"""A network with the equations of a graph in NIR.

    `CubaLIF` becomes `LIF`, `CubaLI` becomes `LI`, and `LIF`, whose potential itself
    jumps, `ALIF` with a threshold that stays where it is. Between them may be `Linear`,
    `Affine`, `Scale`, `Delay`, `Flatten`, and what is unrolled into single synapses:
    `Conv1d`, `Conv2d`, `SumPool2d`, `AvgPool2d`. A weight of 0 is no connection. Graphs
    inside graphs are taken apart. Neurons start at v = 0 and I = 0.

    What cannot be represented exactly is an error that names node and reason: a bias
    that passes a synapse, an `IF` neuron, a weighted sum as output, two ways of
    different delay between the same two neurons.

    Graphs disagree on the unit of time and on what a spike adds. A graph that `to_nir`
    wrote tells both, and comes back with the settings, the numbering and the bits that
    it had. Of other graphs, say what their writer meant:

    | writer | `graph_unit` | `spike` |
    |---|---|---|
    | NIR's formula, Dirac pulses | "ms" | "dirac": a spike adds $w_{in} W / \tau_s$ |
    | jaxsnn, hxtorch | "ms" | "jump": it adds $w_{in} W$ |
    | snnTorch | "s" | "step", `dt=1e-4`: it adds $w_{in} W\, dt / \tau_s$ |

    Neurons are numbered by the longest way from an input, then by the node's name;
    output neurons are those that reach an `Output`, in the order of their numbers.

    Arguments:
        graph_or_path: a `nir.NIRGraph`, or the path of a file that holds one.
        max_solver_time: as of `EvNN`; may be left out for a graph of `to_nir`.
        unit: of the network's times, "s", "ms", "us", "ns" or its length in seconds;
            default that of the graph.
        graph_unit: of the graph's times.
        spike: "dirac", "jump" or "step", default "dirac".
        dt: for "step", how long a step is, in the graph's unit.
        **keywords: keywords of `EvNN` that the graph does not settle, such as
            `max_event_steps` (default 1000), `dtype`, `solver`; and
            `neuron_model=PLIF` for trainable time constants.

    Returns:
        An `FFEvNN` where each layer feeds all of the next and nothing else, otherwise
        an `EvNN`; times are in `unit`.

    Raises:
        ValueError: the file is damaged or something else; a node is not known, its
            parameters do not fit or are out of range, or no model here has its
            equation; shapes do not fit; or arguments contradict what the graph tells.
        TypeError: `graph_or_path` is neither a graph nor a path.
        FileNotFoundError: there is no such file.
        ImportError: the package nir is not installed.

    Warns:
        UserWarning: `graph_unit` or `spike` is not given, and the graph does not tell.

    Example:
        >>> import nir, numpy as np
        >>> from eventax.io import from_nir
        >>> n = lambda *x: np.array(x)
        >>> graph = nir.NIRGraph.from_list(
        ...     nir.Linear(n([4.0], [5.0])),
        ...     nir.CubaLIF(n(5.0, 5.0), n(10.0, 10.0), n(1.0, 1.0), n(0.0, 0.0),
        ...                 n(1.0, 1.0)),
        ... )
        >>> net = from_nir(graph, max_solver_time=50.0, graph_unit="ms", spike="jump")
        >>> net.ttfs([[1.0]]).round(2)
        Array([7.93, 4.24], dtype=float32)
    """
    graph = load(graph_or_path)
    told = told_convention(graph.metadata)
    graph_unit = _settled("graph_unit", graph_unit, told.get("time_unit"))
    wanted = _settled("spike", spike, told.get("spike"))
    dt = _settled("dt", dt, told.get("dt"))
    reading, dt = check_spike("dirac" if wanted is None else wanted, dt)
    note = read_note(graph)
    convention = Convention(ratio(unit, graph_unit), reading, dt)
    # A graph of `to_nir` without a unit is one whose writer was warned.
    warn_of_guesses(graph_unit is None and not note, wanted is None)
    traced = trace(flatten(graph), convention)
    if max_solver_time is not None:
        keywords["max_solver_time"] = max_solver_time
    return build(traced, note, convention.scale, keywords)


def _settled(name: str, given: Any, told: Any) -> Any:
    """An argument, or what the graph says; both only where they agree."""
    if given is None or told is None:
        return told if given is None else given
    if given != told:
        raise ValueError(
            f"`{name}` must be {told!r}, which the graph's metadata tells, or be left "
            f"out; got {given!r}."
        )
    return given
