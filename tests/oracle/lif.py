"""Leaky integrate-and-fire networks in closed form.

tau_m v' = -v + i + ic,  tau_s i' = -i. With a = 1/tau_m, b = 1/tau_s, s = time since
the last event:

    i(s) = i0 exp(-b s)
    v(s) = ic + (v0 - ic) exp(-a s) + i0 k(s)
    k(s) = a integral_0^s exp(-a (s - u)) exp(-b u) du
         = a s exp(-min(a, b) s) (1 - exp(-y)) / y,   y = |a - b| s

k has no division by a - b, so equal and nearly equal time constants need no special
case beyond (1 - exp(-y)) / y = 1 at y = 0.

v' is a sum of two exponentials (or (p + q s) exp(-a s)), so it changes sign at most
once: an interval either rises throughout, or falls and then rises (one crossing exactly
if it ends above threshold), or rises and then falls (a crossing exactly if its peak is
above threshold). Each case leaves a bracket with a single sign change for `brentq`.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from .hybrid import StopAfter, run
from .network import Hold, Mode, Segment
from .trace import Trace

_TINY = 1e-300  # leaves brentq's relative tolerance, 4 ulp, in charge


def simulate(
    weights: ArrayLike,
    ic: ArrayLike,
    in_spike_times: np.ndarray | None = None,
    *,
    tmem: ArrayLike,
    tsyn: ArrayLike,
    thresh: ArrayLike = 1.0,
    vreset: ArrayLike = 0.0,
    t_max: float,
    t0: float = 0.0,
    delays: np.ndarray | float | None = None,
    observe_at: Sequence[float] | np.ndarray = (),
    stop_after: StopAfter = None,
    state: np.ndarray | None = None,
) -> Trace:
    """Run a LIF network from event to event; states are (v, i).

    Args:
        weights: (N+M, N), rows are senders: the neurons, then the input channels.
        ic: constant drive, scalar or (N,).
        in_spike_times: (M, K) input times, padded with `inf`.
        tmem: membrane time constant, scalar or (N,).
        tsyn: synaptic time constant, scalar or (N,).
        thresh: threshold, scalar or (N,).
        vreset: value of v after a spike, scalar or (N,).
        t_max: last time; a spike at exactly this time counts.
        t0: first time.
        delays: (N+M, N) or scalar, from sender to receiver.
        observe_at: (T,) observation times.
        stop_after: see `hybrid.run`.
        state: (N, 2) state at `t0`, default 0.
    """
    network = _Lif(weights, ic, tmem, tsyn, thresh, vreset)
    start = np.zeros((network.n_neurons, 2)) if state is None else state
    return run(
        network,
        start,
        in_spike_times,
        t0=t0,
        t_max=t_max,
        delays=delays,
        observe_at=observe_at,
        stop_after=stop_after,
    )


class _Lif:
    tie = 1e-13
    holds: tuple[Hold, ...] = ()

    def __init__(self, weights, ic, tmem, tsyn, thresh, vreset) -> None:
        self.weights = np.asarray(weights, np.float64)
        self.n_neurons = n = self.weights.shape[1]
        self.ic = _per_neuron(ic, n)
        self.a = 1.0 / _per_neuron(tmem, n)
        self.b = 1.0 / _per_neuron(tsyn, n)
        self.thresh = _per_neuron(thresh, n)
        self.vreset = _per_neuron(vreset, n)

    def gap(self, t: float, state: np.ndarray) -> np.ndarray:
        return state[:, 0] - self.thresh

    def reset(self, state: np.ndarray, neuron: int) -> np.ndarray:
        state[neuron, 0] = self.vreset[neuron]
        return state

    def arrive(self, state: np.ndarray, sender: int) -> np.ndarray:
        state[:, 1] += self.weights[sender]
        return state

    def flow(
        self, t: float, state: np.ndarray, t_end: float, tie: float, mode: Mode
    ) -> Segment:
        del mode  # there are no holds
        crossings = self._crossings(state, t_end - t + tie, tie)
        first = min(crossings.values(), default=math.inf)
        end = min(t + first, t_end)
        crossed = tuple(sorted(k for k, s in crossings.items() if s <= first + tie))

        def at(time: float) -> np.ndarray:
            return self._advance(state, time - t)

        return Segment(end, at(end), crossed, at)

    def _advance(self, state: np.ndarray, s: float) -> np.ndarray:
        v, i = state.T
        y = np.abs(self.a - self.b) * s
        safe = np.where(y == 0, 1.0, y)
        mean = np.where(y == 0, 1.0, -np.expm1(-safe) / safe)
        kernel = self.a * s * np.exp(-np.minimum(self.a, self.b) * s) * mean
        moved = np.empty_like(state)
        moved[:, 0] = self.ic + (v - self.ic) * np.exp(-self.a * s) + i * kernel
        moved[:, 1] = i * np.exp(-self.b * s)
        return moved

    def _crossings(
        self, state: np.ndarray, length: float, tie: float
    ) -> dict[int, float]:
        """Time to threshold of the neurons that may be first; others may be absent."""
        last = self._advance(state, length)
        peaked = (self._drift(state) > 0) & (self._drift(last) < 0)
        ends_above = last[:, 0] >= self.thresh
        first = math.inf
        found: dict[int, float] = {}
        for k in np.flatnonzero(peaked | ends_above).tolist():
            gap, drift = self._scalar_gap_and_drift(state, k)
            upper = length
            if peaked[k]:
                upper = brentq(drift, 0.0, length, xtol=_TINY)
            # The bracket has one sign change: still below at the best time so far
            # means later than that.
            if first + tie < upper and gap(first + tie) < 0:
                continue
            if gap(upper) >= 0:
                found[k] = brentq(gap, 0.0, upper, xtol=_TINY)
                first = min(first, found[k])
        return found

    def _drift(self, state: np.ndarray) -> np.ndarray:
        """tau_m v'."""
        return state[:, 1] + self.ic - state[:, 0]

    def _scalar_gap_and_drift(
        self, state: np.ndarray, k: int
    ) -> tuple[Callable[[float], float], Callable[[float], float]]:
        """Gap and tau_m v' of one neuron, as functions of the time elapsed."""
        numbers = (state[k, 0], state[k, 1], self.ic[k], self.a[k], self.b[k])
        v0, i0, ic, a, b = map(float, numbers)
        return (
            partial(_voltage, v0, i0, ic, a, b, float(self.thresh[k])),
            lambda s: i0 * math.exp(-b * s) - _voltage(v0, i0, ic, a, b, ic, s),
        )


def _voltage(
    v0: float, i0: float, ic: float, a: float, b: float, level: float, s: float
) -> float:
    """Distance of v(s) above `level`, of one neuron."""
    y = abs(a - b) * s
    mean = -math.expm1(-y) / y if y else 1.0
    kernel = a * s * math.exp(-min(a, b) * s) * mean
    return (ic - level) + (v0 - ic) * math.exp(-a * s) + i0 * kernel


def _per_neuron(value: ArrayLike, n_neurons: int) -> np.ndarray:
    return np.broadcast_to(np.asarray(value, np.float64), (n_neurons,))
