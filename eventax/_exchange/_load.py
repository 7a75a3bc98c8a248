"""Nodes and edges of a graph, out of a file or not, without graphs inside it."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from ._nir import import_nir


class Flat(NamedTuple):
    """A graph in one level."""

    nodes: dict[str, Any]
    edges: list[tuple[str, str]]
    passing: set[str]
    """Inputs and outputs of graphs inside, which hand on what they get."""


def load(graph_or_path: Any) -> Any:
    """The graph itself, or that of a file."""
    nir = import_nir()
    if isinstance(graph_or_path, nir.NIRGraph):
        return graph_or_path
    try:
        path = os.fspath(graph_or_path)
    except TypeError as error:
        raise TypeError(
            "`graph_or_path` must be a nir.NIRGraph or the path of a file that "
            f"nir.write wrote; got {graph_or_path!r}."
        ) from error
    try:
        # Its types are checked here: some tools leave them out.
        graph = nir.read(path, type_check=False)
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:
        raise ValueError(
            f"{path} must be a graph in NIR, as nir.write writes it, and cannot be "
            f"read as one, so it is damaged or something else: {error!r}."
        ) from error
    if not isinstance(graph, nir.NIRGraph):
        raise ValueError(
            f"{path} must hold a graph; it holds one node, {type(graph).__name__}."
        )
    return graph


def flatten(graph: Any) -> Flat:
    """A graph in which nodes of graphs inside have the names of both, with a dot."""
    nir = import_nir()
    flat = Flat({}, [], set())
    _add(nir, graph, "", flat)
    return flat


def _add(nir: Any, graph: Any, prefix: str, flat: Flat) -> None:
    entries, exits = {}, {}
    for name, node in graph.nodes.items():
        full = f"{prefix}{name}"
        entries[name] = exits[name] = full
        if isinstance(node, nir.NIRGraph):
            entries[name] = f"{full}.{_only(nir.Input, full, node)}"
            exits[name] = f"{full}.{_only(nir.Output, full, node)}"
            _add(nir, node, f"{full}.", flat)
            continue
        flat.nodes[full] = node
        if prefix and isinstance(node, nir.Input | nir.Output):
            flat.passing.add(full)
    seen = set()
    for edge in graph.edges:
        source, target = edge
        for end in edge:
            if end not in graph.nodes:
                raise ValueError(
                    f"The edge {prefix}{source} -> {prefix}{target} must join two "
                    f"nodes of the graph; there is no node '{prefix}{end}'."
                )
        if (source, target) in seen:
            raise ValueError(
                f"The edge {prefix}{source} -> {prefix}{target} must be there once; it "
                "is there twice."
            )
        seen.add((source, target))
        flat.edges.append((exits[source], entries[target]))


def _only(kind: type, name: str, graph: Any) -> str:
    found = [key for key, node in graph.nodes.items() if isinstance(node, kind)]
    if len(found) != 1:
        raise ValueError(
            f"The graph inside node '{name}' must have one {kind.__name__}, so that an "
            f"edge to the node says where it leads; it has {len(found)}."
        )
    return found[0]
