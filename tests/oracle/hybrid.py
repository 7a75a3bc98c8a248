"""The event loop: flow to the next event, apply every jump of that instant, repeat.

Order within an instant: (0) holds that are over end; (1) neurons at threshold fire,
lowest index first, each one is reset, its holds begin, and its undelayed spike arrives
at once, at itself too; (2) one waiting arrival, lowest sender first, then again (1);
until nothing is left. A neuron that reached threshold continuously fires
unless a jump of the same instant took its gap below the value it landed with, so
inhibition by *current* comes too late, by *voltage* does not.
"""

import heapq
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from .network import Mode, Network, Segment
from .trace import Trace

StopAfter = Sequence[int] | Callable[[Sequence[float], Sequence[int]], bool] | None

# More spikes than this at one instant mean that a reset does not leave the threshold.
_MAX_SPIKES_PER_INSTANT = 10_000
# More than any test means to have: an excitatory network that ran away.
_MAX_SPIKES = 100_000


def run(
    network: Network,
    state: np.ndarray,
    in_spike_times: np.ndarray | None,
    *,
    t0: float,
    t_max: float,
    delays: np.ndarray | float | None = None,
    observe_at: Sequence[float] | np.ndarray = (),
    stop_after: StopAfter = None,
) -> Trace:
    """Simulate `network` from `t0` to `t_max`, both included.

    Args:
        network: flow and jumps.
        state: (N, S) state at `t0`.
        in_spike_times: (M, K), any order, `inf` for no spike; None for no input.
        t0: start; an input before it is an error.
        t_max: end; a spike at exactly this time counts.
        delays: (N+M, N) from sender to receiver, or a scalar; negative acts as 0.
        observe_at: (T,) times in [t0, t_max], any order; states are right-continuous.
        stop_after: neurons that all have to fire before the run may stop, or a
            predicate of (times, neurons) so far. Observations are completed first.
    """
    loop = _Loop(network, state, in_spike_times, t0, t_max, delays)
    requested = np.asarray(observe_at, np.float64).reshape(-1)
    if not np.all((requested >= t0) & (requested <= t_max)):
        raise ValueError(f"observe_at must lie in [{t0}, {t_max}]: {requested}")
    ranks = np.argsort(requested, kind="stable")
    observed = np.empty((len(requested), *loop.state.shape))
    done = _as_predicate(stop_after)
    seen = 0

    loop.apply_instant(t0, ())
    while loop.t < t_max:
        if seen == len(requested) and done(loop.times, loop.neurons):
            break
        start, segment = loop.t, loop.flow()
        # Half open: a state at the segment's end is taken after that end's jumps.
        while seen < len(ranks) and requested[ranks[seen]] < segment.end:
            time = max(float(requested[ranks[seen]]), start)
            observed[ranks[seen]] = segment.at(time)
            seen += 1
        loop.state = segment.state
        loop.apply_instant(segment.end, segment.crossed)
    observed[ranks[seen:]] = loop.state

    return Trace(
        times=np.asarray(loop.times, np.float64),
        neurons=np.asarray(loop.neurons, np.int64),
        state=loop.state,
        end=loop.t,
        observed=observed,
        events=_canonical(loop.events),
    )


class _Loop:
    """Current time, state, waiting arrivals, and the record so far."""

    def __init__(
        self,
        network: Network,
        state: np.ndarray,
        in_spike_times: np.ndarray | None,
        t0: float,
        t_max: float,
        delays: np.ndarray | float | None,
    ) -> None:
        if not (np.isfinite(t0) and np.isfinite(t_max) and t0 <= t_max):
            raise ValueError(f"need finite t0 <= t_max, got {t0} and {t_max}")
        self.network = network
        self.state = np.array(state, np.float64)
        self.t, self.t_max = float(t0), float(t_max)
        self.tie = network.tie * max(abs(t0), abs(t_max))
        self.n_neurons = len(self.state)
        # (H, N): until when each hold is in force; -inf: it is not.
        self._until = np.full((len(network.holds), self.n_neurons), -np.inf)
        self.mode = self._current_mode()
        self.times: list[float] = []
        self.neurons: list[int] = []
        # (kind, id): kind 0 a spike, 1 an arrival, 2 a hold's end; see Trace.events.
        self.events: list[tuple[int, int]] = []
        self._waiting: list[tuple[float, int, int, np.ndarray | None]] = []
        self._ticket = itertools.count()

        channels = _checked_inputs(in_spike_times, t0)
        self._n_senders = self.n_neurons + len(channels)
        self._delays = None
        if delays is not None:
            given = np.maximum(np.asarray(delays, np.float64), 0.0)
            shape = (self._n_senders, self.n_neurons)
            self._delays = np.broadcast_to(given, shape)
        for sender, channel in enumerate(channels, start=self.n_neurons):
            for time in channel[channel <= t_max]:
                self._send(float(time), sender)

    def flow(self) -> Segment:
        """Segment from now to the next event."""
        t_end = self._waiting[0][0] if self._waiting else self.t_max
        release = self._until[self._until > -np.inf].min(initial=np.inf)
        t_end = float(min(t_end, release, self.t_max))
        return self.network.flow(
            self.t, self.state, t_end, tie=self.tie, mode=self.mode
        )

    def apply_instant(self, t: float, crossed: tuple[int, ...]) -> None:
        """Move the clock to `t` and apply every spike and arrival of that instant."""
        self.t = t
        self._end_holds()
        gap = self.network.gap(t, self.state)
        landed = {k: gap[k] for k in crossed}
        fired = 0
        while True:
            ready = gap >= 0
            for k, value in landed.items():
                ready[k] |= gap[k] >= value
            ready &= ~self.mode.mute
            if ready.any():
                k = int(ready.argmax())
                landed.pop(k, None)
                self._fire(k)
                fired += 1
            elif self._waiting and self._waiting[0][0] <= t:
                _, sender, _, receivers = heapq.heappop(self._waiting)
                delayed = sender < self.n_neurons
                self.events.append((1, -1 - sender if delayed else sender))
                self._arrive(sender, receivers)
            else:
                return
            if fired > _MAX_SPIKES_PER_INSTANT:
                raise RuntimeError(
                    f"neuron {k} is still at threshold after {fired} spikes at t = {t}"
                )
            gap = self.network.gap(t, self.state)

    def _end_holds(self) -> None:
        over = (self._until > -np.inf) & (self._until <= self.t)
        if over.any():
            ids = self._n_senders + np.nonzero(over)[1]
            self.events += [(2, k) for k in ids.tolist()]
            self._until[over] = -np.inf
            self.mode = self._current_mode()

    def _begin_holds(self, neuron: int) -> None:
        for until, hold in zip(self._until, self.network.holds, strict=True):
            end = self.t + hold.duration[neuron]
            until[neuron] = end if end > self.t else -np.inf
        self.mode = self._current_mode()

    def _current_mode(self) -> Mode:
        mute, deaf = np.zeros((2, self.n_neurons), bool)
        still = np.zeros(self.state.shape, bool)
        for until, hold in zip(self._until, self.network.holds, strict=True):
            active = until > -np.inf
            mute |= active
            deaf |= active & hold.deaf
            still |= active[:, None] & hold.still
        return Mode(mute, still, deaf)

    def _fire(self, neuron: int) -> None:
        self.times.append(self.t)
        self.neurons.append(neuron)
        if len(self.times) > _MAX_SPIKES:
            raise RuntimeError(f"more than {_MAX_SPIKES} spikes by t = {self.t}")
        self.events.append((0, neuron))
        self.state = self.network.reset(self.state.copy(), neuron)
        self._begin_holds(neuron)
        self._send(self.t, neuron)

    def _send(self, t: float, sender: int) -> None:
        """Deliver a neuron's undelayed spike now, and queue everything else."""
        if self._delays is None:
            self._deliver(t, sender, None)
            return
        row = self._delays[sender]
        for delay in np.unique(row):
            self._deliver(t + float(delay), sender, row == delay)

    def _deliver(self, t: float, sender: int, receivers: np.ndarray | None) -> None:
        if sender < self.n_neurons and t <= self.t:
            self._arrive(sender, receivers)
        elif t <= self.t_max:
            entry = (t, sender, next(self._ticket), receivers)
            heapq.heappush(self._waiting, entry)

    def _arrive(self, sender: int, receivers: np.ndarray | None) -> None:
        arrived = self.network.arrive(self.state.copy(), sender)
        reached = ~self.mode.deaf if receivers is None else receivers & ~self.mode.deaf
        self.state = np.where(reached[:, None], arrived, self.state)


def _checked_inputs(in_spike_times: np.ndarray | None, t0: float) -> np.ndarray:
    if in_spike_times is None:
        return np.empty((0, 0))
    channels = np.asarray(in_spike_times, np.float64)
    if channels.ndim != 2:
        raise ValueError(f"in_spike_times must be (M, K), got {channels.shape}")
    if not np.all(channels >= t0):  # also catches NaN
        raise ValueError(f"in_spike_times must be >= t0 = {t0} and not NaN")
    return channels


def _as_predicate(
    stop_after: StopAfter,
) -> Callable[[Sequence[float], Sequence[int]], bool]:
    if stop_after is None:
        return lambda times, neurons: False
    if callable(stop_after):
        return stop_after
    wanted = set(stop_after)
    return lambda times, neurons: wanted.issubset(neurons)


def _canonical(events: list[tuple[int, int]]) -> tuple[int, ...]:
    """Events with each run of arrivals, and each of ends of holds, sorted."""
    ordered: list[int] = []
    for kind, group in itertools.groupby(events, key=lambda event: event[0]):
        ids = [event[1] for event in group]
        ordered += sorted(ids) if kind else ids
    return tuple(ordered)
