"""The newest stored results beside other packages: ``python benchmarks/peers.py``.

Prints the table of the README, which a test compares, and of the documentation's home.
Of another package the fastest settings that run are shown, of this one the defaults.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
TASKS = {
    "regression": "regression, 21 recurrent QIF neurons",
    "Yin-Yang 5-120-3": "Yin-Yang, 5-120-3 LIF",
    "Yin-Yang 5-20-3, trainable delays": "Yin-Yang, 5-20-3 LIF, trainable delays",
    "recurrent 50-24-4": "50-24-4 LIF, recurrent",
    "recurrent izhikevich": "recurrent Izhikevich neurons",
    "recurrent eif": "recurrent EIF neurons",
    "jaxsnn's example 5-100-3, a step (µs, not ms)": "jaxsnn's example, 5-100-3 LIF",
}
# The one comparison whose unit of simulated time is not ms.
MICROSECONDS = "jaxsnn's example 5-100-3, a step (µs, not ms)"


def newest() -> dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
    """By comparison, the whole report that has it last, and its rows there."""
    reports = [json.loads(p.read_text("utf-8")) for p in RESULTS.glob("*.json")]
    reports.sort(key=lambda report: report["machine"]["date"])
    return {
        name: (report, rows)
        for report in reports
        for name, rows in report["comparisons"].items()
    }


def table() -> str:
    """Time of loss and gradient and largest error of a spike time, in Markdown."""
    lines = [
        "| task | other package | time | error | time here | error here | date |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    stored = newest()
    for name, task in TASKS.items():
        report, rows = stored[name]
        ran = [r for r in rows if r["package"] != "this" and r["figures"]]
        other = min(ran, key=_seconds)
        (ours,) = (r for r in rows if r["package"] == "this" and not r["settings"])
        unit = "µs" if name == MICROSECONDS else "ms"
        told = [task, _package(report, other)]
        for row in (other, ours):
            told += [_time(row), f"{_short(row['agreement']['error'])} {unit}"]
        told.append(report["machine"]["date"].split()[0])
        lines.append("| " + " | ".join(told) + " |")
    return "\n".join(lines)


def _time(row: dict[str, Any]) -> str:
    ms = 1e3 * _seconds(row)
    return f"{ms:,.0f} ms" if ms >= 100 else f"{ms:.3g} ms"


def _seconds(row: dict[str, Any]) -> float:
    return row["figures"]["seconds"]


def _short(x: float) -> str:
    return f"{x:.0f}" if x >= 1 else f"{x:.1g}"


def _package(report: dict[str, Any], row: dict[str, Any]) -> str:
    name = "jaxsnn" if row["package"] == "jaxsnn" else "eventax"
    version = report["versions"][row["package"]][name]
    settings = f", {row['settings']}" if row["settings"] else ""
    return f"{name} {version}{settings}"


if __name__ == "__main__":
    print(table())
