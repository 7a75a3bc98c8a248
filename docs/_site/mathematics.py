"""Formulas become MathML, which browsers set by themselves, in a font of the site.

No script runs in the browser, and nothing is asked of another host.
"""

from __future__ import annotations

import html
import io
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fontTools import subset
from fontTools.ttLib import TTFont
from math_core import LatexToMathML
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

FORMULA = re.compile(
    r'<(span|div) class="arithmatex">(?:\\\((.*?)\\\)|\\\[(.*?)\\\])</\1>', re.DOTALL
)
FONT = "assets/stix-two-math.woff"
# Letters, Greek, signs, arrows, operators, and the italic letters of formulas.
CHARACTERS = [*range(0x20, 0x250), *range(0x2B0, 0x530), *range(0x2010, 0x2100)]
CHARACTERS += [*range(0x2100, 0x2400), *range(0x27C0, 0x2B00), *range(0x1D400, 0x1D800)]

convert = LatexToMathML().convert_with_local_state


def on_files(files: Any, *, config: Any) -> Any:
    """Add the font."""
    files.append(File.generated(config, FONT, content=font()))
    return files


def font() -> bytes:
    """STIX Two Math (SIL Open Font License), which the package ziamath carries."""
    (folder,) = find_spec("ziamath").submodule_search_locations
    letters = TTFont(Path(folder, "fonts", "STIXTwoMath-Regular.ttf"))
    options = subset.Options(layout_features=["*"], notdef_outline=True)
    worker = subset.Subsetter(options)
    worker.populate(unicodes=CHARACTERS)
    worker.subset(letters)
    letters.flavor = "woff"
    written = io.BytesIO()
    letters.save(written)
    return written.getvalue()


def on_page_content(text: str, *, page: Any, **_: Any) -> str:
    """Set the formulas of a page."""

    def as_mathml(match: re.Match[str]) -> str:
        inline, displayed = match[2], match[3]
        formula = html.unescape(inline if displayed is None else displayed)
        try:
            done = convert(formula, displaystyle=displayed is not None)
        except Exception as error:
            where = page.file.src_uri
            raise PluginError(f"{where}: {error} in the formula {formula}") from error
        # A dot replaces that of an i, and does not stand above it.
        done = done.replace(
            'accent="true"><mi>i</mi>', 'accent="true"><mi>\U0001d6a4</mi>'
        )
        return done if displayed is None else f'<div class="formula">{done}</div>'

    return FORMULA.sub(as_mathml, text)
