"""Pages fit a phone: long names may break at signs, wide pictures keep their size.

How the marks that are set here look: docs/assets/site.css.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

PICTURE = re.compile(r'<img alt="([^"]*)" src="([^":]+\.png)"')
TABLE = re.compile(r"<table>.*?</table>", re.DOTALL)
CELL = re.compile(r"<td([^>]*)>(.*?)</td>", re.DOTALL)
# Code in blocks is scrolled by itself.
KEPT = re.compile(r"(<head>.*?</head>|<pre.*?</pre>|<script.*?</script>)", re.DOTALL)
NAME = re.compile(r"<code>.*?</code>|<h([1-6])[^>]*>.*?</h\1>", re.DOTALL)
TAG = re.compile(r"(<[^>]*>|&[^;]+;)")
WORD = re.compile(r"\S{16,}")
SIGNS = re.compile(r"(?<=\w[./(=,])(?=\w)")
PARTS = re.compile(r"(?<=\w[._/(=,])(?=\w)")
HEAD = re.compile(r"<th[ >]")

MANY_COLUMNS = 4
LONG = 40  # characters in a cell
VERY_LONG = 24  # characters in a name, which may break at any sign then
WIDE = 1000  # pixels of a picture
LOW = 2  # width by height, from which on a picture is made of several


def on_page_content(text: str, *, page: Any, files: Any, **_: Any) -> str:
    """Mark what is wide."""
    by_place = {file.dest_uri: file for file in files}

    def marked(match: re.Match[str]) -> str:
        there = posixpath.join(posixpath.dirname(page.file.dest_uri), match[2])
        file = by_place.get(posixpath.normpath(there))
        if file is None or not _is_wide(file.content_bytes):
            return match[0]
        return f'<img class="wide" alt="{match[1]}" src="{match[2]}"'

    return TABLE.sub(_with_long_cells, PICTURE.sub(marked, text))


def _is_wide(png: bytes) -> bool:
    width, height = (int.from_bytes(png[k : k + 4]) for k in (16, 20))
    return width > WIDE or width > LOW * height


def _with_long_cells(table: re.Match[str]) -> str:
    if len(HEAD.findall(table[0].partition("</tr>")[0])) < MANY_COLUMNS:
        return table[0]
    return CELL.sub(
        lambda cell: (
            f'<td class="long"{cell[1]}>{cell[2]}</td>'
            if len(TAG.sub("", cell[2])) > LONG
            else cell[0]
        ),
        table[0],
    )


def on_post_page(text: str, **_: Any) -> str:
    """Let names break after a sign, once they have been indexed for the search."""
    parts = KEPT.split(text)
    parts[::2] = [NAME.sub(lambda match: _breakable(match[0]), p) for p in parts[::2]]
    return "".join(parts)


def _breakable(name: str) -> str:
    parts = TAG.split(name)
    parts[::2] = [WORD.sub(_with_places, part) for part in parts[::2]]
    return "".join(parts)


def _with_places(word: re.Match[str]) -> str:
    places = PARTS if len(word[0]) > VERY_LONG else SIGNS
    return places.sub("<wbr>", word[0])
