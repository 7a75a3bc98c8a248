"""Any network of neurons, given as functions, integrated by DOP853 between events.

A step of the integrator is searched for crossings on a Chebyshev interpolant of the
gap, which also gives its slope and so shows a neuron that goes above threshold and
comes back within the step. A crossing is then located on *true* Runge-Kutta steps from
the step's start, not on the integrator's interpolant, whose order is lower.
"""

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.integrate import DOP853
from scipy.optimize import brentq, minimize_scalar

from .hybrid import StopAfter, run
from .network import Hold, Mode, Segment
from .trace import Trace

# Next to the smallest that the integrator takes: with its order of 8 this costs 20 %
# more than 1e-12 would, for a hundredth of the error.
RTOL = 3e-14
ATOL = 1e-14

Dynamics = Callable[[float, np.ndarray], np.ndarray]
Gap = Callable[[float, np.ndarray], np.ndarray]
Jump = Callable[[np.ndarray, int], np.ndarray]

_TINY = 1e-300  # leaves brentq's relative tolerance, 4 ulp, in charge


def simulate(
    dynamics: Dynamics,
    gap: Gap,
    reset: Jump,
    arrive: Jump,
    state: np.ndarray,
    in_spike_times: np.ndarray | None = None,
    *,
    t_max: float,
    t0: float = 0.0,
    delays: np.ndarray | float | None = None,
    observe_at: Sequence[float] | np.ndarray = (),
    stop_after: StopAfter = None,
    max_step: float = math.inf,
    transversal: bool = False,
    holds: Sequence[Hold] = (),
    rtol: float = RTOL,
    atol: float = ATOL,
) -> Trace:
    """Run a network of N neurons with S state channels.

    Args:
        dynamics: (t, state (N, S)) -> time derivative (N, S).
        gap: (t, state) -> (N,), a neuron fires when it rises through 0.
        reset: (state, neuron) -> state after that neuron's spike.
        arrive: (state, sender) -> state after a spike of the sender (a neuron, or N +
            input channel) reached all neurons. With delays only the rows of the
            receivers it reached are used. Jumps get a copy that they may change.
        state: (N, S) state at `t0`.
        in_spike_times: (M, K) input times, padded with `inf`.
        t_max: last time; a spike at exactly this time counts.
        t0: first time.
        delays: (N+M, N) or scalar, from sender to receiver.
        observe_at: (T,) observation times.
        stop_after: see `hybrid.run`.
        max_step: longest step of the integrator; set it where the gap varies faster
            than the state's own error control can see.
        transversal: whether the gap can only rise through 0, never fall: then a step
            that ends below threshold holds no crossing and need not be searched.
        holds: what happens for a while after each spike.
        rtol: relative tolerance of the integrator.
        atol: absolute tolerance of the integrator.
    """
    start = np.asarray(state, np.float64)
    options = {"max_step": max_step, "rtol": rtol, "atol": atol}
    return run(
        _Ode(dynamics, gap, reset, arrive, holds, transversal, options),
        start,
        in_spike_times,
        t0=t0,
        t_max=t_max,
        delays=delays,
        observe_at=observe_at,
        stop_after=stop_after,
    )


class _Ode:
    tie = 1e-12

    def __init__(
        self,
        dynamics: Dynamics,
        gap: Gap,
        reset: Jump,
        arrive: Jump,
        holds: Sequence[Hold],
        transversal: bool,
        options: dict[str, float],
    ) -> None:
        self.gap, self.reset, self.arrive = gap, reset, arrive
        self.holds, self._dynamics, self._options = holds, dynamics, options
        self._transversal = transversal

    def flow(
        self, t: float, state: np.ndarray, t_end: float, tie: float, mode: Mode
    ) -> Segment:
        field = _Field(self._dynamics, self.gap, mode)
        solver = DOP853(field.rate, t, state.reshape(-1), t_end, **self._options)
        steps: list[_Step] = []

        def at(time: float) -> np.ndarray:
            index = bisect.bisect_right(steps, time, key=lambda step: step.t) - 1
            return steps[index].at(time - steps[index].t)

        while solver.status == "running":
            start = solver.t, solver.y, solver.f
            # A trial step may end where an upstroke overflows; it is then rejected.
            with np.errstate(over="ignore", invalid="ignore"):
                message = solver.step()
            if solver.status == "failed":
                raise RuntimeError(f"integration failed at t = {solver.t}: {message}")
            step = _Step(field, *start, solver)
            steps.append(step)
            if self._transversal and (field.gap(solver.t, step.at(step.h)) < 0).all():
                continue
            crossings = _crossings(step, tie)
            if crossings:
                first = min(crossings.values())
                late = (k for k, s in crossings.items() if s <= first + tie)
                return Segment(step.t + first, step.at(first), tuple(sorted(late)), at)
        late = np.flatnonzero(_about_to_cross(steps[-1], tie)).tolist()
        return Segment(t_end, solver.y.reshape(state.shape), tuple(late), at)


class _Field:
    """Dynamics and gap of one segment: what is held does not move, nor cross."""

    def __init__(self, dynamics: Dynamics, gap: Gap, mode: Mode) -> None:
        self._dynamics, self._gap = dynamics, gap
        self.shape = mode.still.shape
        self._mute = mode.mute if mode.mute.any() else None
        self._still = mode.still if mode.still.any() else None

    def rate(self, t: float, flat: np.ndarray) -> np.ndarray:
        """Time derivative of the flattened state."""
        rate = self._dynamics(t, flat.reshape(self.shape))
        if self._still is not None:
            rate = np.where(self._still, 0.0, rate)
        return rate.reshape(-1)

    def gap(self, t: float, state: np.ndarray) -> np.ndarray:
        """Distance above threshold, -1 of neurons that cannot fire."""
        gap = self._gap(t, state)
        return gap if self._mute is None else np.where(self._mute, -1.0, gap)


class _Step:
    """One accepted step of the integrator, from (t, y) over length h."""

    def __init__(
        self, field: _Field, t: float, y: np.ndarray, f: np.ndarray, solver: DOP853
    ) -> None:
        self.t, self.h = t, solver.t - t
        self._field, self._y, self._f, self._end = field, y, f, solver.y
        self._solver = solver

    def at(self, s: float) -> np.ndarray:
        """State after `s` <= h, by one Runge-Kutta step of that length."""
        if s == self.h:
            return self._end.reshape(self._field.shape)
        stages = np.empty((DOP853.n_stages, len(self._y)))
        stages[0] = self._f
        for j in range(1, DOP853.n_stages):
            y = self._y + s * (DOP853.A[j, :j] @ stages[:j])
            stages[j] = self._field.rate(self.t + DOP853.C[j] * s, y)
        return (self._y + s * (DOP853.B @ stages)).reshape(self._field.shape)

    def gap(self, s: float, neuron: int) -> float:
        """Distance above threshold of one neuron after `s`."""
        return float(self._field.gap(self.t + s, self.at(s))[neuron])

    @cached_property
    def scan(self) -> tuple[np.ndarray, np.ndarray]:
        """Gap and its slope, each (_FINE + 1, N), at equally spaced times."""
        times = self.t + self.h * _NODES
        states = self._solver.dense_output()(times).T
        states[0], states[-1] = self._y, self._end
        shaped = states.reshape(len(_NODES), *self._field.shape)
        gaps = np.array(
            [self._field.gap(t, y) for t, y in zip(times, shaped, strict=True)]
        )
        return _VALUE @ gaps, _SLOPE @ gaps / self.h


def _crossings(step: _Step, tie: float) -> dict[int, float]:
    """Time from the step's start to threshold of the neurons that may be first."""
    gap, slope = step.scan
    width = step.h / _FINE
    ends_above = gap[1:] >= 0
    # A peak inside an interval lies below the tangent at the interval's start.
    peaked = (slope[:-1] > 0) & (slope[1:] < 0) & (gap[:-1] + slope[:-1] * width >= 0)
    candidate = ends_above | peaked
    found: dict[int, float] = {}
    first = math.inf
    for k in np.flatnonzero(candidate.any(axis=0)).tolist():
        for j in np.flatnonzero(candidate[:, k]).tolist():
            if j * width > first + tie:
                break
            upper = (j + 1) * width
            if not ends_above[j, k]:
                upper = _peak(step, k, j * width, upper)
                if step.gap(upper, k) < 0:
                    continue
            found[k] = _crossing(step, k, j * width, upper)
            first = min(first, found[k])
            break
    return found


def _peak(step: _Step, neuron: int, lower: float, upper: float) -> float:
    """Where the gap is largest; its value there is exact to second order."""
    result = minimize_scalar(
        lambda s: -step.gap(s, neuron),
        bounds=(lower, upper),
        method="bounded",
        options={"xatol": 1e-9 * step.h},
    )
    return float(result.x)


def _crossing(step: _Step, neuron: int, lower: float, upper: float) -> float:
    """Root of the gap on true steps; the bracket comes from the interpolant.

    The two may disagree by the interpolation error about which side of a grid point
    the root is on, so the bracket is widened where the signs do not fit.
    """
    root = _newton(step, neuron, lower, upper)
    if root is not None:
        return root
    width = step.h / _FINE
    while (below := step.gap(lower, neuron)) >= 0 and lower > 0:
        lower = max(lower - width, 0.0)
    while (above := step.gap(upper, neuron)) < 0 and upper < step.h:
        upper = min(upper + width, step.h)
    if below >= 0:
        return lower
    if above < 0:
        return upper
    return brentq(lambda s: step.gap(s, neuron), lower, upper, xtol=_TINY)


def _newton(step: _Step, neuron: int, lower: float, upper: float) -> float | None:
    """Root in a bracket by Newton steps with the interpolant's slope, kept fixed.

    A true step is dear and that slope is good to some four digits, so this settles in
    three or four steps. None where it does not, as close to a tangential crossing.
    """
    gap, slope = (grid[:, neuron] for grid in step.scan)
    j = min(int(lower / step.h * _FINE + 0.5), _FINE - 1)
    share = -gap[j] / (gap[j + 1] - gap[j]) if gap[j] < 0 < gap[j + 1] else 0.5
    rate = slope[j] + share * (slope[j + 1] - slope[j])
    s = (j + share) * step.h / _FINE
    for _ in range(6):
        if not (rate > 0 and lower <= s <= upper):
            return None
        correction = step.gap(s, neuron) / rate
        s = float(s - correction)
        if abs(correction) <= 1e-13 * step.h:
            return s if 0.0 <= s <= step.h else None
    return None


def _about_to_cross(step: _Step, tie: float) -> np.ndarray:
    """(N,) whether the gap reaches 0 within `tie` after the step's end."""
    gap, slope = (grid[-1] for grid in step.scan)
    return (slope > 0) & (gap + slope * tie >= 0)


@dataclass(frozen=True)
class _Interpolation:
    """Polynomial through `nodes` on [0, 1], as matrices onto an equally spaced grid."""

    nodes: np.ndarray
    value: np.ndarray
    slope: np.ndarray


def _interpolation(n_nodes: int, n_intervals: int) -> _Interpolation:
    chebyshev = np.polynomial.chebyshev
    # Extrema of a Chebyshev polynomial, so both ends are nodes.
    x = -np.cos(np.pi * np.arange(n_nodes) / (n_nodes - 1))
    to_coefficients = np.linalg.inv(chebyshev.chebvander(x, n_nodes - 1))
    grid = np.linspace(-1.0, 1.0, n_intervals + 1)
    value = chebyshev.chebvander(grid, n_nodes - 1) @ to_coefficients
    value[0], value[-1] = np.eye(n_nodes)[0], np.eye(n_nodes)[-1]
    # d/dx on [-1, 1] is half of d/ds on [0, 1].
    slope = 2.0 * chebyshev.chebval(grid, chebyshev.chebder(to_coefficients)).T
    return _Interpolation((x + 1.0) / 2.0, value, slope)


# Nine nodes reproduce the integrator's interpolant, a polynomial of degree 7.
_FINE = 32
_GRID = _interpolation(9, _FINE)
_NODES, _VALUE, _SLOPE = _GRID.nodes, _GRID.value, _GRID.slope
