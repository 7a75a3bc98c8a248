"""`python -m eventax`: versions, the native core, devices, and one line of timing."""

import platform
import time
import warnings
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ._native import load, why_missing
from ._networks._engines import Engine
from .evnn import EvNN
from .neuron_models import LIF

PACKAGES = ("jax", "jaxlib", "equinox", "diffrax", "optimistix", "numpy")
BATCH = 64


def versions() -> str:
    """This package, its dependencies, Python and the machine."""
    dependencies = [f"{name} {version(name)}" for name in PACKAGES]
    machine = f"Python {platform.python_version()}, {platform.platform()}"
    return ", ".join([f"eventax {version('eventax')}", *dependencies, machine])


def native_core() -> str:
    """The library that was found and how it was built, or why there is none."""
    with warnings.catch_warnings():
        # What it says is part of what is printed.
        warnings.simplefilter("ignore")
        library = load()
    if library is None:
        return f"none, eventax runs on JAX: {why_missing()}"
    return f"{library.path}, by {library.how}"


def devices() -> str:
    """What JAX computes on."""
    kinds = Counter(device.device_kind for device in jax.devices())
    return ", ".join(f"{count} x {kind}" for kind, count in kinds.items())


def timing() -> str:
    """How long a loss and its gradient take, by each engine that is there."""
    engines: list[Engine] = ["native", "jax"] if load() else ["jax"]
    times = [f"{name} {1e3 * seconds(network(name)):.2f} ms" for name in engines]
    return f"loss and gradient of 20 LIF neurons, {BATCH} samples: {', '.join(times)}"


def network(engine: Engine) -> EvNN:
    """A small recurrent one; bias currents just below threshold wake its neurons."""
    constants: dict[str, Any] = {"thresh": 1.0, "tmem": 20.0, "tsyn": 5.0}
    weights: dict[str, Any] = {"wmean": 0.5, "wlim": 1.0, "init_bias": 0.9}
    key = jax.random.key(0)
    return EvNN(LIF, 20, 40.0, 5, key, engine=engine, **constants, **weights)


def seconds(net: EvNN, calls: int = 10) -> float:
    """The fastest of several calls, after one that compiles."""
    inputs = jax.random.uniform(jax.random.key(1), (BATCH, 5, 2), maxval=30.0)

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def loss(net: EvNN, inputs: jax.Array) -> jax.Array:
        spikes = jax.vmap(net.ttfs)(inputs)
        return jnp.where(jnp.isfinite(spikes), spikes, 0.0).mean()

    return min(_timed(lambda: loss(net, inputs)) for _ in range(1 + calls))


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


def main() -> None:
    """Print it all, a line each, the slow one last."""
    for title, text in (
        ("versions", versions),
        ("library", native_core),
        ("devices", devices),
        ("timing", timing),
    ):
        print(f"{title}: {text()}", flush=True)


if __name__ == "__main__":
    main()
