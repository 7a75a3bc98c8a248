"""Every neuron model, wrapper and delay, integrated by `ode`.

A `Population` describes N neurons by plain functions of (N, S) states; one constructor
for each model, with constants that are scalars or (N,). The wrappers `amos` and
`refractory` add holds to it, which commute, and `multi` joins populations.

    plastic = lif(weights, ic, tmem=np.exp(log_tmem), tsyn=np.exp(log_tsyn))  # PLIF
    trace = simulate(refractory(plastic, 2.0), in_spike_times, t_max=50.0)

Weights are (N+M, N), rows are senders: the neurons, then the input channels. Masks are
the caller's to multiply in.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from . import ode
from .hybrid import StopAfter
from .network import Hold
from .trace import Trace

_PI_2 = 1.0 / np.pi**2

# From (v_peak - vT) / deltaT = x it takes tmem exp(-x) to infinity, which has to be
# long beside the rounding of the time.
_STEEPEST = 25.0


@dataclass(frozen=True)
class Population:
    """N neurons with S state channels.

    Attributes:
        start: (N, S) initial state.
        dynamics: (t, state) -> time derivative (N, S).
        gap: (t, state) -> (N,), a neuron fires when it rises through 0.
        reset: (state, neuron) -> state after that neuron's spike.
        arrive: (state, sender) -> state after a spike of the sender reached everyone.
            Jumps get a copy that they may change.
        holds: what happens for a while after each spike.
        transversal: whether the gap can only rise through 0, never fall.
        used: (N, S) bool, channels that a neuron has, None for all; only `multi`
            joins neurons of different S.
    """

    start: np.ndarray
    dynamics: ode.Dynamics
    gap: ode.Gap
    reset: ode.Jump
    arrive: ode.Jump
    holds: tuple[Hold, ...] = ()
    transversal: bool = False
    used: np.ndarray | None = None

    @property
    def n_neurons(self) -> int:
        """N."""
        return len(self.start)


def simulate(
    population: Population,
    in_spike_times: np.ndarray | None = None,
    *,
    t_max: float,
    t0: float = 0.0,
    delays: ArrayLike | None = None,
    axonal_delays: ArrayLike | None = None,
    observe_at: Sequence[float] | np.ndarray = (),
    stop_after: StopAfter = None,
    state: np.ndarray | None = None,
    max_step: float = math.inf,
    rtol: float = ode.RTOL,
    atol: float = ode.ATOL,
) -> Trace:
    """Run a population; channels that a neuron lacks are NaN in the trace's states.

    Args:
        population: who.
        in_spike_times: (M, K) input times, padded with `inf`.
        t_max: last time; a spike at exactly this time counts.
        t0: first time.
        delays: (N+M, N) or scalar, from sender to receiver.
        axonal_delays: (N+M,) or scalar, of the sender; see `total_delays`.
        observe_at: (T,) observation times.
        stop_after: see `hybrid.run`.
        state: (N, S) state at `t0`, default `population.start`.
        max_step: longest step of the integrator, see `ode.simulate`.
        rtol: relative tolerance of the integrator.
        atol: absolute tolerance of the integrator.
    """
    trace = ode.simulate(
        population.dynamics,
        population.gap,
        population.reset,
        population.arrive,
        population.start if state is None else state,
        in_spike_times,
        t_max=t_max,
        t0=t0,
        delays=total_delays(delays, axonal_delays),
        observe_at=observe_at,
        stop_after=stop_after,
        max_step=max_step,
        transversal=population.transversal,
        holds=population.holds,
        rtol=rtol,
        atol=atol,
    )
    used = population.used
    if used is None:
        return trace
    return replace(
        trace,
        state=np.where(used, trace.state, np.nan),
        observed=np.where(used, trace.observed, np.nan),
    )


def total_delays(
    synaptic: ArrayLike | None, axonal: ArrayLike | None
) -> np.ndarray | None:
    """max(synaptic, 0) + max(axonal, 0)[:, None], or None without any."""
    total = None if synaptic is None else np.maximum(synaptic, 0.0)
    if axonal is None:
        return total
    late = np.maximum(np.asarray(axonal, np.float64), 0.0)[..., None]
    return late if total is None else total + late


# Models


def lif(
    weights: ArrayLike,
    ic: ArrayLike,
    *,
    tmem: ArrayLike,
    tsyn: ArrayLike,
    thresh: ArrayLike = 1.0,
    vreset: ArrayLike = 0.0,
) -> Population:
    """tmem v' = -v + i + ic, tsyn i' = -i; at v = thresh, v -> vreset.

    Where tmem is infinite, v' = i + ic. States (v, i).
    """
    weights, n = _senders_by_receivers(weights)
    ic, tmem, tsyn, thresh, vreset = _per_neuron(n, ic, tmem, tsyn, thresh, vreset)
    leaks = np.isfinite(tmem)
    rate, decay = np.where(leaks, 1.0 / tmem, 1.0), -1.0 / tsyn

    def dynamics(t: float, state: np.ndarray) -> np.ndarray:
        v, i = state.T
        return _columns(rate * (i + ic - leaks * v), decay * i)

    return Population(
        start=np.zeros((n, 2)),
        dynamics=dynamics,
        gap=lambda t, state: state[:, 0] - thresh,
        reset=_write(0, vreset),
        arrive=_add(1, weights),
    )


def qif(
    weights: ArrayLike, ic: ArrayLike, *, tmem: ArrayLike, tsyn: ArrayLike
) -> Population:
    """QIF in phase form, see module `qif`; at phi = 1, phi -> 0. States (phi, i)."""
    weights, n = _senders_by_receivers(weights)
    ic, tmem, tsyn = _per_neuron(n, ic, tmem, tsyn)
    drive, gain = 1.0 + ic / np.pi**2, 0.5 / tmem
    decay, sine = -1.0 / tsyn, gain / np.pi

    def dynamics(t: float, state: np.ndarray) -> np.ndarray:
        # In the double angle, with x = (i + ic) / pi^2, which is quicker to evaluate:
        # 2 tmem phi' = 1 + x + (1 - x) cos(2 pi phi) + sin(2 pi phi) / pi.
        phi, i = state.T
        angle = (2.0 * np.pi) * phi
        plus = i * _PI_2 + drive
        rate = np.empty_like(state)
        rate[:, 0] = gain * (plus + (2.0 - plus) * np.cos(angle)) + sine * np.sin(angle)
        rate[:, 1] = decay * i
        return rate

    return Population(
        start=np.tile([0.5, 0.0], (n, 1)),
        dynamics=dynamics,
        gap=lambda t, state: state[:, 0] - 1.0,
        reset=_write(0, np.zeros(n)),
        arrive=_add(1, weights),
        transversal=True,  # tmem phi' = 1 at phi = 1
    )


def alif(
    weights: ArrayLike,
    ic: ArrayLike,
    *,
    tmem: ArrayLike,
    ta: ArrayLike,
    b0: ArrayLike,
    beta: ArrayLike,
    rm: ArrayLike = 1.0,
    preserve: bool = True,
) -> Population:
    """tmem v' = -v + ic, ta b' = -b + b0; spikes at v = b. States (v, b).

    On a spike v -> v - b (`preserve`, the model's `reset_grad_preserve`) or v -> 0,
    and then b += beta / ta. An arriving spike makes v jump by rm W.
    """
    weights, n = _senders_by_receivers(weights)
    ic, tmem, ta, b0, beta, rm = _per_neuron(n, ic, tmem, ta, b0, beta, rm)

    def dynamics(t: float, state: np.ndarray) -> np.ndarray:
        v, b = state.T
        return _columns((ic - v) / tmem, (b0 - b) / ta)

    def reset(state: np.ndarray, k: int) -> np.ndarray:
        v, b = state[k]
        state[k] = (v - b if preserve else 0.0), b + beta[k] / ta[k]
        return state

    return Population(
        start=_columns(np.zeros(n), b0),
        dynamics=dynamics,
        gap=lambda t, state: state[:, 0] - state[:, 1],
        reset=reset,
        arrive=_add(0, rm * weights),
    )


def eif(
    weights: ArrayLike,
    ic: ArrayLike,
    *,
    tmem: ArrayLike,
    tsyn: ArrayLike,
    vT: ArrayLike = 1.0,
    deltaT: ArrayLike = 0.2,
    EL: ArrayLike = 0.0,
    vreset: ArrayLike = 0.0,
    v_peak: ArrayLike | None = None,
    spike_time_tol: ArrayLike | None = 0.001,
) -> Population:
    """tmem V' = EL - V + deltaT exp((V - vT) / deltaT) + i + ic, tsyn i' = -i.

    At V = v_peak, V -> vreset. States (V, i). Where v_peak is not given it is
    vT - deltaT ln(spike_time_tol / tmem), and with neither vT + 5 deltaT.
    """
    weights, n = _senders_by_receivers(weights)
    ic, tmem, tsyn, vT, deltaT = _per_neuron(n, ic, tmem, tsyn, vT, deltaT)
    EL, vreset = _per_neuron(n, EL, vreset)
    if v_peak is None and spike_time_tol is None:
        v_peak = vT + 5.0 * deltaT
    elif v_peak is None:
        v_peak = vT - deltaT * np.log(np.asarray(spike_time_tol) / tmem)
    (peak,) = _per_neuron(n, v_peak)
    if np.any((peak - vT) / deltaT > _STEEPEST):
        raise ValueError(f"v_peak must be <= vT + {_STEEPEST} deltaT, got {peak}")
    drive, rate, steepness, decay = EL + ic, 1.0 / tmem, 1.0 / deltaT, -1.0 / tsyn

    def dynamics(t: float, state: np.ndarray) -> np.ndarray:
        v, i = state.T
        upstroke = deltaT * np.exp(steepness * (v - vT))
        return _columns(rate * (drive - v + upstroke + i), decay * i)

    return Population(
        start=_columns(EL, np.zeros(n)),
        dynamics=dynamics,
        gap=lambda t, state: state[:, 0] - peak,
        reset=_write(0, vreset),
        arrive=_add(1, weights),
    )


def izhikevich(
    weights: ArrayLike,
    ic: ArrayLike,
    *,
    a: ArrayLike = 0.02,
    b: ArrayLike = 0.2,
    c: ArrayLike = -51.0,
    d: ArrayLike = 2.0,
    v_thresh: ArrayLike = 30.0,
    tau_syn: ArrayLike = 5.0,
) -> Population:
    """v' = 0.04 v^2 + 5 v + 140 - u + ic + i, u' = a (b v - u), tau_syn i' = -i.

    At v = v_thresh, v -> c and u += d. States (v, u, i).
    """
    weights, n = _senders_by_receivers(weights)
    ic, a, b, c, d = _per_neuron(n, ic, a, b, c, d)
    v_thresh, tau_syn = _per_neuron(n, v_thresh, tau_syn)

    def dynamics(t: float, state: np.ndarray) -> np.ndarray:
        v, u, i = state.T
        rise = (0.04 * v + 5.0) * v + 140.0 - u + ic + i
        return _columns(rise, a * (b * v - u), -i / tau_syn)

    def reset(state: np.ndarray, k: int) -> np.ndarray:
        state[k, 0] = c[k]
        state[k, 1] += d[k]
        return state

    return Population(
        start=_columns(c, b * c, np.zeros(n)),
        dynamics=dynamics,
        gap=lambda t, state: state[:, 0] - v_thresh,
        reset=reset,
        arrive=_add(2, weights),
    )


def egru(
    W_u: ArrayLike,
    W_r: ArrayLike,
    W_z: ArrayLike,
    b_u: ArrayLike,
    b_r: ArrayLike,
    b_z: ArrayLike,
    *,
    tsyn: ArrayLike = 5.0,
    tmem: ArrayLike = 20.0,
    thresh: ArrayLike = 0.5,
) -> Population:
    """tsyn a_x' = -a_x + b_x (x = u, r, z), tmem c' = s(a_u) (tanh a_z - c).

    At c = thresh, c -> c - thresh. An arriving spike: a_u += W_u, a_r += W_r,
    a_z += W_z s(a_r of the receiver, before). s is the logistic function; states
    (c, a_u, a_r, a_z).
    """
    W_u, n = _senders_by_receivers(W_u)
    W_r, W_z = np.asarray(W_r, np.float64), np.asarray(W_z, np.float64)
    b_u, b_r, b_z, tsyn, tmem, thresh = _per_neuron(
        n, b_u, b_r, b_z, tsyn, tmem, thresh
    )

    def dynamics(t: float, state: np.ndarray) -> np.ndarray:
        c, a_u, a_r, a_z = state.T
        rate = np.empty_like(state)
        rate[:, 0] = expit(a_u) * (np.tanh(a_z) - c) / tmem
        rate[:, 1] = (b_u - a_u) / tsyn
        rate[:, 2] = (b_r - a_r) / tsyn
        rate[:, 3] = (b_z - a_z) / tsyn
        return rate

    def reset(state: np.ndarray, k: int) -> np.ndarray:
        state[k, 0] -= thresh[k]
        return state

    def arrive(state: np.ndarray, sender: int) -> np.ndarray:
        gate = expit(state[:, 2])
        state[:, 1] += W_u[sender]
        state[:, 2] += W_r[sender]
        state[:, 3] += W_z[sender] * gate
        return state

    return Population(
        start=np.zeros((n, 4)),
        dynamics=dynamics,
        gap=lambda t, state: state[:, 0] - thresh,
        reset=reset,
        arrive=arrive,
    )


# Wrappers


def amos(
    population: Population, freeze: bool = False, deaf: bool = False
) -> Population:
    """At most one spike per neuron.

    After it (and the reset) the neuron's state stays where it is, up to arrivals, if
    `freeze`, and it receives nothing any more if `deaf`. Without `freeze` an EIF or
    Izhikevich neuron may reach infinity afterwards, which is an error.
    """
    return _hold(population, np.inf, freeze, deaf)


def refractory(
    population: Population,
    t_refrac: ArrayLike,
    block: bool = True,
    held: ArrayLike | None = None,
) -> Population:
    """No spike for `t_refrac`, scalar or (N,), after each one; 0 for no such period.

    Meanwhile the channels in the mask `held`, (S,) or a scalar, default all, do not
    move, up to arrivals; and with `block` nothing arrives at the neuron, at any
    channel. At the end the neuron fires at once if its gap is >= 0.
    """
    return _hold(population, t_refrac, True if held is None else held, block)


def multi(populations: Sequence[Population], type_ids: ArrayLike) -> Population:
    """Neuron k is the next one of `populations[type_ids[k]]`, in ascending order.

    The weights of each population have a row for each sender of the whole network and
    a column for each of its own neurons. States are as wide as the widest one's.
    """
    types = np.asarray(type_ids, np.int64)
    places = [np.flatnonzero(types == p) for p in range(len(populations))]
    sizes = [len(place) for place in places]
    if sizes != [part.n_neurons for part in populations] or sum(sizes) != len(types):
        raise ValueError(f"type_ids give sub-populations of {sizes} neurons")
    width = max(part.start.shape[1] for part in populations)
    parts = list(zip(populations, places, strict=True))

    def spread(values: Sequence[np.ndarray]) -> np.ndarray:
        """(N, width) out of one (n_sub, S_sub) for each part, 0 elsewhere."""
        joined = np.zeros((len(types), width), values[0].dtype)
        for place, value in zip(places, values, strict=True):
            joined[place, : value.shape[1]] = value
        return joined

    def views(state: np.ndarray) -> list[np.ndarray]:
        return [state[place, : part.start.shape[1]] for part, place in parts]

    def dynamics(t: float, state: np.ndarray) -> np.ndarray:
        rates = zip(populations, views(state), strict=True)
        return spread([part.dynamics(t, own) for part, own in rates])

    def gap(t: float, state: np.ndarray) -> np.ndarray:
        joined = np.empty(len(types))
        for (part, place), own in zip(parts, views(state), strict=True):
            joined[place] = part.gap(t, own)
        return joined

    def reset(state: np.ndarray, neuron: int) -> np.ndarray:
        part, place = parts[types[neuron]]
        own = int(np.searchsorted(place, neuron))
        after = part.reset(views(state)[types[neuron]], own)
        state[neuron, : after.shape[1]] = after[own]
        return state

    def arrive(state: np.ndarray, sender: int) -> np.ndarray:
        states = zip(populations, views(state), strict=True)
        return spread([part.arrive(own, sender) for part, own in states])

    def widen(hold: Hold, place: np.ndarray) -> Hold:
        wide = Hold(
            np.zeros(len(types)),
            np.zeros((len(types), width), bool),
            np.zeros(len(types), bool),
        )
        wide.duration[place], wide.deaf[place] = hold.duration, hold.deaf
        wide.still[place, : hold.still.shape[1]] = hold.still
        return wide

    return Population(
        start=spread([part.start for part in populations]),
        dynamics=dynamics,
        gap=gap,
        reset=reset,
        arrive=arrive,
        holds=tuple(widen(hold, place) for part, place in parts for hold in part.holds),
        transversal=all(part.transversal for part in populations),
        used=spread([_used(part) for part in populations]),
    )


def _hold(
    population: Population, duration: ArrayLike, still: ArrayLike, deaf: bool
) -> Population:
    n = population.n_neurons
    hold = Hold(
        duration=_per_neuron(n, duration)[0],
        still=np.broadcast_to(np.asarray(still, bool), population.start.shape),
        deaf=np.full(n, deaf),
    )
    return replace(population, holds=(*population.holds, hold))


def _used(population: Population) -> np.ndarray:
    if population.used is None:
        return np.ones(population.start.shape, bool)
    return population.used


def _senders_by_receivers(weights: ArrayLike) -> tuple[np.ndarray, int]:
    """Weights in float64, and the number of neurons."""
    weights = np.asarray(weights, np.float64)
    return weights, weights.shape[1]


def _per_neuron(n_neurons: int, *values: ArrayLike) -> list[np.ndarray]:
    return [np.broadcast_to(np.asarray(x, np.float64), (n_neurons,)) for x in values]


def _columns(*columns: np.ndarray) -> np.ndarray:
    """(N, channels); `np.stack` takes a fifth of the time of an oracle."""
    state = np.empty((len(columns[0]), len(columns)))
    for channel, column in enumerate(columns):
        state[:, channel] = column
    return state


def _write(channel: int, values: np.ndarray) -> ode.Jump:
    """A reset that sets one channel."""

    def reset(state: np.ndarray, neuron: int) -> np.ndarray:
        state[neuron, channel] = values[neuron]
        return state

    return reset


def _add(channel: int, weights: np.ndarray) -> ode.Jump:
    """An arrival that adds the weights to one channel."""

    def arrive(state: np.ndarray, sender: int) -> np.ndarray:
        state[:, channel] += weights[sender]
        return state

    return arrive
