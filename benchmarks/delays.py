"""What delays cost: loss and gradient of one network with four kinds of delays.

The network is an `EvNN`, so that all kinds are simulated by the general engine.

`python benchmarks/delays.py` prints a Markdown table. The kinds take turns, several
rounds over, and the fastest call of each counts.
"""

import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from eventax import EvNN
from eventax.neuron_models import LIF

LAYERS, INPUTS, BATCH, T_MAX, ROUNDS, CALLS = [20, 5], 4, 32, 60.0, 10, 10
SENDERS = sum(LAYERS) + INPUTS


def main() -> None:
    rng = np.random.default_rng(0)
    kinds: dict[str, dict[str, Any]] = {
        "none": {},
        "axonal": {"init_axonal_delays": rng.uniform(1.0, 5.0, SENDERS)},
        "synaptic, all equal": {"init_delays": 3.0},
        "synaptic, all different": {
            "init_delays": rng.uniform(1.0, 5.0, (SENDERS, sum(LAYERS)))
        },
    }
    inputs = jnp.asarray(rng.uniform(1.0, 15.0, (BATCH, INPUTS, 1)), jnp.float32)
    networks = {name: build(options) for name, options in kinds.items()}
    functions = {
        name: jax.jit(lambda leaves, x, rest=rest: gradient(leaves, rest, x))
        for name, (_, rest) in networks.items()
    }
    compiling, best = {}, dict.fromkeys(kinds, np.inf)
    for name, function in functions.items():
        compiling[name] = clock(function, networks[name][0], inputs)
    for _ in range(ROUNDS):
        for name, function in functions.items():
            for _ in range(CALLS):
                best[name] = min(best[name], clock(function, networks[name][0], inputs))
    print("| delays | events per sample | ms per call | µs per event | first call, s |")
    print("|---|---|---|---|---|")
    for name, seconds in best.items():
        events = count(eqx.combine(*networks[name]), inputs)
        per_event = 1e6 * seconds / (BATCH * events)
        print(
            f"| {name} | {events:.0f} | {1e3 * seconds:.1f} | {per_event:.2f} "
            f"| {compiling[name]:.1f} |"
        )


def build(options: dict[str, Any]) -> tuple[Any, Any]:
    """The network, as its arrays and the rest."""
    net = EvNN(
        LIF,
        sum(LAYERS),
        T_MAX,
        INPUTS,
        key=jax.random.PRNGKey(0),
        wmask=connectivity(),
        max_event_steps=1000,
        thresh=1.0,
        tmem=20.0,
        tsyn=5.0,
        wmean=4.0,
        wlim=4.0,
        init_bias=0.0,
        **options,
    )
    return eqx.partition(net, eqx.is_array)


def connectivity() -> np.ndarray:
    """Inputs feed the first layer, which feeds the second."""
    first, n_neurons = LAYERS[0], sum(LAYERS)
    mask = np.zeros((SENDERS, n_neurons))
    mask[n_neurons:, :first] = 1
    mask[:first, first:] = 1
    return mask


def gradient(leaves: Any, rest: Any, inputs: jax.Array) -> Any:
    """Of the mean time of all spikes until the end, by all leaves."""

    def loss(leaves: Any) -> jax.Array:
        times, *_ = jax.vmap(eqx.combine(leaves, rest).record)(inputs)
        fired = jnp.isfinite(times)
        return jnp.sum(jnp.where(fired, times, 0.0)) / jnp.sum(fired)

    return jax.value_and_grad(loss)(leaves)


def count(net: EvNN, inputs: jax.Array) -> float:
    """Spikes and arrivals before the end, mean of all samples."""
    times, neurons, _ = (np.asarray(x) for x in eqx.filter_vmap(net.record)(inputs))
    mask, total = np.asarray(net.get_wmask()) > 0, np.zeros(mask_shape(net))
    if net.delays is not None:
        total = total + np.maximum(net.delays, 0.0)
    if net.axonal_delays is not None:
        total = total + np.maximum(net.axonal_delays, 0.0)[:, None]
    events = int(np.sum(neurons >= 0))
    sent = [(t, n) for t, n in zip(times.flat, neurons.flat, strict=True) if n >= 0]
    for channel in range(INPUTS):
        sent += [(t, net.n_neurons + channel) for t in np.ravel(inputs[:, channel])]
    for t, sender in sent:
        delays = np.unique(total[sender, mask[sender]])
        # An undelayed spike of a neuron is one event with its arrivals.
        later = delays if sender >= net.n_neurons else delays[delays > 0]
        events += int(np.sum(t + later <= T_MAX))
    return events / len(inputs)


def mask_shape(net: EvNN) -> tuple[int, int]:
    return net.n_neurons + net.in_size, net.n_neurons


def clock(function: Any, *arguments: Any) -> float:
    start = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
