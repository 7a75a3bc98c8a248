"""Worker: snnTorch writes a graph, and simulates the network in steps."""

from typing import Any

import nir
import snntorch as snn
import torch
from harness.reference import Arrays
from snntorch.export_nir import export_to_nir

from exchange.torch_steps import frames, record


def write(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """Spikes in ms of a network whose graph is written into `file`.

    A network there has decays per step, v rises by the current in each step. So that
    shorter steps give the same equation, weights are multiplied by dt / tmem.

    Options: `file`; `weights` of each layer, (n, m); `recurrent`, (n, n) of the last
    layer or None; `inputs`, a list of times for each channel; `tsyn`, `tmem`, `t_max`
    and `dt` in ms.
    """
    dt = options["dt"]
    gain = dt / options["tmem"]
    modules: list[torch.nn.Module] = []
    for matrix in options["weights"]:
        weight = gain * torch.tensor(matrix)
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        linear.weight.data = weight
        modules += [linear, _neurons(options, len(weight))]
    if options["recurrent"] is not None:
        modules[-1] = _recurrent(options, gain * torch.tensor(options["recurrent"]))
    network = torch.nn.Sequential(*modules)
    graph = export_to_nir(network, torch.zeros(len(options["inputs"])))
    nir.write(options["file"], graph)
    cells = [module for module in modules if not isinstance(module, torch.nn.Linear)]
    for cell in cells:
        cell.reset_mem()

    def step(frame: torch.Tensor) -> list[torch.Tensor]:
        spikes = []
        for module in modules:
            frame = module(frame)
            frame = frame[0] if isinstance(frame, tuple) else frame
            if module in cells:
                spikes.append(frame)
        return spikes

    return {}, record(step, frames(options["inputs"], dt, options["t_max"]), dt)


def _constants(options: dict[str, Any], n: int) -> dict[str, Any]:
    dt = options["dt"]
    return {
        "alpha": torch.full((n,), 1 - dt / options["tsyn"]),
        "beta": torch.full((n,), 1 - dt / options["tmem"]),
        "threshold": torch.ones(n),
        "init_hidden": True,
        "reset_mechanism": "zero",
    }


def _neurons(options: dict[str, Any], n: int) -> torch.nn.Module:
    return snn.Synaptic(reset_delay=False, **_constants(options, n))


def _recurrent(options: dict[str, Any], weight: torch.Tensor) -> torch.nn.Module:
    n = len(weight)
    cell = snn.RSynaptic(linear_features=n, output=True, **_constants(options, n))
    cell.recurrent.weight.data = weight
    # Without a delayed reset it cannot be exported. A bias passes the synapse, which no
    # network here has.
    cell.recurrent.bias.data.zero_()
    return cell
