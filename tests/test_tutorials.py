"""The tutorials run, say nothing they should not, and end in a picture."""

import re

import nbformat
import pytest
from execution import ROOT, execute, pictures_in, warnings_in

FOLDER = ROOT / "docs" / "tutorials"
TUTORIALS = sorted(FOLDER.glob("*.ipynb"))

each = pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)


def cells_of(path, kind):
    notebook = nbformat.read(path, as_version=4)
    return notebook, [cell for cell in notebook.cells if cell.cell_type == kind]


def test_the_index_lists_every_tutorial_once():
    index = (FOLDER / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"\]\((\w+\.ipynb)\)", index)
    assert sorted(listed) == [path.name for path in TUTORIALS]


@each
def test_nothing_is_stored_but_the_source(path):
    notebook, code = cells_of(path, "code")
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert all(cell.outputs == [] for cell in code)
    assert all(cell.execution_count is None for cell in code)


@each
def test_links_lead_somewhere(path):
    _, texts = cells_of(path, "markdown")
    links = re.findall(r"\]\(([^)\s]+)\)", "\n".join(cell.source for cell in texts))
    inside = [link.split("#")[0] for link in links if "://" not in link]
    assert inside
    for link in inside:
        assert (FOLDER / link).is_file(), link


@pytest.mark.slow
@each
def test_it_runs_and_ends_in_a_picture(path, tmp_path):
    notebook, code = cells_of(path, "code")
    execute(notebook, tmp_path)
    assert warnings_in(notebook) == ""
    assert any(pictures_in(cell) for cell in code[-3:])
