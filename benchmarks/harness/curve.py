"""How the time per event grows with a size."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .environments import Environment
from .processes import Measurement, run_worker
from .table import Table, figure, shorten

# Linear growth is allowed, and the points are noisy.
LINEAR = 1.05
HEADER = (
    "curve",
    "size",
    "events",
    "ms per call",
    "µs per event",
    "slope",
    "from first",
    "compile s",
    "peak MiB",
    "remark",
)


@dataclass(frozen=True)
class Curve:
    """A worker function measured over a range of sizes, with this package only.

    Attributes:
        name: said in the table.
        worker: module beside `run.py`.
        function: in that module; its figures have `seconds` and `events`.
        size: the option that is varied, which is also the name of the axis.
        values: its values, ascending.
        quick_values: those for a first look.
        options: further options.
    """

    name: str
    worker: str
    function: str
    size: str
    values: Sequence[int]
    quick_values: Sequence[int]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Point:
    """One size; `error` where the package failed."""

    size: int
    figures: Mapping[str, float]
    versions: Mapping[str, str]
    error: str = ""

    @property
    def seconds_per_event(self) -> float:
        """Time of one call over the events of the whole batch."""
        if self.error:
            return math.nan
        return self.figures["seconds"] / self.figures["events"]


def run_curve(
    curve: Curve, environment: Environment, *, quick: bool, rounds: int, seconds: float
) -> list[Point]:
    """Measure every size in turn, `rounds` times over; the fastest counts."""
    sizes = curve.quick_values if quick else curve.values
    runs: dict[int, list[Measurement]] = {size: [] for size in sizes}
    for turn in range(rounds):
        for size in sizes:
            print(f"  round {turn + 1}, {curve.name}: {size}", flush=True)
            options = {
                "timing": {"seconds": seconds},
                curve.size: size,
                **curve.options,
            }
            done = run_worker(environment, curve.worker, options, curve.function)
            runs[size].append(done)
    return [_best(size, done) for size, done in runs.items()]


def slope(low: Point, high: Point) -> float:
    """Growth of the time per event between two sizes, on logarithmic axes."""
    rise = math.log(high.seconds_per_event / low.seconds_per_event)
    return rise / math.log(high.size / low.size)


def slopes(points: Sequence[Point]) -> list[tuple[float, float] | None]:
    """By point: slope from the size before it, and from the smallest size."""
    pairs = pairwise(points)
    return [None] + [(slope(low, high), slope(points[0], high)) for low, high in pairs]


def curve_table(results: Sequence[tuple[Curve, Sequence[Point]]]) -> Table:
    """All curves, one below the other."""
    lines = [
        (curve.name, str(point.size), *_cells(point, rises))
        for curve, points in results
        for point, rises in zip(points, slopes(points), strict=True)
    ]
    notes = (
        "slope: of the time per event between this size and the one before, on "
        "logarithmic axes, and from the smallest; 1 is linear growth, 0 none",
        "events: input arrivals and spikes of the whole batch, up to the last spike "
        "that the loss needs",
        "this package only: the older one would take hours",
    )
    return Table("Growth of loss and gradient", HEADER, lines, notes)


def _best(size: int, runs: Sequence[Measurement]) -> Point:
    good = [run for run in runs if not run.error]
    if not good:
        return Point(size, {}, {}, runs[0].error)
    fastest = min(good, key=lambda run: run.figures["seconds"])
    figures = dict(fastest.figures)
    figures["compile_seconds"] = min(run.figures["compile_seconds"] for run in good)
    return Point(size, figures, fastest.versions)


def _cells(point: Point, rises: tuple[float, float] | None) -> tuple[str, ...]:
    if point.error:
        return (*"-------", shorten(f"FAILURE: {point.error}"))
    found = point.figures
    remarks = [f"{silent:g} silent" for silent in [found.get("silent")] if silent]
    if rises and rises[0] > LINEAR:
        remarks.append("steeper than linear")
    if rises and rises[1] > LINEAR:
        remarks.append("FAILURE: worse than linear")
    return (
        f"{found['events']:,}",
        figure(1e3 * found["seconds"]),
        figure(1e6 * point.seconds_per_event),
        *(("-", "-") if rises is None else (f"{rise:+.2f}" for rise in rises)),
        figure(found["compile_seconds"]),
        figure(found["peak_mib"], 4),
        ", ".join(remarks),
    )
