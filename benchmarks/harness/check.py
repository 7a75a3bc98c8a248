"""Yes-or-no properties that a worker counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .environments import Environment
from .processes import Measurement, run_worker
from .table import Table, shorten

HEADER = ("check", "package", "counted", "verdict")


@dataclass(frozen=True)
class Check:
    """A worker with `measure`, and what its figures have to be.

    Attributes:
        name: said in the table.
        worker: module beside `run.py`.
        wanted: figures by name.
    """

    name: str
    worker: str
    wanted: Mapping[str, float]


@dataclass(frozen=True)
class CheckResult:
    """What one package's worker counted."""

    package: str
    measurement: Measurement

    def verdict(self, check: Check) -> str:
        """`yes`, or what is wrong."""
        if self.measurement.error:
            return shorten(f"FAILURE: {self.measurement.error}")
        found = self.measurement.figures
        good = all(found[name] == value for name, value in check.wanted.items())
        return "yes" if good else "no"


def run_check(
    check: Check, environments: Mapping[str, Environment], packages: Sequence[str]
) -> list[CheckResult]:
    """Run the check once with each package."""
    results = []
    for package in packages:
        print(f"  {check.name}: {package}", flush=True)
        measurement = run_worker(environments[package], check.worker, {})
        results.append(CheckResult(package, measurement))
    return results


def check_table(results: Sequence[tuple[Check, Sequence[CheckResult]]]) -> Table:
    """All checks."""
    lines = [
        (check.name, _who(result), _counted(result), result.verdict(check))
        for check, found in results
        for result in found
    ]
    return Table("Checks", HEADER, lines)


def _who(result: CheckResult) -> str:
    return f"eventax {result.measurement.versions.get('eventax', result.package)}"


def _counted(result: CheckResult) -> str:
    figures = result.measurement.figures.items()
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in figures)
