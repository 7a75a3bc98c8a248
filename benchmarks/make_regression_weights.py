"""Train the regression network for 100 steps and store its parameters.

Works with any version of the package: `python benchmarks/make_regression_weights.py`.
"""

import argparse
from importlib.metadata import version
from typing import Any

import equinox as eqx
import jax
import numpy as np
import optax
from regression_network import (
    PARAMETERS,
    build_network,
    connectivity,
    loss_fn,
    target_times,
    to_event_batch,
)

BATCH = 64
N_SAMPLES = 100_000


def train(steps: int) -> Any:
    """The user's training loop, stopped after `steps` updates."""
    model = build_network()
    inputs = jax.random.uniform(jax.random.PRNGKey(0), shape=(N_SAMPLES,)) * 30.0
    optimizer = optax.adam(0.1)
    state = optimizer.init(eqx.filter(model, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(model: Any, state: Any, times: jax.Array) -> tuple[Any, Any, jax.Array]:
        loss, gradient = eqx.filter_value_and_grad(loss_fn)(
            model, to_event_batch(times), target_times(times)
        )
        updates, state = optimizer.update(gradient, state)
        return eqx.apply_updates(model, updates), state, loss

    for i in range(steps):
        model, state, loss = step(model, state, inputs[i * BATCH : (i + 1) * BATCH])
        if i % 10 == 0:
            print(f"step {i:4d}  loss {float(loss):.5f}", flush=True)
    return model


def main() -> None:
    """Command line: train and write the file that the benchmarks read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    steps = parser.parse_args().steps
    neurons = train(steps).neuron_model
    PARAMETERS.parent.mkdir(exist_ok=True)
    np.savez(
        PARAMETERS,
        weights=np.asarray(neurons.weights) * connectivity(),
        ic=np.asarray(neurons.ic),
        steps=steps,
        trained_with=f"eventax {version('eventax')}",
    )


if __name__ == "__main__":
    main()
