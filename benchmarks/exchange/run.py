"""Exchange graphs in NIR with other packages: `python benchmarks/exchange/run.py`.

Their own readers, writers and simulations, in environments of their own, against this
package; the result is `docs/results/nir_exchange.md` and `.json`.
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
import jax.numpy as jnp
import nir
import numpy as np
from harness import machine
from harness.environments import ROOT, other_environment
from harness.processes import run_worker

from eventax import EvNN, FFEvNN
from eventax.io import from_nir, to_nir
from eventax.neuron_models import LIF

jax.config.update("jax_enable_x64", True)

RESULTS = ROOT / "docs" / "results"
T_MAX, N_INPUTS, GRID = 30.0, 4, 0.4
STEPS = (0.4, 0.2, 0.1, 0.05, 0.025, 0.0125)  # ms; input times are multiples of 0.4
SEEDS = range(5)
TSYN, TMEM = 5.0, 10.0
Trains = list[np.ndarray]


class Row(NamedTuple):
    """One network that was exchanged: how far apart its spikes are, in ms."""

    case: str
    seed: int
    dt: float | None
    spikes: int
    unpaired: int
    largest: float
    mean: float


def weights(seed: int) -> list[np.ndarray]:
    """Of two layers, (6, 4) and (3, 6)."""
    rng = np.random.default_rng(seed)
    shapes = ((6, N_INPUTS), (3, 6))
    return [rng.normal(0.8, 1.0, shape).astype(np.float32) for shape in shapes]


def inputs(seed: int) -> list[list[float]]:
    """Three spikes in each channel."""
    rng = np.random.default_rng(100 + seed)
    steps = [rng.choice(50, 3, replace=False) for _ in range(N_INPUTS)]
    return [sorted((GRID * s).tolist()) for s in steps]


def feed_forward(seed: int, tsyn: float, tmem: float) -> EvNN:
    """The network of this package."""
    first, second = weights(seed)
    matrix = np.zeros((9 + N_INPUTS, 9), np.float32)
    matrix[9:, :6], matrix[:6, 6:] = first.T, second.T
    return FFEvNN(
        [6, 3], N_INPUTS, LIF, T_MAX, thresh=1.0, tsyn=tsyn, tmem=tmem,
        init_weights=matrix, init_bias=0.0, max_event_steps=1000,
        dtype=jnp.float64,
    )  # fmt: skip


def simulate(network: EvNN, seed: int) -> Trains:
    """Spikes of all neurons."""
    times, neurons, _ = network.record(jnp.asarray(inputs(seed)))
    times, neurons = np.asarray(times, float), np.asarray(neurons)
    return [times[neurons == k] for k in range(network.n_neurons)]


def compare(
    case: str, seed: int, dt: float | None, ours: Trains, theirs: Trains
) -> Row:
    """The k-th spike of each neuron with the k-th of the other side."""
    gaps, unpaired = [np.zeros(0)], 0
    for a, b in zip(ours, theirs, strict=True):
        pairs = min(len(a), len(b))
        gaps.append(np.abs(a[:pairs] - b[:pairs]))
        unpaired += len(a) + len(b) - 2 * pairs
    gap = np.concatenate(gaps)
    return Row(case, seed, dt, gap.size, unpaired, float(gap.max()), float(gap.mean()))


# What is exchanged ----------------------------------------------------------------


class Run(NamedTuple):
    """What a client does, and the network here, once it has done it."""

    options: dict[str, Any]
    network: Callable[[], EvNN]


class Case(NamedTuple):
    """One direction between two packages."""

    name: str
    environment: str
    client: str
    function: str
    prepare: Callable[[Path, int, Any], Run]
    steps: tuple[float | None, ...] = STEPS


def options(seed: int, file: Path, dt: float | None = None) -> dict[str, Any]:
    """What every client gets."""
    shared = {"file": str(file), "inputs": inputs(seed), "t_max": T_MAX}
    return shared | ({} if dt is None else {"dt": dt})


def jaxsnn_reads(file: Path, seed: int, _: None) -> Run:
    network = feed_forward(seed, 6.0, 12.0)
    nir.write(file, to_nir(network, unit="ms", spike="jump"))
    given = options(seed, file) | {"layers": ["lif_0", "lif_1"], "most": 400}
    return Run(given, lambda: network)


def norse_reads(file: Path, seed: int, dt: float) -> Run:
    network = feed_forward(seed, TSYN, TMEM)
    graph = to_nir(network, unit="ms", graph_unit="s", spike="step", dt=1e-3 * dt)
    nir.write(file, graph)
    given = options(seed, file, dt) | {"layers": ["lif_0", "lif_1"]}
    return Run(given, lambda: network)


def norse_writes(file: Path, seed: int, dt: float) -> Run:
    given = options(seed, file, dt) | {"tsyn": TSYN, "tmem": TMEM}
    given["weights"] = [w.tolist() for w in weights(seed)]
    # It writes seconds times dt (norse/norse issue 411), and a spike adds W.
    said = {"unit": "ms", "graph_unit": 1 / (1e-3 * dt), "spike": "jump"}
    return Run(given, lambda: read(file, said))


def snntorch_writes(file: Path, seed: int, dt: float) -> Run:
    return _snntorch(file, seed, dt, weights(seed), None)


def snntorch_writes_recurrence(file: Path, seed: int, dt: float) -> Run:
    rng = np.random.default_rng(200 + seed)
    recurrent = rng.normal(0.0, 0.5, (6, 6)).astype(np.float32)
    return _snntorch(file, seed, dt, weights(seed)[:1], recurrent.tolist())


def _snntorch(
    file: Path, seed: int, dt: float, layers: list[np.ndarray], recurrent: Any
) -> Run:
    given = options(seed, file, dt) | {"tsyn": TSYN, "tmem": TMEM}
    given |= {"weights": [w.tolist() for w in layers], "recurrent": recurrent}
    # A step is always 1e-4 s in its graphs, and dt ms here.
    said = {"unit": 1e-4 / dt, "graph_unit": "s", "spike": "step", "dt": 1e-4}
    return Run(given, lambda: read(file, said))


def read(file: Path, said: dict[str, Any]) -> EvNN:
    """The network in a file that another package wrote."""
    return from_nir(file, T_MAX, max_event_steps=2000, dtype=jnp.float64, **said)


CASES = {
    "jaxsnn-reads": Case(
        "jaxsnn reads", "jaxsnn", "jaxsnn_client", "read", jaxsnn_reads, (None,)
    ),
    "norse-reads": Case("Norse reads", "torch", "norse_client", "read", norse_reads),
    "norse-writes": Case(
        "Norse writes", "torch", "norse_client", "write", norse_writes
    ),
    "snntorch-writes": Case(
        "snnTorch writes", "torch", "snntorch_client", "write", snntorch_writes
    ),
    "snntorch-writes-recurrence": Case(
        "snnTorch writes, recurrent",
        "torch",
        "snntorch_client",
        "write",
        snntorch_writes_recurrence,
    ),
}


def exchange(case: Case, seed: int, versions: dict[str, str]) -> list[Row]:
    """All steps of one network."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{k}.nir" for k in range(len(case.steps))]
        runs = [
            case.prepare(file, seed, dt)
            for file, dt in zip(files, case.steps, strict=True)
        ]
        asked = {
            "client": case.client,
            "function": case.function,
            "runs": [run.options for run in runs],
        }
        environment = other_environment(case.environment)
        done = run_worker(environment, "exchange.each", asked, "each")
        if done.error:
            raise SystemExit(f"{case.name}: {done.error}")
        versions.update(done.versions)
        rows = []
        for k, (dt, run) in enumerate(zip(case.steps, runs, strict=True)):
            ours = simulate(run.network(), seed)
            theirs = [done.arrays[f"{k}/{n}"] for n in range(len(ours))]
            rows.append(compare(case.name, seed, dt, ours, theirs))
        return rows


# The result ------------------------------------------------------------------------


def orders(rows: list[Row]) -> dict[tuple[str, int], float]:
    """By how much the mean error falls with the step, as a power of it.

    The slope of a line through the logarithms, over steps at which no spike is without
    a partner.
    """
    found = {}
    for case, seed in dict.fromkeys((r.case, r.seed) for r in rows if r.dt is not None):
        own = [r for r in rows if (r.case, r.seed) == (case, seed) and not r.unpaired]
        if len(own) > 1:
            x, y = ([math.log(getattr(r, k)) for r in own] for k in ("dt", "mean"))
            found[case, seed] = float(np.polyfit(x, y, 1)[0])
    return found


def markdown(rows: list[Row], versions: dict[str, str], about: dict[str, Any]) -> str:
    """The tables."""
    lines = [
        "# Graphs in NIR, exchanged with other packages",
        "",
        "`make exchange`. The k-th spike of each neuron there and here, in ms, over "
        f"{len(SEEDS)} networks of each kind. Unpaired are spikes without a partner.",
        "",
        "| case | step (ms) | spikes | unpaired | largest error | mean error |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for case, dt in dict.fromkeys((r.case, r.dt) for r in rows):
        own = [r for r in rows if (r.case, r.dt) == (case, dt)]
        spikes = sum(r.spikes for r in own)
        mean = sum(r.mean * r.spikes for r in own) / max(spikes, 1)
        lines.append(
            f"| {case} | {'events' if dt is None else dt} | {spikes} | "
            f"{sum(r.unpaired for r in own)} | {max(r.largest for r in own):.2e} | "
            f"{mean:.2e} |"
        )
    lines += ["", "The mean error falls as the step to the power of:", ""]
    lines += ["| case | of each network |", "|---|---|"]
    found = orders(rows)
    for case in dict.fromkeys(case for case, _ in found):
        powers = ", ".join(f"{p:.2f}" for (c, _), p in found.items() if c == case)
        lines.append(f"| {case} | {powers} |")
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    run = ", ".join(f"{name} {value}" for name, value in about.items())
    return "\n".join([*lines, "", f"Versions: {told}.", "", f"Run: {run}.", ""])


def main() -> None:
    """Exchange, print and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    about, versions, rows = machine.describe(), {}, []
    for name in chosen.only:
        for seed in SEEDS:
            rows += exchange(CASES[name], seed, versions)
            print(*rows[-1], flush=True)
    text = markdown(rows, versions, about)
    print(text)
    path = chosen.results / "nir_exchange"
    path.with_suffix(".md").write_text(text)
    stored = {"about": about, "versions": versions}
    stored["rows"] = [row._asdict() for row in rows]
    path.with_suffix(".json").write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
