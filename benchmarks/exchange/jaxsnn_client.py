"""Worker: jaxsnn reads a graph and simulates it from event to event."""

from typing import Any

import jax
import jax.numpy as jnp
import nir
import numpy as np
from harness.reference import Arrays

jax.config.update("jax_enable_x64", True)

MS = 1e-3  # jaxsnn takes a graph's times as ms and turns them into seconds


def read(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """Spikes in ms of all neurons of the graph in `file`, layer by layer.

    Options: `file`; `inputs`, a list of times for each channel; `t_max` in ms;
    `most`, spikes per layer, inputs included; `layers`, names of the nodes.
    """
    from jaxsnn.event.types import Spike
    from jaxsnn.event.utils.from_nir import ConversionConfig, from_nir

    config = ConversionConfig(
        t_max=options["t_max"] * MS,
        n_steps=dict.fromkeys(options["layers"], options["most"]),
        backprop_method="eventprop",
    )
    graph = nir.read(options["file"])
    for node in graph.nodes.values():
        if isinstance(node, nir.Linear):
            # jaxsnn 0.3.0 takes weights as (in, out); NIR's are (out, in).
            node.weight = node.weight.T
    init, apply = from_nir(graph, config).done()
    events = sorted((t, k) for k, ts in enumerate(options["inputs"]) for t in ts)
    times, channels = (np.array(x) for x in zip(*events, strict=True))
    nothing = jnp.zeros((1, times.size))
    spikes = Spike(
        time=jnp.asarray(times * MS)[None],
        idx=jnp.asarray(channels)[None],
        current=nothing,
        layer_idx=nothing.astype(int),
        internal=nothing == 0,
    )
    found = apply({"input": spikes}, init(jax.random.PRNGKey(0)))
    trains: list[list[float]] = []
    for name in options["layers"]:
        layer = found[name]
        own = np.asarray(layer.internal[0]) & (np.asarray(layer.idx[0]) >= 0)
        if own.sum() + times.size >= options["most"]:
            raise ValueError("more spikes than `most`")
        who, when = np.asarray(layer.idx[0]), np.asarray(layer.time[0], float) / MS
        size = graph.nodes[name].v_threshold.size
        trains += [sorted(when[own & (who == k)].tolist()) for k in range(size)]
    return {}, {str(k): np.array(train) for k, train in enumerate(trains)}
