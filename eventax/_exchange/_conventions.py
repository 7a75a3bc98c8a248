"""On what files disagree: the unit of time, and what one spike adds."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from .._arguments import as_float

UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
SPIKES = ("dirac", "jump", "step")


class Convention(NamedTuple):
    """How to read a graph's numbers."""

    scale: float
    """A time of the graph, in units of the network's time, times this."""
    spike: str
    dt: float | None
    """Length of a step in the graph's unit, where spikes are one step long."""

    def unit_strength(self, tau: np.ndarray) -> np.ndarray:
        """The `w_in` with which a spike of weight 1 adds 1, for a time constant tau.

        The variable obeys τ x' = -x + w_in S, and a spike is one in S: a Dirac pulse, a
        1 for one step, or, whatever the equation says, a jump of x by w_in. For tau of
        an integrator without leak 1 is put in.
        """
        if self.spike == "dirac":
            return tau
        if self.spike == "step":
            assert self.dt is not None
            return tau / self.dt
        return np.ones_like(tau)

    def strength(self, w_in: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """What a spike of weight 1 adds, in double precision."""
        # Of what `to_nir` wrote, exactly 1, whatever the precision.
        written = self.unit_strength(tau).astype(tau.dtype)
        exact = self.unit_strength(tau.astype(np.float64))
        return np.where(w_in == written, 1.0, w_in / exact)


def seconds(name: str, unit: str | float) -> float:
    """A unit of time in seconds."""
    if isinstance(unit, str) and unit in UNITS:
        return UNITS[unit]
    value = np.nan if isinstance(unit, str) else as_float(name, unit)
    if not 0 < value < np.inf:
        names = ", ".join(repr(known) for known in UNITS)
        raise ValueError(
            f"`{name}` must be a unit of time, one of {names}, or its length in "
            f"seconds, a positive number; got {unit!r}."
        )
    return value


def ratio(unit: str | float | None, graph_unit: str | float | None) -> float:
    """A graph's unit of time in units of the network's, 1 where none is told."""
    if graph_unit is None and unit is not None:
        raise ValueError(
            f"`graph_unit` must be given where `unit` is, the unit of the network's "
            f"times (got {unit!r}): the graph does not tell in which unit it is."
        )
    if unit is None or graph_unit is None or unit == graph_unit:
        for name, value in (("unit", unit), ("graph_unit", graph_unit)):
            if value is not None:
                seconds(name, value)
        return 1.0
    return seconds("graph_unit", graph_unit) / seconds("unit", unit)


def check_spike(spike: Any, dt: Any) -> tuple[str, float | None]:
    """A reading of spikes, and the length of a step where it needs one."""
    if spike not in SPIKES:
        raise ValueError(
            "`spike` must be 'dirac' (a spike adds w_in W / τ, NIR's formula for a "
            "pulse), 'jump' (w_in W, as in jaxsnn and hxtorch) or 'step' (w_in W dt / "
            f"τ, as in snnTorch and Norse); got {spike!r}."
        )
    if (dt is not None) != (spike == "step"):
        raise ValueError(
            "`dt` must be given for `spike='step'` and only there: it is how long a "
            f"step is, in the graph's unit of time; got spike={spike!r}, dt={dt!r}."
        )
    if dt is None:
        return spike, None
    step = as_float("dt", dt)
    if not 0 < step < np.inf:
        raise ValueError(f"`dt` must be positive and finite; got {dt!r}.")
    return spike, step


def told_convention(metadata: Any) -> dict[str, Any]:
    """What a graph's metadata tell of the above, as `to_nir` writes it."""
    told: dict[str, Any] = {}
    if not isinstance(metadata, dict):
        return told
    unit, spike = metadata.get("time_unit"), metadata.get("spike")
    if isinstance(unit, float) or (isinstance(unit, str) and unit in UNITS):
        told["time_unit"] = unit
    if isinstance(spike, str) and spike in SPIKES:
        told["spike"] = spike
        if isinstance(metadata.get("dt"), float):
            told["dt"] = float(metadata["dt"])
    return told


def warn_of_guesses(unit_missing: bool, spike_missing: bool) -> None:
    """One warning that names what was taken for granted."""
    guesses = []
    if unit_missing:
        guesses.append(
            "`graph_unit` is not given: times are copied as they are (NIR's "
            "documentation and jaxsnn have ms, snnTorch and Norse s)"
        )
    if spike_missing:
        guesses.append(
            "`spike` is not given: 'dirac' is taken, by which a spike adds w_in W / τ "
            "(jaxsnn and hxtorch read 'jump', snnTorch and Norse 'step')"
        )
    if guesses:
        warnings.warn(f"{'; '.join(guesses)}.", stacklevel=3)
