"""Derivatives of a function of one number by extrapolated central differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

# An offset to the value there, None where the function is not the same smooth one.
Line = Callable[[float], float | None]


class Difference(NamedTuple):
    """A derivative, an estimate of its error, and the smallest step used."""

    value: float
    error: float
    step: float


def differentiate(
    line: Line, first_step: float, last_step: float, noise: float
) -> Difference | None:
    """Derivative of `line` at 0; None if no step has both sides defined.

    Central differences at steps that are halved are polynomials in the square of the
    step but for noise, and are extrapolated to 0 by Neville's scheme (Ridders, Advances
    in Engineering Software 4 (1982) 75). The estimate that is kept has the least sum of
    what the last extrapolation changed, and of what noise makes of it.
    """
    best: Difference | None = None
    above: list[float] = []
    step = first_step
    while step >= last_step:
        right = line(step)
        left = None if right is None else line(-step)
        if right is None or left is None:
            # What larger steps told is of another function.
            above, best = [], None
            step /= 2
            continue
        row = [(right - left) / (2 * step)]
        for k, previous in enumerate(above):
            row.append(row[k] + (row[k] - previous) / (4.0 ** (k + 1) - 1))
        # Each extrapolation multiplies noise by less than 5/3.
        for k, value in enumerate(row[1:]):
            change = max(abs(value - row[k]), abs(value - above[k]))
            error = change + (5 / 3) ** (k + 1) * noise / step
            if best is None or error < best.error:
                best = Difference(value, error, step)
        if best is not None and abs(row[-1] - above[-1]) > 16 * best.error:
            break
        above, step = row, step / 2
    return best


def noise_of(values: Sequence[float], epsilon: float) -> float:
    """The error of values at evenly spaced points, at least that of rounding.

    A smooth function vanishes in differences of fourth order, noise of variance σ² has
    the variance 70 σ² there (Moré and Wild, SIAM J Sci Comput 33 (2011) 1292).
    """
    array = np.asarray(values, float)
    fourth = np.diff(array, 4) if len(array) > 4 else np.zeros(1)
    spread = math.sqrt(float(np.mean(fourth**2)) / 70)
    return max(spread, epsilon * float(np.max(np.abs(array))))
