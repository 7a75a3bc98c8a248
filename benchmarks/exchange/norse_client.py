"""Worker: Norse reads a graph, or writes one, and simulates it in steps."""

from typing import Any

import nir
import norse.torch as norse
import torch
from harness.reference import Arrays

from exchange.torch_steps import frames, record

MS = 1e-3


def read(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """Spikes in ms of the graph in `file`, whose times are in seconds.

    Options: `file`; `inputs`, a list of times for each channel; `t_max` and `dt` in ms;
    `layers`, names of the nodes.
    """
    module = norse.from_nir(nir.read(options["file"]), dt=options["dt"] * MS)
    state = None

    def step(frame: torch.Tensor) -> list[torch.Tensor]:
        nonlocal state
        _, state = module(frame, state)
        return [state.cache[name] for name in options["layers"]]

    x = frames(options["inputs"], options["dt"], options["t_max"])
    return {}, record(step, x, options["dt"])


def write(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """Spikes in ms of a network whose graph is written into `file`.

    Options: `weights` of each layer, (n, m); `tsyn` and `tmem` in ms; and as `read`.
    """
    dt = options["dt"] * MS
    modules: list[torch.nn.Module] = []
    for matrix in options["weights"]:
        weight = torch.tensor(matrix)
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        linear.weight.data = weight
        modules += [linear, norse.LIFCell(_parameters(options, len(weight)), dt=dt)]
    network = norse.SequentialState(*modules)
    channels = len(options["inputs"])
    graph = norse.to_nir(network, torch.zeros(channels), dt=dt)
    nir.write(options["file"], graph)
    states: list[Any] = [None] * len(modules)

    def step(frame: torch.Tensor) -> list[torch.Tensor]:
        spikes = []
        for k, module in enumerate(modules):
            if isinstance(module, torch.nn.Linear):
                frame = module(frame)
            else:
                frame, states[k] = module(frame, states[k])
                spikes.append(frame)
        return spikes

    x = frames(options["inputs"], options["dt"], options["t_max"])
    return {}, record(step, x, options["dt"])


def _parameters(options: dict[str, Any], n: int) -> Any:
    return norse.LIFParameters(
        tau_syn_inv=torch.full((n,), 1 / (options["tsyn"] * MS)),
        tau_mem_inv=torch.full((n,), 1 / (options["tmem"] * MS)),
        v_leak=torch.zeros(n),
        v_th=torch.ones(n),
        v_reset=torch.zeros(n),
    )
