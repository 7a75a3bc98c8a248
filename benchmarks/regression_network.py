"""The regression network of the user's program: settings, data and loss.

Written against the public interface only, so that every version of the package
can run it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from eventax.evnn import EvNN
from eventax.neuron_models import QIF

N_POPULATION = 20
N_NEURONS = N_POPULATION + 1
OUTPUT = N_POPULATION
IN_SIZE = 1
MAX_TIME = 80.0
TMEM = 20.0
TSYN = 5.0
PARAMETERS = Path(__file__).parent / "data" / "regression_step100.npz"


def connectivity() -> np.ndarray:
    """Mask (N + M, N): population all-to-all, population to output, input in."""
    mask = np.zeros((N_NEURONS + IN_SIZE, N_NEURONS), np.float32)
    mask[:N_POPULATION, :N_POPULATION] = 1 - np.eye(N_POPULATION)
    mask[:N_POPULATION, OUTPUT] = 1
    mask[N_NEURONS:, :N_POPULATION] = 1
    return mask


def build_network(**changes: Any) -> EvNN:
    """The untrained network; `changes` replace settings of the constructor."""
    is_output = np.arange(N_NEURONS) == OUTPUT
    settings = {
        "neuron_model": QIF,
        "n_neurons": N_NEURONS,
        "in_size": IN_SIZE,
        "max_solver_time": MAX_TIME,
        "key": jax.random.PRNGKey(0),
        "wmask": jnp.asarray(connectivity()),
        "output_neurons": jnp.asarray(is_output),
        "input_neurons": jnp.asarray(~is_output),
        "solver_stepsize": 0.1,
        "dtype": jnp.float32,
        "tsyn": TSYN,
        "tmem": TMEM,
        "blim": 0.5,
        "wlim": 40.0,
        "wmean": 20.0,
        "max_event_steps": 500,
    }
    return EvNN(**(settings | changes))


def load_parameters() -> tuple[np.ndarray, np.ndarray]:
    """Weights (N + M, N) and bias currents (N,) after 100 training steps."""
    with np.load(PARAMETERS) as stored:
        return stored["weights"], stored["ic"]


def build_trained_network(**changes: Any) -> EvNN:
    """The network with the stored weights and bias currents."""
    weights, ic = load_parameters()
    return eqx.tree_at(
        lambda net: (net.neuron_model.weights, net.neuron_model.ic),
        build_network(**changes),
        (jnp.asarray(weights), jnp.asarray(ic)),
    )


def to_event_batch(times: jax.Array) -> jax.Array:
    """Input times (B,) to input spikes (B, 1, 2): one at 0, one at the given time."""
    return jnp.stack([jnp.zeros_like(times), times], axis=-1)[:, None, :]


def target_times(times: jax.Array) -> jax.Array:
    """The curve to learn: output time over input time."""
    return 5.0 * jnp.sin(2 * jnp.pi * times / 10) + times + 30.0


def spread_batch(batch: int) -> tuple[jax.Array, jax.Array]:
    """Input spikes and targets for `batch` input times spread evenly over 0..30."""
    times = jnp.linspace(0.0, 30.0, batch)
    return to_event_batch(times), target_times(times)


def loss_fn(model: EvNN, in_times: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean squared error of the first output spike, in units of the duration."""
    first_spikes = jax.vmap(model.ttfs)(in_times)
    error = jnp.minimum(first_spikes, MAX_TIME) / MAX_TIME - targets[:, None] / MAX_TIME
    return jnp.mean(error**2)


loss_and_gradient: Callable[..., Any] = eqx.filter_value_and_grad(loss_fn)
