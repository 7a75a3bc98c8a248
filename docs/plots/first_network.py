"""Draw the pictures of docs/start/first_network.md, by the code that stands there."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib
from make import save_figure

PAGE = Path(__file__).parents[1] / "start" / "first_network.md"


def main() -> None:
    """Run the page as one program, and keep what it draws."""
    matplotlib.use("agg")
    names, drawn = {}, 0
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL):
        exec(block, names)
        if re.search(r"^ax = ", block, re.MULTILINE):
            drawn += 1
            names["ax"].figure.set(figwidth=5.6, figheight=3.5)
            save_figure(f"first_network_{drawn}", names["ax"].figure)


if __name__ == "__main__":
    main()
