"""How much neurons fire, and how near a network comes to its bound on events."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from .._arguments import check_positive
from .._networks import EvNN
from .._networks._expected import check_network
from .._networks._groups import groups_of, may_fire
from ._counts import check_batch, count


class ActivityRow(NamedTuple):
    """A layer or population.

    Arguments:
        name: its name.
        neurons: how many there are.
        fires: whether its neurons can fire at all: those of `LI` cannot.
        spikes: mean number of spikes of a neuron in a sample.
        busiest: the most spikes that one of its neurons has in one sample.
        silent: neurons that fire in no sample, though they could.
        saturated: neurons that fire too often.
    """

    name: str
    neurons: int
    fires: bool
    spikes: float
    busiest: int
    silent: int
    saturated: int


@dataclasses.dataclass(frozen=True, eq=False)
class Activity:
    """The result of `activity`; printed, it is a table.

    Attributes:
        spikes: (batch, N) how often each neuron fires in each sample.
        events: (batch,) events of each sample that count for `max_event_steps`: spikes
            of all neurons and arriving inputs.
        limit: the network's `max_event_steps`.
        populations: (n,) neurons of each layer or population, by name.
        silent: (N,) neurons that fire in no sample, though they could. They get no
            gradient from any loss of spike times.
        saturated: (N,) neurons that fire `saturated` times in a sample or more, on
            average.
        can_fire: (N,) False for neurons of `LI`.
    """

    spikes: Int[np.ndarray, "batch neurons"]
    events: Int[np.ndarray, " batch"]
    limit: int
    populations: Mapping[str, Int[np.ndarray, " population"]]
    silent: Bool[np.ndarray, " neurons"]
    saturated: Bool[np.ndarray, " neurons"]
    can_fire: Bool[np.ndarray, " neurons"]

    @property
    def rows(self) -> tuple[ActivityRow, ...]:
        """One for each population."""
        return tuple(self._row(name, who) for name, who in self.populations.items())

    @property
    def over_limit(self) -> int:
        """Number of samples with more events than `limit`: an error in simulations."""
        return int(np.sum(self.events > self.limit))

    def _row(self, name: str, neurons: np.ndarray) -> ActivityRow:
        spikes = self.spikes[:, neurons]
        return ActivityRow(
            name=name,
            neurons=neurons.size,
            fires=bool(self.can_fire[neurons].any()),
            spikes=float(spikes.mean()) if spikes.size else 0.0,
            busiest=int(spikes.max(initial=0)),
            silent=int(self.silent[neurons].sum()),
            saturated=int(self.saturated[neurons].sum()),
        )

    def __str__(self) -> str:
        title = ("population", "neurons", "spikes", "busiest", "silent", "saturated")
        cells = [title, *map(_cells, self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(
                [name.ljust(widths[0])]
                + [x.rjust(w) for x, w in zip(more, widths[1:], strict=True)]
            )
            for name, *more in cells
        ]
        lines.append(
            f"{len(self.spikes)} samples; spikes of a neuron per sample; events per "
            f"sample: {self.events.mean():.0f} on average, {self.events.max()} at "
            f"most, of max_event_steps = {self.limit}"
        )
        if self.over_limit:
            lines.append(
                f"{self.over_limit} of {len(self.spikes)} samples have more events "
                "than max_event_steps allows, which is an error: weaken weights, or "
                "allow more"
            )
        return "\n".join(lines)


def activity(
    net: EvNN, in_spike_times: Any, populations: Any = None, *, saturated: Any = 100.0
) -> Activity:
    """Who fires how much for a batch of samples, layer by layer.

    The first thing to look at in a network that learns nothing. Samples with more
    events than `max_event_steps` are told too, up to 256 times as many.

    Arguments:
        net: any network.
        in_spike_times: (batch, M, K) input spikes of some samples, padded with `inf`,
            or `Spikes` of shape (batch, E); None for one sample without input.
        populations: what is told apart: what `eventax.connectivity` made, a dictionary
            of sizes by name, or a list of sizes, in the order of neurons. By default
            the layers of an `FFEvNN`; of another network hidden and output neurons.
        saturated: spikes of a neuron in a sample, on average, from which on it counts
            as saturated.

    Returns:
        An `Activity`: print it for a table, or read its arrays.

    Raises:
        TypeError: `net` is no network.
        ValueError: a shape is wrong, there is no sample, `populations` are not the
            network's, or `saturated` is not positive.
        EquinoxRuntimeError: there are still more events, or input times are wrong.

    Example:
        >>> import jax
        >>> from eventax import FFEvNN
        >>> from eventax.monitor import activity
        >>> from eventax.neuron_models import LIF
        >>> net = FFEvNN(
        ...     [20, 3], 4, LIF, 50.0, key=jax.random.key(0), thresh=1.0, tsyn=5.0,
        ...     tmem=20.0, wlim=2.0, wmean=1.4, init_bias=0.0, max_event_steps=200,
        ... )
        >>> samples = 20.0 * jax.random.uniform(jax.random.key(1), (100, 4, 1))
        >>> seen = activity(net, samples)
        >>> print(seen)
        population  neurons  spikes  busiest  silent  saturated
        hidden           20    0.18        1      15          0
        output            3    0.29        1       1          0
        100 samples; spikes of a neuron per sample; events per sample: 9 on average, 11
        at most, of max_event_steps = 200
        >>> seen.spikes.shape
        (100, 23)
    """
    check_network("net", net)
    check_positive("saturated", saturated)
    groups = groups_of(net, populations)
    counts = count(net, check_batch(net, in_spike_times))
    fires = may_fire(net)
    return Activity(
        spikes=counts.spikes,
        events=counts.events,
        limit=net.max_event_steps,
        populations={group.name: group.neurons for group in groups},
        silent=fires & ~counts.spikes.any(axis=0),
        saturated=counts.spikes.mean(axis=0) >= saturated,
        can_fire=fires,
    )


def _cells(row: ActivityRow) -> tuple[str, ...]:
    numbers = (row.name, f"{row.neurons}")
    if not row.fires:
        return (*numbers, "-", "-", "-", "-")
    return (
        *numbers,
        f"{row.spikes:.2f}",
        f"{row.busiest}",
        f"{row.silent}",
        f"{row.saturated}",
    )
