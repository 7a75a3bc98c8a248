"""What a check of gradients has found."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

AGREES = "agrees"
WRONG = "wrong"
DISCONTINUITY = "discontinuity"
UNRESOLVED = "unresolved"


class GradientRow(NamedTuple):
    """One derivative, as the gradient and as differences have it.

    Arguments:
        leaf: which array, by its path in the network, or `"in_spike_times"`.
        along: `"direction 0"`, a random one, or the index of a single entry,
            `"[2, 0]"`.
        gradient: the derivative by automatic differentiation.
        difference: by finite differences, NaN where there is none.
        error: estimate of the error of `difference`.
        step: the smallest step used, relative to the size of the leaf.
        verdict: `"agrees"`; `"wrong"`; `"discontinuity"`, the order of spikes changes
            however small the step; or `"unresolved"`, differences are too inexact to
            tell.
    """

    leaf: str
    along: str
    gradient: float
    difference: float
    error: float
    step: float
    verdict: str


@dataclasses.dataclass(frozen=True)
class GradientCheck:
    """The result of `check_gradient`; printed, it is a table.

    Attributes:
        rows: a `GradientRow` for each derivative that was compared.
        rtol: relative tolerance.
        noise: estimated absolute error of the function's value.
    """

    rows: tuple[GradientRow, ...]
    rtol: float
    noise: float

    @property
    def ok(self) -> bool:
        """Whether all rows agree; print the check to see those that do not."""
        return all(row.verdict == AGREES for row in self.rows)

    def __str__(self) -> str:
        title = ("leaf", "along", "gradient", "difference", "error", "step", "verdict")
        cells = [title, *map(_cells, self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = []
        for leaf, along, *numbers, verdict in cells:
            names = [leaf.ljust(widths[0]), along.ljust(widths[1])]
            pairs = zip(numbers, widths[2:], strict=False)
            aligned = [number.rjust(width) for number, width in pairs]
            lines.append("  ".join([*names, *aligned, verdict]))
        agree = sum(row.verdict == AGREES for row in self.rows)
        lines.append(
            f"{agree} of {len(self.rows)} agree to {self.rtol:.0e}; "
            f"the function's value is known to about {self.noise:.0e}"
        )
        return "\n".join(lines)


def _cells(row: GradientRow) -> tuple[str, ...]:
    return (
        row.leaf,
        row.along,
        f"{row.gradient:.6e}",
        f"{row.difference:.6e}",
        f"{row.error:.1e}",
        f"{row.step:.1e}",
        row.verdict,
    )
