"""Pages of source code, to which the reference and links to files of ours lead."""

from __future__ import annotations

import importlib
import inspect
import posixpath
import re
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File
from reference import public_names

ROOT = Path(__file__).parents[2]
SCRIPTS = ["examples/*.py", "docs/plots/*.py", "benchmarks/jaxsnn_example.py"]
# Pages that are files of the project outside docs, which their links start from.
ELSEWHERE = {
    "index.md": "README.md",
    "more/changelog.md": "CHANGELOG.md",
    "more/contributing.md": "CONTRIBUTING.md",
}
# Code, which is left as it is, or a link.
PART = re.compile(
    r"^ *```.*?^ *```$|`[^`\n]+`"
    r"|\[(?P<words>(?:[^\]\[]|\[[^\]]*\])*)\]\((?P<to>[^)#\s:]+)(?P<place>#[^)\s]*)?\)",
    re.DOTALL | re.MULTILINE,
)


@cache
def shown_files() -> list[str]:
    """Files that have a page, as paths from the root: scripts, and what is public."""
    found = {path for pattern in SCRIPTS for path in ROOT.glob(pattern)}
    for name in public_names():
        module, _, part = name.rpartition(".")
        value = getattr(importlib.import_module(module), part)
        if inspect.isclass(value) or inspect.isfunction(value):
            found.add(Path(inspect.getfile(value)))
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def page_of(path: str) -> str:
    """The page of a file, under docs."""
    return f"source/{path.removesuffix('.py')}.md"


def on_files(files: Any, *, config: Any) -> Any:
    """Add a page for each file."""
    for path in shown_files():
        code = (ROOT / path).read_text("utf-8")
        fence = "`" * (3 + max(map(len, re.findall(r"`{3,}", code)), default=0))
        text = (
            "---\nsearch:\n  exclude: true\nhide: [navigation, toc]\n---\n\n"
            f'# {path}\n\n{fence}python linenums="1"\n{code}\n{fence}\n'
        )
        files.append(File.generated(config, page_of(path), content=text))
    return files


def on_page_markdown(text: str, *, page: Any, files: Any, **_: Any) -> str:
    """Links to files of the project lead to their pages here, others become text."""
    here = posixpath.dirname(page.file.src_uri)
    at = _original(page.file.src_uri)
    there = {_original(file.src_uri): file.src_uri for file in files}
    there |= {path: page_of(path) for path in shown_files()}
    # A tutorial is a page, and a file to download.
    tutorials = [path for path in there if path.endswith(".ipynb")]
    there |= {path: there[path].replace(".ipynb", ".md") for path in tutorials}

    def lead(match: re.Match[str]) -> str:
        words, target, place = match["words"], match["to"], match["place"] or ""
        if target is None:
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(at), target))
        if path in there:
            return f"[{words}]({posixpath.relpath(there[path], here or '.')}{place})"
        return words if (ROOT / path).exists() else match[0]

    return PART.sub(lead, text)


def _original(uri: str) -> str:
    """Where in the project a page comes from."""
    if uri.startswith("benchmarks/"):
        return uri
    return ELSEWHERE.get(uri, f"docs/{uri}")
