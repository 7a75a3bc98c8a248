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
            # Files of the documentation are pages of the site.
            obj.docstring.value = re.sub(
                r"`docs/([\w/]+)\.md`", r"[`docs/\1.md`](../\1.html)", text
            )
        if isinstance(obj, griffe.Function):
            for parameter in obj.parameters:
                # Shapes are told in words.
                if "Array" in (told := str(parameter.annotation)) or told == "Any":
                    parameter.annotation = None
