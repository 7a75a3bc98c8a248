"""This package and others on the same problem, in turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np

from .environments import Environment
from .processes import Measurement, run_worker
from .spike_trains import Agreement, SpikeTrains, compare
from .table import Table, figure, shorten

# The best of all rounds counts: another process can only make a round slower.
BEST = ("seconds", "compile_seconds", "peak_mib", "added_mib")

HEADER = (
    "benchmark",
    "package and settings",
    "ms",
    "times faster",
    "compile s",
    "peak MiB",
    "added MiB",
    "max error ms",
    "gradient error",
    "gradient differs",
    "spikes",
)


@dataclass(frozen=True)
class Row:
    """One package with one choice of settings.

    Attributes:
        package: whose environment runs it.
        settings: said in the table; empty for the defaults.
        options: handed to the worker.
        bound: largest error in ms with which the row still counts as right.
        rounds: at most so many, for what is slow.
    """

    package: Literal["this", "peer", "jaxsnn"]
    settings: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    bound: float = 0.01
    rounds: int | None = None


@dataclass(frozen=True)
class Comparison:
    """A worker module with `measure` and `reference`, run with each row.

    Attributes:
        name: said in the table.
        worker: module beside `run.py`.
        rows: what to run, the one that others are compared with first.
        options: handed to the worker with those of each row.
    """

    name: str
    worker: str
    rows: Sequence[Row]
    options: Mapping[str, Any] = field(default_factory=dict)

    def alone(self) -> "Comparison":
        """With the rows of this package only."""
        return replace(self, rows=[row for row in self.rows if row.package == "this"])


@dataclass(frozen=True)
class RowResult:
    """What was found for one row; `error` where the package failed.

    `slope_error` is the error of the gradient along a random direction, relative to
    the gradient's norm, and `difference` its distance from the gradient of this
    package's first row, or of that in float64, relative to the norm of that one.
    """

    row: Row
    figures: Mapping[str, float]
    versions: Mapping[str, str]
    agreement: Agreement | None
    error: str = ""
    slope_error: float | None = None
    difference: float | None = None


def run_comparison(
    comparison: Comparison,
    environments: Mapping[str, Environment],
    *,
    rounds: int,
    seconds: float,
) -> list[RowResult]:
    """Run every row in turn, `rounds` times over, and compare with the oracle."""
    oracle = run_worker(
        environments["oracle"], comparison.worker, comparison.options, "reference"
    )
    if oracle.error:
        raise RuntimeError(f"the oracle of {comparison.name} failed: {oracle.error}")
    runs: list[list[Measurement]] = [[] for _ in comparison.rows]
    for turn in range(rounds):
        for row, done in zip(comparison.rows, runs, strict=True):
            if row.rounds is not None and turn >= row.rounds:
                continue
            # One more compilation, which is slow for the peer: once is enough.
            timing = {"seconds": seconds, "ahead_of_time": turn == 0}
            options = {"timing": timing, **comparison.options, **row.options}
            who = " ".join([row.package, row.settings])
            print(f"  round {turn + 1}, {comparison.name}: {who}", flush=True)
            done.append(
                run_worker(environments[row.package], comparison.worker, options)
            )
    pairs = list(zip(comparison.rows, runs, strict=True))
    own = [pair for pair in pairs if pair[0].package == "this"]
    own.sort(key=lambda pair: not pair[0].options.get("double", False))
    gradients = [
        run.arrays["gradient"] for _, done in own for run in done if run.arrays
    ]
    gradient = gradients[0] if gradients else None
    return [_summary(row, done, oracle, gradient) for row, done in pairs]


def comparison_table(
    results: Sequence[tuple[Comparison, Sequence[RowResult]]],
) -> Table:
    """All comparisons in one table."""
    lines = [
        (comparison.name, *_cells(result, _baseline(rows)))
        for comparison, rows in results
        for result in rows
    ]
    notes = (
        "ms: one loss-and-gradient call, the fastest of all rounds; compile s: first "
        "call less a later one; peak MiB: of the whole process; added MiB: what of it "
        "was not there before the first call",
        "max error: over all spikes up to and including the last first spike of an "
        "output neuron, or in the window of the loss, against a float64 oracle; "
        "FAILURE where it is above the row's bound or spikes are missing",
        "gradient error: of the derivative along a random direction, against finite "
        "differences of the oracle, over the gradient's norm; gradient differs: from "
        "that of this package's first row, or of that in float64, over its norm",
    )
    return Table("This package and others", HEADER, lines, notes)


def _baseline(rows: Sequence[RowResult]) -> RowResult:
    """The first row that has a time."""
    return next((row for row in rows if row.figures), rows[0])


def _trains(measurement: Measurement) -> SpikeTrains:
    names = [field.name for field in fields(SpikeTrains)]
    return SpikeTrains(**{name: measurement.arrays[name] for name in names})


def _summary(
    row: Row,
    runs: Sequence[Measurement],
    oracle: Measurement,
    gradient: np.ndarray | None,
) -> RowResult:
    good = [run for run in runs if not run.error]
    if not good:
        return RowResult(row, {}, {}, None, runs[0].error)
    figures = dict(good[0].figures)
    for name in BEST:
        figures[name] = min(run.figures[name] for run in good)
    outputs = oracle.arrays["outputs"].tolist()
    end = float(oracle.arrays.get("end", np.inf))
    agreement = compare(_trains(oracle), _trains(good[0]), outputs, end)
    found = good[0].arrays["gradient"].astype(float)
    slope_error = difference = None
    if "slope" in oracle.arrays:
        error = found @ oracle.arrays["direction"] - oracle.arrays["slope"]
        slope_error = float(abs(error) / np.linalg.norm(found))
    if gradient is not None:
        away = np.linalg.norm(found - gradient)
        difference = float(away / np.linalg.norm(gradient))
    return RowResult(
        row,
        figures,
        good[0].versions,
        agreement,
        slope_error=slope_error,
        difference=difference,
    )


def _cells(result: RowResult, baseline: RowResult) -> tuple[str, ...]:
    package = "jaxsnn" if result.row.package == "jaxsnn" else "eventax"
    version = result.versions.get(package, f"({result.row.package})")
    who = f"{package} {version}"
    name = f"{who}, {result.row.settings}" if result.row.settings else who
    if result.agreement is None:
        return (name, *"--------", shorten(f"FAILURE: {result.error}"))
    found, agreement = result.figures, result.agreement
    slowest = baseline.figures.get("seconds")
    reason = agreement.failure(result.row.bound)
    return (
        name,
        figure(1e3 * found["seconds"]),
        figure(slowest / found["seconds"] if slowest else None),
        figure(found["compile_seconds"]),
        figure(found["peak_mib"], 4),
        figure(found.get("added_mib")),
        figure(agreement.error, 2),
        figure(result.slope_error, 2),
        figure(result.difference, 2),
        f"FAILURE: {reason}" if reason else _remark(agreement),
    )


def _remark(agreement: Agreement) -> str:
    """What to say of trains that agree within the bound."""
    swapped = agreement.other_order + agreement.other_number
    swaps = f", near ties swapped in {swapped} samples" if swapped else ""
    return f"all {agreement.spikes}{swaps}"
