"""Notebooks, executed in a kernel of their own: for the site, and for the tests."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 600  # for one cell

# What the kernel is told, whatever the shell says.
ENVIRONMENT = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # as in Jupyter
    # On a busy machine XLA says that compiling takes long.
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


def execute(notebook: nbformat.NotebookNode, folder: Path | str) -> None:
    """Run all cells, with `folder` as the working directory; outputs are put in."""
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
        coalesce_streams=True,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    paths = filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    client.execute(
        env=os.environ | ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(paths)}
    )


def warnings_in(notebook: nbformat.NotebookNode) -> str:
    """All that was written to the error stream."""
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    return "".join(out.text for out in outputs if out.get("name") == "stderr")


def pictures_in(cell: nbformat.NotebookNode) -> int:
    """How many pictures a cell shows."""
    outputs = cell.get("outputs", [])
    return sum("image/png" in output.get("data", {}) for output in outputs)
