"""This package and the older one on the same problem, in turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from .environments import Environment
from .processes import Measurement, run_worker
from .spike_trains import Agreement, SpikeTrains, compare
from .table import Table, figure, shorten

# The best of all rounds counts: another process can only make a round slower.
BEST = ("seconds", "compile_seconds", "peak_mib")

HEADER = (
    "benchmark",
    "package and settings",
    "ms",
    "times faster",
    "compile s",
    "peak MiB",
    "max error ms",
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
    """

    package: Literal["this", "peer"]
    settings: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    bound: float = 0.01


@dataclass(frozen=True)
class Comparison:
    """A worker module with `measure` and `reference`, run with each row.

    Attributes:
        name: said in the table.
        worker: module beside `run.py`.
        rows: what to run, the one that others are compared with first.
    """

    name: str
    worker: str
    rows: Sequence[Row]


@dataclass(frozen=True)
class RowResult:
    """What was found for one row; `error` where the package failed."""

    row: Row
    figures: Mapping[str, float]
    versions: Mapping[str, str]
    agreement: Agreement | None
    error: str = ""


def run_comparison(
    comparison: Comparison,
    environments: Mapping[str, Environment],
    *,
    rounds: int,
    seconds: float,
) -> list[RowResult]:
    """Run every row in turn, `rounds` times over, and compare with the oracle."""
    oracle = run_worker(environments["oracle"], comparison.worker, {}, "reference")
    if oracle.error:
        raise RuntimeError(f"the oracle of {comparison.name} failed: {oracle.error}")
    reference, outputs = _trains(oracle), oracle.arrays["outputs"].tolist()
    runs: list[list[Measurement]] = [[] for _ in comparison.rows]
    for turn in range(rounds):
        for row, done in zip(comparison.rows, runs, strict=True):
            # One more compilation, which is slow for the peer: once is enough.
            timing = {"seconds": seconds, "ahead_of_time": turn == 0}
            options = {"timing": timing, **row.options}
            who = " ".join([row.package, row.settings])
            print(f"  round {turn + 1}, {comparison.name}: {who}", flush=True)
            done.append(
                run_worker(environments[row.package], comparison.worker, options)
            )
    return [
        _summary(row, done, reference, outputs)
        for row, done in zip(comparison.rows, runs, strict=True)
    ]


def comparison_table(
    results: Sequence[tuple[Comparison, Sequence[RowResult]]],
) -> Table:
    """All comparisons in one table."""
    lines = [
        (comparison.name, *_cells(result, rows[0]))
        for comparison, rows in results
        for result in rows
    ]
    notes = (
        "ms: one loss-and-gradient call, the fastest of all rounds; compile s: first "
        "call less a later one; peak MiB: of the whole process",
        "max error: over all spikes up to and including the first output spike, "
        "against a float64 oracle; FAILURE where it is above the row's bound or "
        "spikes are missing",
    )
    return Table("This package and the older one", HEADER, lines, notes)


def _trains(measurement: Measurement) -> SpikeTrains:
    names = [field.name for field in fields(SpikeTrains)]
    return SpikeTrains(**{name: measurement.arrays[name] for name in names})


def _summary(
    row: Row,
    runs: Sequence[Measurement],
    reference: SpikeTrains,
    outputs: Sequence[int],
) -> RowResult:
    good = [run for run in runs if not run.error]
    if not good:
        return RowResult(row, {}, {}, None, runs[0].error)
    figures = dict(good[0].figures)
    for name in BEST:
        figures[name] = min(run.figures[name] for run in good)
    agreement = compare(reference, _trains(good[0]), outputs)
    return RowResult(row, figures, good[0].versions, agreement)


def _cells(result: RowResult, baseline: RowResult) -> tuple[str, ...]:
    version = result.versions.get("eventax", "")
    who = f"eventax {version}" if version else f"eventax ({result.row.package})"
    name = f"{who}, {result.row.settings}" if result.row.settings else who
    if result.agreement is None:
        return (name, "-", "-", "-", "-", "-", shorten(f"FAILURE: {result.error}"))
    found, agreement = result.figures, result.agreement
    slowest = baseline.figures.get("seconds")
    reason = agreement.failure(result.row.bound)
    return (
        name,
        figure(1e3 * found["seconds"]),
        figure(slowest / found["seconds"] if slowest else None),
        figure(found["compile_seconds"]),
        figure(found["peak_mib"], 4),
        figure(agreement.error, 2),
        f"FAILURE: {reason}" if reason else _remark(agreement),
    )


def _remark(agreement: Agreement) -> str:
    """What to say of trains that agree within the bound."""
    swapped = agreement.other_order + agreement.other_number
    swaps = f", near ties swapped in {swapped} samples" if swapped else ""
    return f"all {agreement.spikes}{swaps}"
