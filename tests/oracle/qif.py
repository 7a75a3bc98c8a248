"""Quadratic integrate-and-fire networks, integrated in phase coordinates.

tau_m phi' = cos(pi phi) (cos(pi phi) + sin(pi phi) / pi)
             + sin(pi phi)^2 (i + ic) / pi^2,
tau_s i'   = -i.

With V = pi tan(pi (phi - 1/2)) this is tau_m V' = V (V - 1) + i + ic. A neuron fires at
phi = 1 (V = inf) and goes on from phi = 0 (V = -inf); tau_m phi' = 1 there, so every
crossing is transversal.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from . import neurons, ode
from .hybrid import StopAfter
from .trace import Trace


def simulate(
    weights: ArrayLike,
    ic: ArrayLike,
    in_spike_times: np.ndarray | None = None,
    *,
    tmem: ArrayLike,
    tsyn: ArrayLike,
    t_max: float,
    t0: float = 0.0,
    delays: np.ndarray | float | None = None,
    observe_at: Sequence[float] | np.ndarray = (),
    stop_after: StopAfter = None,
    state: np.ndarray | None = None,
    rtol: float = ode.RTOL,
    atol: float = ode.ATOL,
) -> Trace:
    """Run a QIF network from event to event; states are (phi, i).

    Args:
        weights: (N+M, N), rows are senders: the neurons, then the input channels.
        ic: constant drive, scalar or (N,).
        in_spike_times: (M, K) input times, padded with `inf`.
        tmem: membrane time constant, scalar or (N,).
        tsyn: synaptic time constant, scalar or (N,).
        t_max: last time; a spike at exactly this time counts.
        t0: first time.
        delays: (N+M, N) or scalar, from sender to receiver.
        observe_at: (T,) observation times.
        stop_after: see `hybrid.run`.
        state: (N, 2) state at `t0`, default (1/2, 0).
        rtol: relative tolerance of the integrator.
        atol: absolute tolerance of the integrator.
    """
    return neurons.simulate(
        neurons.qif(weights, ic, tmem=tmem, tsyn=tsyn),
        in_spike_times,
        t_max=t_max,
        t0=t0,
        delays=delays,
        observe_at=observe_at,
        stop_after=stop_after,
        state=state,
        rtol=rtol,
        atol=atol,
    )


def voltage(phase: np.ndarray | float) -> np.ndarray:
    """V = pi tan(pi (phi - 1/2))."""
    return np.pi * np.tan(np.pi * (np.asarray(phase, np.float64) - 0.5))
