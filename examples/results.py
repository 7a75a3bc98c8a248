"""Put the results of several seeds together: a table, a picture and all numbers.

``python examples/results.py out/a out/b ... --to docs/results/name`` reads what
``yin_yang.py``, ``mnist.py`` or ``speech.py`` wrote to these folders, and writes
``name.md``, ``name.png`` and ``name.json``. Accuracies are those of the final epoch.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from eventax import plot


def common_part(dicts: list[dict[str, Any]]) -> dict[str, Any]:
    """What all of them agree on."""
    first, *others = dicts
    return {k: v for k, v in first.items() if all(d.get(k) == v for d in others)}


def describe(summaries: list[dict[str, Any]], name: str) -> str:
    """The report as Markdown."""
    settings = common_part([s["settings"] for s in summaries])
    versions = common_part([s["versions"] for s in summaries])
    accuracies = 100 * np.array([s["test_accuracy"] for s in summaries])
    spread = np.std(accuracies, ddof=1) if len(accuracies) > 1 else 0.0
    options = ", ".join(f"`{k}` {v}" for k, v in settings.items() if v is not None)
    packages = ", ".join(f"{k} {v}" for k, v in versions.items())
    rows = [
        f"| {s['settings']['seed']} | {100 * s['test_accuracy']:.2f} | "
        f"{100 * s['validation_accuracy']:.2f} | {100 * s['train_accuracy']:.2f} | "
        f"{100 * s['silent_fraction']:.0f} | {s['seconds']:.0f} |"
        for s in summaries
    ]
    head = "| seed | test (%) | validation (%) | training (%) | silent (%) | time (s) |"
    return "\n".join(
        [
            "# " + name.replace("_", " "),
            "",
            f"Test accuracy after the final epoch: mean {accuracies.mean():.2f} %, "
            f"standard deviation {spread:.2f} %, lowest {accuracies.min():.2f} %, "
            f"highest {accuracies.max():.2f} %, over {len(accuracies)} seeds and "
            f"{summaries[0]['test_samples']} test samples each.",
            "",
            head,
            "|---:" * 6 + "|",
            *rows,
            "",
            "“silent” are pairs of a validation sample and a hidden neuron without a "
            "spike. The accuracy on training samples is that of the batches, while "
            "learning.",
            "",
            f"![Curves]({name}.png)",
            "",
            f"Settings: {options}; {summaries[0]['epochs']} epochs.",
            "",
            f"Versions: {packages}. Machine: {summaries[0]['machine']}.",
            "",
        ]
    )


def draw(summaries: list[dict[str, Any]]) -> Figure:
    """Loss and accuracies of all seeds over epochs."""
    fig = Figure(figsize=(8.0, 3.2), layout="constrained")
    left, right = fig.subplots(1, 2)
    loss, *accuracies = (
        np.array([s["curves"][name] for s in summaries])
        for name in ("loss", "train_accuracy", "validation_accuracy")
    )
    plot.learning_curves(loss, log=True, xlabel="epoch", ax=left)
    training, validation = 100 * np.array(accuracies)
    named = {"training": training, "validation": validation}
    plot.learning_curves(named, xlabel="epoch", ylabel="accuracy (%)", ax=right)
    lowest = validation[:, -5:].min()
    right.set_ylim(lowest - 15 if lowest < 92 else 90, 100)
    return fig


def main(argv: Sequence[str] | None = None) -> None:
    """Read the folders and write the three files."""
    parser = argparse.ArgumentParser(description="Put results of seeds together.")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--to", type=Path, required=True, help="path without suffix")
    args = parser.parse_args(argv)
    texts = [(folder / "summary.json").read_text("utf-8") for folder in args.folders]
    # Six digits are enough for curves.
    read = partial(json.loads, parse_float=lambda text: round(float(text), 6))
    summaries = [read(text) for text in texts]
    for settings in (s["settings"] for s in summaries):
        if settings.get("npz"):  # a folder of this machine is of no use to others
            settings["npz"] = Path(settings["npz"]).name
    args.to.parent.mkdir(parents=True, exist_ok=True)
    args.to.with_suffix(".json").write_text(json.dumps(summaries) + "\n", "utf-8")
    args.to.with_suffix(".md").write_text(describe(summaries, args.to.name), "utf-8")
    draw(summaries).savefig(args.to.with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    main()
