"""What a graph tells beside its equations, so that a network comes back as it was.

A note is a JSON text in a node's metadata. Another tool may lose it, and may change the
node and keep it: so a note never decides what the equations are.
"""

from __future__ import annotations

import json
from typing import Any

NAME = "eventax"


def as_metadata(note: dict[str, Any]) -> dict[str, Any]:
    """A note in the form of a node's metadata."""
    return {NAME: json.dumps(note)}


def read_note(node: Any) -> dict[str, Any]:
    """A node's note, empty where it has none or one that cannot be read."""
    metadata = getattr(node, "metadata", None)
    text = metadata.get(NAME) if isinstance(metadata, dict) else None
    try:
        note = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        note = None
    return note if isinstance(note, dict) else {}
