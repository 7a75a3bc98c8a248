"""Docstrings as the reference shows them: an extension of griffe, which reads them."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Docstrings(griffe.Extension):
    """Examples become code, and annotations that say nothing go."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Prepare an object that has been read."""
        if obj.docstring:
            # griffe knows sections of doctests by this name only.
            text = re.sub(r"(?m)^( *)Example:$", r"\1Examples:", obj.docstring.value)
            obj.docstring.value = text
        if isinstance(obj, griffe.Function):
            for parameter in obj.parameters:
                # Shapes are told in words.
                if "Array" in (told := str(parameter.annotation)) or told == "Any":
                    parameter.annotation = None
