"""The code of the documentation's own pages runs, each page as one program."""

import re
from pathlib import Path

import matplotlib
import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = (
    "index.md",
    "start/first_network.md",
    "guides/choosing.md",
    "guides/devices.md",
    "guides/event_data.md",
    "guides/saving.md",
    "guides/speed.md",
)
BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_page_runs(page, capsys):
    matplotlib.use("agg")
    text = (DOCS / page).read_text("utf-8")
    names = {}
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start(1))
        capsys.readouterr()
        exec(compile("\n" * line + block[1], page, "exec"), names)  # our own text
        printed = capsys.readouterr().out
        assert block[2] is None or printed == block[2]
    assert names
    if "losses" in names:  # what is trained has learnt
        assert names["losses"][-1] < 0.05 * names["losses"][0]
