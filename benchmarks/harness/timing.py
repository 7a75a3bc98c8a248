"""Time, compile time and memory of one jitted call, measured inside a worker."""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

MIN_CALLS = 10
WARM_UP_CALLS = 2
# Slow calls: no more of them after this multiple of the time to be spent.
PATIENCE = 5


def time_call(
    function: Callable[..., Any],
    *arguments: Any,
    seconds: float,
    ahead_of_time: bool = False,
) -> dict[str, float]:
    """Measure `function(*arguments)`; `seconds` is the time spent on repetitions.

    `function` must be jitted and not called before. The first call is what a user
    waits for: its time less that of a later call is the compile time. Memory is the
    peak of the process, and how far that is above what it held before the call. With
    `ahead_of_time`, tracing and XLA's share are measured apart too, with empty
    caches, and what memory XLA lays out for intermediate values.
    """
    before = _memory_mib("VmRSS")
    first = _time_once(function, arguments)
    latest = time.perf_counter() + PATIENCE * seconds
    for _ in range(WARM_UP_CALLS):
        if time.perf_counter() < latest:
            _time_once(function, arguments)
    times: list[float] = []
    stop = time.perf_counter() + seconds
    while (len(times) < MIN_CALLS and time.perf_counter() < latest) or (
        not times or time.perf_counter() < stop
    ):
        times.append(_time_once(function, arguments))
    figures = {
        "seconds": min(times),
        "median_seconds": statistics.median(times),
        "calls": len(times),
        "compile_seconds": first - min(times),
        "peak_mib": (peak := peak_memory_mib()),
        "added_mib": peak - before,
    }
    if ahead_of_time:
        figures |= _time_ahead_of_time(function, arguments)
    return figures


def peak_memory_mib() -> float:
    """Peak resident memory of this process.

    Linux hands `ru_maxrss` on from the process that started this one; `VmHWM` is
    this program's own.
    """
    return _memory_mib("VmHWM")


def _memory_mib(what: str) -> float:
    """A line of Linux's status of this process; elsewhere its peak so far."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith(what))
        return int(line.split()[1]) / 1024
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _time_once(function: Callable[..., Any], arguments: tuple[Any, ...]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - start


def _time_ahead_of_time(function: Any, arguments: tuple[Any, ...]) -> dict[str, float]:
    jax.clear_caches()
    start = time.perf_counter()
    lowered = function.lower(*arguments)
    middle = time.perf_counter()
    compiled = lowered.compile()
    figures = {
        "trace_seconds": middle - start,
        "xla_seconds": time.perf_counter() - middle,
    }
    memory = getattr(compiled, "compiled", compiled).memory_analysis()
    if memory is not None:
        figures["temporary_mib"] = memory.temp_size_in_bytes / 1024**2
    return figures
