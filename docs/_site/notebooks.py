"""Tutorials are run when the site is built; one that fails or warns ends the build.

What a notebook shows is kept in out/notebooks until it or the package changes.
NOTEBOOKS=0 runs none: it shows what is kept, however old, or the code alone.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
from execution import ROOT, execute, warnings_in
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File
from nbclient.exceptions import CellExecutionError
from nbconvert import MarkdownExporter

KEPT = ROOT / "out" / "notebooks"
AT_ONCE = 2

log = logging.getLogger("mkdocs.hooks.notebooks")


def on_config(config: Any) -> Any:
    """Leave out of the navigation what is not there."""
    config.nav = [_existing(entry, Path(config.docs_dir)) for entry in config.nav]
    return config


def _existing(entry: Any, docs: Path) -> Any:
    """An entry of the navigation; notebooks are pages, if they exist."""
    if isinstance(entry, str):
        return entry
    ((title, value),) = entry.items()
    if isinstance(value, str):
        return {title: value.replace(".ipynb", ".md")}
    missing = [
        part
        for part in value
        if isinstance(part, dict)
        and (path := str(next(iter(part.values())))).endswith(".ipynb")
        and not (docs / path).exists()
    ]
    return {title: [_existing(part, docs) for part in value if part not in missing]}


def on_files(files: Any, *, config: Any) -> Any:
    """Add a page for each notebook, and its pictures."""
    notebooks = sorted(Path(config.docs_dir, "tutorials").glob("*.ipynb"))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        shown = list(pool.map(show, notebooks))
    for path, (text, pictures) in zip(notebooks, shown, strict=True):
        note = f'\n<a class="notebook" href="{path.name}" download>The notebook</a>\n'
        title, _, rest = text.partition("\n")
        page = f"tutorials/{path.stem}.md"
        files.append(File.generated(config, page, content=f"{title}\n{note}{rest}"))
        for name, content in pictures.items():
            there = f"tutorials/{name}"
            files.append(File.generated(config, there, content=content))
    return files


def show(path: Path) -> tuple[str, dict[str, bytes]]:
    """The notebook with its results, in Markdown, and the pictures by name."""
    running = os.environ.get("NOTEBOOKS") != "0"
    kept = KEPT / f"{path.stem}-{_state(path)}.pickle"
    old = sorted(KEPT.glob(f"{path.stem}-*.pickle"))
    for found in [kept] if running else old[-1:]:
        if found.exists():
            return pickle.loads(found.read_bytes())
    notebook = nbformat.read(path, as_version=4)
    if running:
        _run(notebook, path)
    for cell in notebook.cells:
        # What a plot function returns is not to be read.
        said = [o for o in cell.get("outputs", []) if not _is_axes(o)]
        cell.update({"outputs": said} if cell.cell_type == "code" else {})
    names = {"unique_key": path.stem, "output_files_dir": f"{path.stem}_files"}
    text, resources = MarkdownExporter().from_notebook_node(notebook, names)
    text = text.replace("![png]", "![picture]")
    shown = text.lstrip(), dict(resources.get("outputs", {}))
    if running:
        KEPT.mkdir(parents=True, exist_ok=True)
        for replaced in old:
            replaced.unlink()
        kept.write_bytes(pickle.dumps(shown))
    return shown


def _is_axes(output: nbformat.NotebookNode) -> bool:
    return output.get("data", {}).get("text/plain", "").startswith("<Axes")


def _run(notebook: nbformat.NotebookNode, path: Path) -> None:
    start = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            execute(notebook, folder)
    except CellExecutionError as error:
        raise PluginError(f"{path.name} failed:\n{error}") from error
    if said := warnings_in(notebook):
        raise PluginError(f"{path.name} warns:\n{said}")
    log.info("%s: %.0f s", path.name, time.perf_counter() - start)


def _state(path: Path) -> str:
    """What the results depend on, in a few letters."""
    told = hashlib.sha256(path.read_bytes())
    for module in sorted((ROOT / "eventax").rglob("*.py")):
        told.update(module.read_bytes())
    return told.hexdigest()[:16]
