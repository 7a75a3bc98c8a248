"""Recurrent networks, all-to-all.

Written against the public interface only. The drive decides when a neuron fires and
the others shift it, so that rounding does not grow from spike to spike: a change of all
parameters by 1e-6 moves no spike by more than about 1e-4 ms.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from eventax import neuron_models
from eventax.evnn import EvNN

IN_SIZE = 4
# Simulated beyond the loss's window, so that a spike just before its end on one side
# and just after it on the other finds its partner.
MARGIN = 5.0

Range = tuple[float, float]
Parameters = dict[str, np.ndarray]


@dataclass(frozen=True)
class Problem:
    """A network, its inputs, and the window of its loss.

    Attributes:
        model: name of the neuron model.
        oracle: name in `tests/oracle/neurons.py`.
        constants: for both of them.
        window: the loss is over the spikes up to this time, in ms.
        draw: generator and number of neurons -> trainable leaves of the model by name.
        neurons: number of neurons.
        batch: number of samples.
        max_spikes: an upper bound; the older package counts those of all neurons.
        max_event_steps: bound on the events of a sample.
        slope: whether the oracle differentiates the loss, which takes minutes.
    """

    model: str
    oracle: str
    constants: Mapping[str, Any]
    window: float
    draw: Callable[[np.random.Generator, int], Parameters]
    neurons: int = 20
    batch: int = 64
    max_spikes: int = 100
    max_event_steps: int = 1000
    slope: bool = True

    def parameters(self) -> Parameters:
        """Trainable leaves by name, float32."""
        drawn = self.draw(np.random.default_rng(0), self.neurons)
        return {name: leaf.astype(np.float32) for name, leaf in drawn.items()}

    def inputs(self) -> np.ndarray:
        """One spike per channel, (B, M, 1)."""
        shape = (self.batch, IN_SIZE, 1)
        times = np.random.default_rng(1).uniform(0.0, 0.8 * self.window, shape)
        return np.sort(times, axis=0).astype(np.float32)

    def network(self, **changes: Any) -> EvNN:
        """The network; `changes` replace settings of the constructor."""
        leaves = self.parameters()
        settings = {
            "neuron_model": getattr(neuron_models, self.model),
            "n_neurons": self.neurons,
            "in_size": IN_SIZE,
            "max_solver_time": self.window + MARGIN,
            "key": jax.random.PRNGKey(0),
            "max_event_steps": self.max_event_steps,
            "wmask": jnp.asarray(mask(self.neurons), jnp.float32),
            **self.constants,
        }
        if "weights" in leaves:
            settings |= {"init_weights": 0.0, "init_bias": 0.0}
        network = EvNN(**(settings | changes))
        return eqx.tree_at(
            lambda net: [getattr(net.neuron_model, name) for name in leaves],
            network,
            [jnp.asarray(leaf) for leaf in leaves.values()],
        )

    def loss(self, network: EvNN, inputs: jax.Array) -> jax.Array:
        """Sum of the squared spike times in the window, mean over the batch."""
        times = self.spikes(network, inputs, self.window)
        fired = jnp.isfinite(times)
        # Twice `where`: no NaN in the gradient of what is left out.
        share = jnp.where(fired, times, 0.0) / self.window
        return jnp.sum(jnp.where(fired, share**2, 0.0)) / len(inputs)

    def gradient(self, gradient: EvNN) -> np.ndarray:
        """The gradient by all parameters as one vector, in the order of `draw`."""
        leaves = [getattr(gradient.neuron_model, name) for name in self.parameters()]
        connected = mask(self.neurons)
        return np.concatenate(
            [np.ravel(leaf * connected if leaf.ndim == 2 else leaf) for leaf in leaves]
        )

    def spikes(self, network: EvNN, inputs: jax.Array, until: float) -> jax.Array:
        """Spike times (B, N, `max_spikes`)."""
        return jax.vmap(
            lambda sample: network.spikes_until_t(sample, until, self.max_spikes)
        )(inputs)


def mask(neurons: int) -> np.ndarray:
    """(N+M, N) every sender to every receiver, but no neuron to itself."""
    return np.concatenate([1 - np.eye(neurons), np.ones((IN_SIZE, neurons))])


def _currents(
    rng: np.random.Generator,
    neurons: int,
    *,
    recurrent: float,
    inputs: Range,
    drive: Range,
) -> Parameters:
    """Weights, normal, and bias currents, spread evenly."""
    weights = _weights(rng, neurons, recurrent, inputs)
    return {"weights": weights, "ic": rng.permutation(np.linspace(*drive, neurons))}


def _gates(
    rng: np.random.Generator,
    neurons: int,
    *,
    recurrent: float,
    inputs: Range,
    drive: Mapping[str, float],
) -> Parameters:
    """Weights and biases of the gates u, r and z, normal."""
    weights = {f"W_{x}": _weights(rng, neurons, recurrent, inputs) for x in drive}
    biases = {f"b_{x}": rng.normal(mean, 0.2, neurons) for x, mean in drive.items()}
    return weights | biases


def _weights(
    rng: np.random.Generator, neurons: int, recurrent: float, inputs: Range
) -> np.ndarray:
    own = rng.normal(0.0, recurrent, (neurons, neurons))
    given = rng.normal(*inputs, (IN_SIZE, neurons))
    return np.concatenate([own, given]) * mask(neurons)


_EIF = {"tmem": 20.0, "tsyn": 5.0}

PROBLEMS = {
    "eif": Problem(
        model="EIF",
        oracle="eif",
        constants=_EIF,
        window=50.0,
        draw=partial(_currents, recurrent=0.1, inputs=(0.2, 0.2), drive=(1.6, 3.0)),
    ),
    "izhikevich": Problem(
        model="Izhikevich",
        oracle="izhikevich",
        # Regular spiking, as in Izhikevich (2003).
        constants={"c": -65.0, "d": 8.0},
        window=25.0,
        draw=partial(_currents, recurrent=0.2, inputs=(0.5, 0.5), drive=(12.0, 20.0)),
    ),
    "egru": Problem(
        model="EGRU",
        oracle="egru",
        constants={},
        window=60.0,
        draw=partial(
            _gates,
            recurrent=0.15,
            inputs=(0.0, 0.3),
            drive={"u": 1.5, "r": 1.0, "z": 1.5},
        ),
    ),
    "lif": Problem(
        model="LIF",
        oracle="lif",
        constants={"thresh": 1.0, "tmem": 20.0, "tsyn": 5.0},
        window=60.0,
        draw=partial(_currents, recurrent=0.1, inputs=(0.4, 0.4), drive=(0.9, 1.8)),
        neurons=21,
        batch=1,
        max_spikes=60,
    ),
    "many-events": Problem(
        model="EIF",
        oracle="eif",
        constants=_EIF,
        window=110.0,
        draw=partial(_currents, recurrent=0.04, inputs=(0.2, 0.2), drive=(1.6, 3.0)),
        neurons=100,
        batch=4,
        max_spikes=20,
        slope=False,
    ),
}
