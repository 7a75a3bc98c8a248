"""A table as aligned text and as Markdown (which is the same thing, aligned)."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows of cells under a header; cells that start with a digit align right."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """Title, aligned rows and notes."""
        columns = list(zip(self.header, *self.rows, strict=True))
        widths = [max(len(cell) for cell in column) for column in columns]
        numeric = [all(_is_number(cell) for cell in column[1:]) for column in columns]
        rule = [
            "-" * (w - 1) + (":" if n else "-")
            for w, n in zip(widths, numeric, strict=True)
        ]
        lines = [_line(row, widths, numeric) for row in (self.header, rule, *self.rows)]
        notes = [f"- {note}" for note in self.notes]
        parts = [f"## {self.title}", "\n".join(lines), "\n".join(notes)]
        return "\n\n".join(part for part in parts if part)


def figure(value: float | None, digits: int = 3) -> str:
    """A number to `digits` significant digits without an exponent if it is short."""
    if value is None:
        return "-"
    if value != value or abs(value) in (0.0, float("inf")):
        return f"{value:g}"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    text = f"{value:#.{digits}g}"
    return text.rstrip(".")


def shorten(text: str, length: int = 90) -> str:
    """The start of a message, on one line; the stored results have all of it."""
    return textwrap.shorten(text, length, placeholder=" ...")


def _is_number(cell: str) -> bool:
    return cell == "-" or cell.strip("-+")[:1].isdigit() or cell in ("inf", "nan")


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = (
        cell.rjust(width) if numeric else cell.ljust(width)
        for cell, width, numeric in zip(cells, widths, right, strict=True)
    )
    return "| " + " | ".join(padded) + " |"
