"""Notebooks, executed in a kernel of their own."""

import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]


def execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Run all cells, with `folder` as the working directory; outputs are put in."""
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    # The kernel must not inherit a backend that `%matplotlib inline` does not expect.
    env = os.environ | {
        # On a busy machine XLA says that compiling takes long.
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
        ),
    }
    client.execute(env=env)


def pictures_in(cell: nbformat.NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for output in cell.outputs)
