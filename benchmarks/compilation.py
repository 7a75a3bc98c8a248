"""Worker: do two networks of equal settings share one compilation?"""

from typing import Any

import equinox as eqx
import jax
import regression_network as network
from harness.reference import Arrays

COMPILED = "/jax/core/compile/backend_compile_duration"


def measure(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """Traces and XLA compilations of the loss and gradient of the second network."""
    counts = {"traces": 0, "compilations": 0}

    def count_compilation(event: str, *_: Any, **__: Any) -> None:
        counts["compilations"] += event == COMPILED

    def loss_fn(*arguments: Any) -> jax.Array:
        # Runs only while the function is traced.
        counts["traces"] += 1
        return network.loss_fn(*arguments)

    function = eqx.filter_jit(eqx.filter_value_and_grad(loss_fn))
    batch = network.spread_batch(4)
    first, second = network.build_network(), network.build_network()
    jax.monitoring.register_event_duration_secs_listener(count_compilation)
    jax.block_until_ready(function(first, *batch))
    before = counts.copy()
    jax.block_until_ready(function(second, *batch))
    figures = {f"first_{name}": float(n) for name, n in before.items()}
    figures |= {f"second_{name}": float(counts[name] - before[name]) for name in counts}
    return figures, {}
