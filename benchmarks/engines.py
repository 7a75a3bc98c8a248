"""Both engines: `python benchmarks/engines.py [NETWORK ...]`.

For each network loss and gradient by each engine, in a process of its own: the first
call less a later one, the fastest later one, the peak of the process's memory beyond
JAX and data, and how far results of single precision are from those in double
precision by the native core. Prints a table and stores it under `results`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import pathlib
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

HERE = pathlib.Path(__file__).parent
CONSTANTS = {"thresh": 1.0, "tsyn": 5.0, "tmem": 20.0}


def _yin_yang(network: dict[str, Any]) -> Any:
    """5-120-3, first spikes, batch of 64."""
    import jax

    from eventax import FFEvNN
    from eventax.neuron_models import LIF

    net = FFEvNN(
        [120, 3],
        5,
        LIF,
        60.0,
        key=jax.random.PRNGKey(0),
        wmean=1.5,
        wlim=2.5,
        blim=0.0,
        max_event_steps=1000,
        **CONSTANTS,
        **network,
    )
    return net, np.random.default_rng(0).uniform(0, 30, (64, 5, 1)), "ttfs"


def _mnist(network: dict[str, Any], active: int) -> Any:
    import jax

    from eventax import FFEvNN
    from eventax.neuron_models import LIF

    net = FFEvNN(
        [350, 10],
        784,
        LIF,
        60.0,
        key=jax.random.PRNGKey(0),
        wmean=0.08,
        wlim=0.15,
        blim=0.0,
        max_event_steps=5000,
        **CONSTANTS,
        **network,
    )
    rng, inputs = np.random.default_rng(0), np.full((64, 784, 1), np.inf)
    for sample in inputs:
        sample[rng.choice(784, active, replace=False), 0] = rng.uniform(0, 20, active)
    return net, inputs, "ttfs"


def _mnist_150(network: dict[str, Any]) -> Any:
    """784-350-10, 150 inputs per sample, first spikes, batch of 64."""
    return _mnist(network, 150)


def _mnist_400(network: dict[str, Any]) -> Any:
    """784-350-10, 400 inputs per sample."""
    return _mnist(network, 400)


def _regression(network: dict[str, Any]) -> Any:
    """21 QIF neurons of the user's program, first spike, batch of 64."""
    import jax

    from eventax import EvNN
    from eventax.neuron_models import QIF

    mask = np.zeros((22, 21))
    mask[:20, :20] = 1 - np.eye(20)
    mask[:20, 20] = mask[21:, :20] = 1
    net = EvNN(
        QIF,
        21,
        80.0,
        1,
        key=jax.random.PRNGKey(0),
        wmask=mask,
        tsyn=5.0,
        tmem=20.0,
        blim=0.5,
        wlim=40.0,
        wmean=20.0,
        output_neurons=np.arange(21) == 20,
        max_event_steps=2000,
        **network,
    )
    x = np.random.default_rng(0).uniform(0, 30, 64)
    return net, np.stack([0 * x, x], -1)[:, None], "ttfs"


def _single(network: dict[str, Any]) -> Any:
    """21 recurrent LIF neurons, one sample."""
    import jax

    from eventax import EvNN
    from eventax.neuron_models import LIF

    net = EvNN(
        LIF,
        21,
        60.0,
        5,
        key=jax.random.PRNGKey(1),
        wmean=0.5,
        wlim=2.0,
        blim=0.0,
        output_neurons=np.arange(21) == 20,
        **CONSTANTS,
        **network,
    )
    return net, np.random.default_rng(0).uniform(0, 30, (1, 5, 2)), "ttfs"


def _speech(network: dict[str, Any], gain: float) -> Any:
    import jax.numpy as jnp

    from eventax import EvNN
    from eventax.neuron_models import LI, LIF, MultiNeuronModel

    hidden, n, m = 256, 276, 700
    rng, mask, weights = (
        np.random.default_rng(1),
        np.zeros((976, n)),
        np.zeros((976, n)),
    )
    mask[:hidden], mask[n:, :hidden] = 1, 1
    weights[n:, :hidden] = gain * rng.normal(0.03, 0.01, (m, hidden))
    weights[:hidden, :hidden] = gain * rng.normal(0, 0.02, (hidden, hidden))
    weights[:hidden, hidden:] = rng.normal(0, 0.03, (hidden, n - hidden))
    readout = {"tsyn": 5.0, "tmem": 20.0}
    net = EvNN(
        MultiNeuronModel,
        n,
        1000.0,
        m,
        wmask=mask,
        output_neurons=np.arange(n) >= hidden,
        max_event_steps=40000,
        neuron_models=[LIF, LI],
        neuron_type_ids=(np.arange(n) >= hidden).astype(int),
        neuron_model_kwargs=[
            {
                **CONSTANTS,
                "init_weights": jnp.asarray(weights[:, :hidden]),
                "init_bias": 0.0,
            },
            {
                **readout,
                "init_weights": jnp.asarray(weights[:, hidden:]),
                "init_bias": 0.0,
            },
        ],
        **network,
    )
    inputs = np.full((32, m, 40), np.inf)
    for sample in inputs:
        channels, counts = np.unique(rng.integers(0, m, 8000), return_counts=True)
        for channel, count in zip(channels, counts, strict=True):
            sample[channel, :count] = rng.uniform(0, 1000, count)
    return net, inputs, "integral"


def _speech_14(network: dict[str, Any]) -> Any:
    """700 - 256 recurrent - 20 readouts, 8,000 inputs, some 14 spikes per neuron."""
    return _speech(network, 0.86)


def _speech_50(network: dict[str, Any]) -> Any:
    """The same, some 50 spikes per neuron: 20,000 events per sample."""
    return _speech(network, 1.33)


NETWORKS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "single": _single,
    "yin-yang": _yin_yang,
    "mnist-150": _mnist_150,
    "mnist-400": _mnist_400,
    "regression": _regression,
    "speech-14": _speech_14,
    "speech-50": _speech_50,
}


def measure(name: str, engine: str, out: pathlib.Path) -> None:
    """Loss and gradient by one engine, in this process."""
    import jax

    jax.config.update("jax_enable_x64", engine == "double")
    import equinox as eqx
    import jax.numpy as jnp

    kind = {"engine": "native", "dtype": jnp.float64} if engine == "double" else {}
    net, inputs, question = NETWORKS[name](kind or {"engine": engine})
    x = jnp.asarray(inputs, net.dtype)
    jax.block_until_ready(x)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    # Not `eqx.filter_jit`, which takes 0.1 ms of each call to look at the network.
    parameters, rest = eqx.partition(net, eqx.is_inexact_array)

    @jax.jit
    def loss_and_gradient(parameters: Any, x: Any) -> Any:
        def loss(parameters: Any) -> Any:
            net = eqx.combine(parameters, rest)
            values = jax.vmap(getattr(net, question))(x)
            fired = jnp.where(jnp.isfinite(values), values, 0)
            return jnp.sum(fired * jnp.cos(jnp.arange(values.shape[1]))), values

        return jax.value_and_grad(loss, has_aux=True)(parameters)

    def call() -> float:
        start = time.perf_counter()
        jax.block_until_ready(loss_and_gradient(parameters, x))
        return time.perf_counter() - start

    first, times = call(), []
    while len(times) < 3 or (sum(times) < 3 and len(times) < 200):
        times.append(call())
    (_, values), gradient = loss_and_gradient(parameters, x)
    events = net.record(x[0])[1]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    leaves = [np.asarray(g, float).ravel() for g in jax.tree.leaves(gradient)]
    np.savez(
        out,
        values=np.asarray(values, float),
        gradient=np.concatenate(leaves),
        figures=[first - min(times), min(times), memory / 1024],
        spikes=np.sum(np.asarray(events) >= 0),
    )


def compare(name: str, folder: pathlib.Path) -> dict[str, Any]:
    """One row of the table."""
    found = {}
    for engine in ("double", "native", "jax"):
        file = folder / f"{name}-{engine}.npz"
        command = [
            sys.executable,
            __file__,
            name,
            "--engine",
            engine,
            "--out",
            str(file),
        ]
        subprocess.run(command, check=True)
        found[engine] = dict(np.load(file))
    row: dict[str, Any] = {"network": name, "spikes": int(found["double"]["spikes"])}
    exact = found["double"]
    for engine in ("native", "jax"):
        compile_s, run_s, memory = found[engine]["figures"]
        finite = np.isfinite(exact["values"]) & np.isfinite(found[engine]["values"])
        error = np.abs(exact["values"] - found[engine]["values"])[finite].max(initial=0)
        size = np.linalg.norm(exact["gradient"])
        off = np.linalg.norm(found[engine]["gradient"] - exact["gradient"]) / size
        row[engine] = {
            "compile_s": round(float(compile_s), 3),
            "run_ms": round(1e3 * float(run_s), 3),
            "memory_MiB": round(float(memory)),
            "largest_error": float(error),
            "gradient_error": float(off),
        }
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--engine", help="measure one engine in this process")
    parser.add_argument("--out", type=pathlib.Path)
    given = parser.parse_args()
    if given.engine:
        measure(given.networks[0], given.engine, given.out)
        return
    import tempfile

    from worker import versions

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in given.networks:
            rows.append(compare(name, pathlib.Path(folder)))
            row, a, b = rows[-1], rows[-1]["native"], rows[-1]["jax"]
            print(
                f"{name:10} {row['spikes']:6} spikes | native {a['run_ms']:9.3f} ms, "
                f"compiled {a['compile_s']:6.2f} s, {a['memory_MiB']:4} MiB, off "
                f"{a['largest_error']:.1e} | jax {b['run_ms']:9.2f} ms, "
                f"{b['compile_s']:6.2f} s, {b['memory_MiB']:4} MiB, off "
                f"{b['largest_error']:.1e} | {b['run_ms'] / a['run_ms']:5.1f}x",
                flush=True,
            )
    commit = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"],
        cwd=HERE,
        capture_output=True,
        text=True,
    ).stdout.strip()
    day = datetime.date.today().isoformat()
    told = {"date": day, "commit": commit, "versions": versions(), "rows": rows}
    file = HERE / "results" / f"{day}-{commit}-engines.json"
    file.write_text(json.dumps(told, indent=1) + "\n")
    print(file)


if __name__ == "__main__":
    main()
