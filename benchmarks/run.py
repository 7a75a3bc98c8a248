"""Run the benchmarks: `python benchmarks/run.py [--only NAME ...] [--quick]`."""

import argparse
from collections.abc import Callable
from pathlib import Path

from harness.check import run_check
from harness.comparison import run_comparison
from harness.curve import run_curve
from harness.environments import BENCHMARKS, other_environment, this_environment
from harness.report import Report
from registry import CHECKS, COMPARISONS, CURVES

NAMES = (*COMPARISONS, *CHECKS, *CURVES)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    add("--list", action="store_true", help="print the names and stop")
    add("--quick", action="store_true", help="one short round, few sizes")
    add("--rounds", type=int, help="default 3; 2 for curves; 1 with --quick")
    add("--this", type=Path, metavar="PYTHON", help="measure another interpreter")
    add("--peer", type=Path, metavar="PYTHON", help="an environment with the peer")
    add("--alone", action="store_true", help="this package only, no registry needed")
    add("--results", type=Path, default=BENCHMARKS / "results")
    return parser.parse_args()


def suffix(chosen: argparse.Namespace) -> str:
    """What the files of an incomplete run are called."""
    only = "" if chosen.only == NAMES else "-" + "-".join(chosen.only)
    alone = "-alone" if chosen.alone else ""
    return only + alone + ("-quick" if chosen.quick else "")


def measure(chosen: argparse.Namespace, store: Callable[[Report], None]) -> Report:
    """Run what was chosen, and store the report after each part: none is lost."""
    rounds = chosen.rounds or (1 if chosen.quick else 3)
    seconds = 0.5 if chosen.quick else 4.0
    report = Report({"rounds": rounds, "seconds per round": seconds})
    this = this_environment(chosen.this)
    environments = {"this": this, "oracle": this_environment()}
    comparisons = [COMPARISONS[name] for name in chosen.only if name in COMPARISONS]
    if chosen.alone:
        comparisons = [comparison.alone() for comparison in comparisons]
    checks = [CHECKS[name] for name in chosen.only if name in CHECKS]
    curves = [CURVES[name] for name in chosen.only if name in CURVES]
    packages = ["this"] if chosen.quick or chosen.alone else ["this", "peer"]
    needed = {row.package for comparison in comparisons for row in comparison.rows}
    needed |= set(packages) if checks else set()
    for name in sorted(needed - {"this"}):
        python = chosen.peer if name == "peer" else None
        environments[name] = other_environment(name, python)
    for comparison in comparisons:
        results = run_comparison(
            comparison, environments, rounds=rounds, seconds=seconds
        )
        report.comparisons.append((comparison, results))
        store(report)
    for check in checks:
        report.checks.append((check, run_check(check, environments, packages)))
        store(report)
    for curve in curves:
        points = run_curve(
            curve,
            this,
            quick=chosen.quick,
            rounds=min(rounds, 2),
            seconds=seconds / 2,
        )
        report.curves.append((curve, points))
        store(report)
    return report


def main() -> None:
    """Measure, print and store."""
    chosen = parse()
    if chosen.list:
        print("\n".join(NAMES))
        return
    written: list[Path] = []

    def store(report: Report) -> None:
        written[:] = report.write(chosen.results, suffix(chosen))

    report = measure(chosen, store)
    print("\n" + report.markdown())
    for path in written:
        print(f"written: {path.name}")


if __name__ == "__main__":
    main()
