"""Derivatives of a scalar function of named arrays, by extrapolated differences.

With D(h) = (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / (12 h), of fourth order, two steps
give (16 D(h/2) - D(h)) / 15, of sixth order, and their distance bounds the error that
is left. The step is halved as long as the bound on truncation (which falls as h^4) plus
the bound on the noise of `f` (which grows as 1/h) gets smaller.

Spike times are smooth only while the order of events stays the same, so every
evaluation must return that order, and a step that changes it is halved too.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

Params = Mapping[str, np.ndarray]
Evaluation = tuple[float, Hashable]
Function = Callable[[dict[str, np.ndarray]], Evaluation]
Entries = Mapping[str, np.ndarray | Iterable[tuple[int, ...]]]

# Absolute precision of what the oracles return, for values of order one.
LIF_NOISE = 1e-14
ODE_NOISE = 3e-13

_FIRST_STEP = 2.0**-6
_MAX_HALVINGS = 26


class SpikeOrderError(RuntimeError):
    """The order of events differs between the two sides of every step tried."""


@dataclass(frozen=True)
class Derivative:
    """A derivative and a bound on its error."""

    value: float
    error: float


@dataclass(frozen=True)
class Gradient:
    """Derivatives by leaf, and bounds on their errors; NaN at entries left out."""

    value: dict[str, np.ndarray]
    error: dict[str, np.ndarray]


def gradient(
    function: Function,
    params: Params,
    *,
    entries: Entries | None = None,
    scale: Mapping[str, float] | None = None,
    noise: float = LIF_NOISE,
    rtol: float = 1e-9,
) -> Gradient:
    """Derivative of `function` by each entry of each leaf.

    Args:
        function: params -> (scalar, order of events).
        params: named float64 arrays of any shape. Entries that are not finite (padding
            of input times) get the derivative 0.
        entries: leaves to differentiate, each with a boolean mask of its shape or an
            iterable of indices; default every entry of every leaf.
        scale: size of a change of a leaf that changes `function` by order one; default
            the largest magnitude in the leaf, or 1 where that is 0.
        noise: absolute precision of `function`'s value.
        rtol: error bound, relative to the leaf's largest derivative so far, at which
            the step is not refined any further.

    Raises:
        SpikeOrderError: naming the entry, if no step keeps the order of events.
    """
    arrays = {name: np.array(leaf, np.float64) for name, leaf in params.items()}
    base = function(arrays)
    value, error = {}, {}
    for name in arrays if entries is None else entries:
        leaf = arrays[name]
        chosen = _indices(leaf.shape, None if entries is None else entries[name])
        value[name] = np.full(leaf.shape, np.nan)
        error[name] = np.full(leaf.shape, np.nan)
        reach = (scale or {}).get(name) or _magnitude(leaf)
        largest = 0.0
        for index in chosen:
            if not np.isfinite(leaf[index]):
                value[name][index] = error[name][index] = 0.0
                continue
            unit = np.zeros_like(leaf)
            unit[index] = 1.0
            found = derivative(
                _line(function, arrays, {name: unit}),
                base,
                scale=reach,
                noise=noise,
                tolerance=rtol * largest,
                rtol=rtol,
                label=f"{name}[{', '.join(map(str, index))}]",
            )
            value[name][index], error[name][index] = found.value, found.error
            largest = max(largest, abs(found.value))
    return Gradient(value, error)


def directional(
    function: Function,
    params: Params,
    direction: Params,
    *,
    scale: float = 1.0,
    noise: float = LIF_NOISE,
    rtol: float = 1e-9,
) -> Derivative:
    """Derivative of `function` along `direction`: all entries for six evaluations.

    Args:
        function: params -> (scalar, order of events).
        params: named float64 arrays.
        direction: arrays of the same shapes for some or all leaves.
        scale: multiple of `direction` that changes `function` by order one.
        noise: absolute precision of `function`'s value.
        rtol: relative error bound at which the step is not refined any further.

    Raises:
        SpikeOrderError: if no step keeps the order of events.
    """
    arrays = {name: np.array(leaf, np.float64) for name, leaf in params.items()}
    line = _line(function, arrays, direction)
    return derivative(line, line(0.0), scale=scale, noise=noise, rtol=rtol)


def derivative(
    line: Callable[[float], Evaluation],
    base: Evaluation,
    *,
    scale: float = 1.0,
    noise: float = LIF_NOISE,
    tolerance: float = 0.0,
    rtol: float = 1e-9,
    label: str = "the direction",
) -> Derivative:
    """Derivative at 0 of `line`, a function of one number with `line(0.) == base`.

    Args:
        line: offset -> (scalar, order of events).
        base: `line(0.)`.
        scale: offset that changes the scalar by order one.
        noise: absolute precision of the scalar.
        tolerance: absolute error bound at which the step is not refined any further.
        rtol: the same relative to the derivative.
        label: how an error message calls the offset.
    """
    # Powers of two, so that x + h - x == h for most x.
    h = 2.0 ** math.floor(math.log2(scale * _FIRST_STEP))
    sides = _Sides(line, base[1])
    coarse: float | None = None
    best: Derivative | None = None
    for _ in range(_MAX_HALVINGS):
        fine = sides.fourth_order(h)
        if fine is not None and coarse is not None:
            gap = (fine - coarse) / 15.0
            # The sum of |coefficients| of the extrapolated stencil is about 3 / h.
            found = Derivative(fine + gap, abs(gap) + 3.0 * noise / h)
            if best is not None and found.error >= best.error:
                break
            best = found
            if best.error <= max(tolerance, rtol * abs(best.value)):
                break
        coarse = fine
        h /= 2.0
    if best is None:
        raise SpikeOrderError(
            f"the order of events changes within +-{4 * h:.1e} of {label}: the point "
            f"lies on an event's boundary, or the order holds events that do not matter"
        )
    return best


def relative_error(
    g: np.ndarray, g_fd: np.ndarray, where: np.ndarray | None = None
) -> float:
    """||g - g_fd|| / ||g|| over the entries in the mask `where`, default all.

    0 if both vanish, `inf` if only `g` does; NaN in either array is passed on.
    """
    chosen = np.ones(np.shape(g), bool) if where is None else np.asarray(where, bool)
    ours = np.asarray(g, np.float64)[chosen]
    theirs = np.asarray(g_fd, np.float64)[chosen]
    distance, size = np.linalg.norm(ours - theirs), np.linalg.norm(ours)
    if size == 0.0:
        return 0.0 if distance == 0.0 else math.inf
    return float(distance / size)


class _Sides:
    """Differences f(h) - f(-h), each evaluated once, while the order holds."""

    def __init__(self, line: Callable[[float], Evaluation], order: Hashable) -> None:
        self._line, self._order = line, order
        self._known: dict[float, float | None] = {}

    def fourth_order(self, h: float) -> float | None:
        """D(h), or None if the order of events changes within +-2h."""
        # The outer pair first: where it fails the inner one is of use to h / 2 only.
        outer = self._difference(2.0 * h)
        inner = None if outer is None else self._difference(h)
        if outer is None or inner is None:
            return None
        return (8.0 * inner - outer) / (12.0 * h)

    def _difference(self, h: float) -> float | None:
        if h not in self._known:
            right, right_order = self._line(h)
            same = right_order == self._order
            if same:
                left, left_order = self._line(-h)
                same = left_order == self._order
            self._known[h] = float(right - left) if same else None
        return self._known[h]


def _line(
    function: Function, arrays: dict[str, np.ndarray], direction: Params
) -> Callable[[float], Evaluation]:
    def line(offset: float) -> Evaluation:
        moved = {
            name: leaf + offset * np.asarray(direction[name], np.float64)
            if name in direction
            else leaf
            for name, leaf in arrays.items()
        }
        return function(moved)

    return line


def _indices(
    shape: tuple[int, ...], chosen: np.ndarray | Iterable[tuple[int, ...]] | None
) -> list[tuple[int, ...]]:
    if chosen is None:
        return list(np.ndindex(shape))
    if isinstance(chosen, np.ndarray) and chosen.dtype == bool:
        return [tuple(index) for index in np.argwhere(chosen).tolist()]
    return [tuple(index) for index in chosen]


def _magnitude(leaf: np.ndarray) -> float:
    finite = np.abs(leaf[np.isfinite(leaf)])
    return float(finite.max(initial=0.0)) or 1.0
