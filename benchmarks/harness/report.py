"""Results as JSON (everything) and Markdown (the tables)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .check import Check, CheckResult, check_table
from .comparison import Comparison, RowResult, comparison_table
from .curve import Curve, Point, curve_table, slopes
from .machine import describe
from .picture import draw
from .table import Table


class Report:
    """Collects results, prints them as they come and writes them at the end."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self.machine = describe()
        self.parameters = dict(parameters)
        self.comparisons: list[tuple[Comparison, list[RowResult]]] = []
        self.curves: list[tuple[Curve, list[Point]]] = []
        self.checks: list[tuple[Check, list[CheckResult]]] = []

    def tables(self) -> list[Table]:
        """One table per kind of benchmark that was run."""
        made = []
        if self.comparisons:
            made.append(comparison_table(self.comparisons))
        if self.checks:
            made.append(check_table(self.checks))
        if self.curves:
            made.append(curve_table(self.curves))
        return made

    def versions(self) -> dict[str, dict[str, str]]:
        """Versions by package under test, as the workers saw them."""
        seen = [
            (r.row.package, r.versions) for _, rows in self.comparisons for r in rows
        ]
        seen += [("this", p.versions) for _, points in self.curves for p in points]
        seen += [
            (c.package, c.measurement.versions)
            for _, found in self.checks
            for c in found
        ]
        return {package: dict(versions) for package, versions in seen if versions}

    def markdown(self) -> str:
        """Machine, versions and tables."""
        lines = [f"# Benchmarks, {self.machine['date']}", ""]
        lines += [f"- {name}: {value}" for name, value in self.machine.items()]
        lines += [f"- {name}: {value}" for name, value in self.parameters.items()]
        for package, versions in self.versions().items():
            listed = ", ".join(f"{name} {value}" for name, value in versions.items())
            lines.append(f"- versions ({package}): {listed}")
        tables = [table.markdown() for table in self.tables()]
        return "\n\n".join(["\n".join(lines), *tables]) + "\n"

    def write(self, folder: Path, suffix: str) -> list[Path]:
        """Write `DATE-COMMIT{suffix}` with `.json`, `.md` and, for curves, `.png`."""
        folder.mkdir(parents=True, exist_ok=True)
        date = str(self.machine["date"]).split()[0]
        stem = f"{date}-{self.machine['commit']}{suffix}"
        json_file, text_file = folder / f"{stem}.json", folder / f"{stem}.md"
        json_file.write_text(json.dumps(self._content(), indent=1) + "\n")
        text_file.write_text(self.markdown())
        written = [json_file, text_file]
        picture = folder / f"curves{suffix}.png"
        if self.curves and draw(self.curves, picture):
            written.append(picture)
        return written

    def _content(self) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "parameters": self.parameters,
            "versions": self.versions(),
            "comparisons": {c.name: _rows(rows) for c, rows in self.comparisons},
            "curves": {c.name: _points(points) for c, points in self.curves},
            "checks": {c.name: _verdicts(c, found) for c, found in self.checks},
        }


def _rows(rows: Sequence[RowResult]) -> list[dict[str, Any]]:
    return [
        {
            "package": result.row.package,
            "settings": result.row.settings,
            "bound_ms": result.row.bound,
            "figures": dict(result.figures),
            "gradient_error": result.slope_error,
            "gradient_differs": result.difference,
            "agreement": asdict(result.agreement) if result.agreement else None,
            "failure": result.error
            or (result.agreement and result.agreement.failure(result.row.bound)),
        }
        for result in rows
    ]


def _points(points: Sequence[Point]) -> list[dict[str, Any]]:
    return [
        {
            "size": point.size,
            "slopes": rises,
            "figures": dict(point.figures),
            "error": point.error,
        }
        for point, rises in zip(points, slopes(points), strict=True)
    ]


def _verdicts(check: Check, found: Sequence[CheckResult]) -> list[dict[str, Any]]:
    return [
        {
            "package": result.package,
            "figures": result.measurement.figures,
            "verdict": result.verdict(check),
        }
        for result in found
    ]
