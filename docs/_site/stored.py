"""Pages of what is kept elsewhere in the project: results, changelog, contributing."""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "benchmarks" / "results"
TRAINED = ROOT / "docs" / "results"

sys.path.insert(0, str(ROOT / "benchmarks"))
import peers  # noqa: E402  # benchmarks/peers.py


def on_files(files: Any, *, config: Any) -> Any:
    """Add the pages and pictures of stored benchmarks."""
    for path in [ROOT / "benchmarks" / "README.md", *sorted(RUNS.glob("*.[mp][dn]*"))]:
        there = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, there, abs_src_path=str(path)))
    for page, path in {
        "changelog": "CHANGELOG.md",
        "contributing": "CONTRIBUTING.md",
    }.items():
        text = (ROOT / path).read_text("utf-8")
        files.append(File.generated(config, f"more/{page}.md", content=text))
    citation = ROOT / "CITATION.cff"
    files.append(File.generated(config, citation.name, abs_src_path=str(citation)))
    return files


def on_page_markdown(text: str, *, page: Any, **_: Any) -> str:
    """Put stored numbers where a page asks for them: <!-- stored: peers -->."""
    if page.file.src_uri.startswith("benchmarks/results/"):
        page.meta["hide"] = ["navigation", "toc"]  # their tables are wide
    return re.sub(r"<!-- stored: (\w+) -->", lambda m: STORED[m[1]](), text)


def _runs() -> str:
    """Links to all stored runs, the newest first."""
    lines = ["| run | commit | what |", "|---|---|---|"]
    reports = [
        (json.loads(path.read_text("utf-8")), path) for path in RUNS.glob("*.json")
    ]
    for report, path in sorted(
        reports, key=lambda pair: pair[0]["machine"]["date"], reverse=True
    ):
        machine = report["machine"]
        what = [*report["comparisons"], *report["curves"], *report["checks"]]
        page = f"../benchmarks/results/{path.stem}.md"
        told = "; ".join(what[:3]) + (f"; {n} more" if (n := len(what[3:])) else "")
        lines.append(f"| [{machine['date']}]({page}) | {machine['commit']} | {told} |")
    return "\n".join(lines)


def _training() -> str:
    """Accuracy of each stored training, over its seeds."""
    lines = ["| | test accuracy | seeds |", "|---|---:|---:|"]
    for path in sorted(TRAINED.glob("*.json")):
        seeds = json.loads(path.read_text("utf-8"))
        if not isinstance(seeds, list):
            continue
        found = [100 * seed["test_accuracy"] for seed in seeds]
        spread = statistics.stdev(found)
        name = path.stem.replace("_", " ")
        lines.append(
            f"| [{name}](../results/{path.stem}.md) | "
            f"{statistics.mean(found):.2f} ± {spread:.2f} % | {len(found)} |"
        )
    return "\n".join(lines)


def _random_networks() -> str:
    """Networks compared with the oracle, by engine, precision and commit."""
    runs = [
        json.loads(path.read_text("utf-8"))
        for path in sorted((TRAINED / "random_networks").glob("*.json"))
    ]
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for run in runs:
        key = (run["engine"], run["of"], run["about"]["commit"])
        groups.setdefault(key, []).append(run)
    lines = [
        "| engine | compared | agree | disagree | tell nothing | seeds | run |",
        "|---|---|---:|---:|---|---|---|",
    ]
    for (engine, of, commit), same in sorted(groups.items()):
        counts: Counter[str] = sum((Counter(r["counts"]) for r in same), Counter())
        agree, disagree = counts.pop("ok", 0), counts.pop("WRONG", 0)
        silent = "; ".join(f"{n} {why}" for why, n in sorted(counts.items()))
        seeds = ", ".join(sorted({str(run["seed"]) for run in same}, key=int))
        about = same[0]["about"]
        packages = ", ".join(f"{k} {about[k]}" for k in ("python", "jax", "jaxlib"))
        by = f"{engine} {about.get('library', '')}".strip()
        lines.append(
            f"| {by} | {of} | {agree} | {disagree} | {silent} | {seeds} "
            f"| {about['date']}, {commit}, {packages} |"
        )
    return "\n".join(lines)


STORED = {
    "peers": peers.table,
    "runs": _runs,
    "training": _training,
    "random_networks": _random_networks,
}
