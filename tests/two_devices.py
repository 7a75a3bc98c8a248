"""A batch over two devices in one of JAX's modes, compared with one device.

Run by `test_devices.py` in a process of its own, which has two devices:

    python tests/two_devices.py ENGINE MODES METHODS
"""

import contextlib
import sys
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from eventax import EvNN, FFEvNN
from eventax._varying import varying
from eventax.neuron_models import LIF

CONSTANTS = {"thresh": 1.0, "tsyn": 5.0, "tmem": 10.0, "init_weights": 5.0}
METHODS = {
    "ttfs": lambda net, x: net.ttfs(x),
    "spikes_until_t": lambda net, x: net.spikes_until_t(x, 40.0, 3),
    "state_at_t": lambda net, x: net.state_at_t(x, jnp.array([5.0, 20.0])),
    "record": lambda net, x: net.record(x)[0],
    "max_over_time": lambda net, x: net.max_over_time(x),
    "integral": lambda net, x: net.integral(x),
}
MODES = ["auto", "explicit", "set_mesh", "shard_map", "shard_map_no_check", "two_axes"]


def networks(engine):
    kwargs = {**CONSTANTS, "init_bias": 0.0, "engine": engine}
    loop = np.array([[0, 1, 0], [0, 0, 0], [0, 1, 0], [1, 0, 1]])
    yield FFEvNN([2, 2], 1, LIF, 50.0, **kwargs)
    yield EvNN(LIF, 3, 50.0, 1, wmask=loop, **kwargs)


def losses(method, static, params, x):
    """Each sample's own, and what they come from."""

    def value(params, x):
        found = METHODS[method](eqx.combine(params, static), x)
        return jnp.sum(jnp.where(jnp.isfinite(found), found, 0.0)), found

    return jax.vmap(value, (None, 0))(params, x)


def gradients(loss, params, x):
    """Of the sum over the batch, by parameters and inputs; and the values."""

    def total(params, x):
        own, found = loss(params, x)
        return jnp.sum(own), found

    return jax.grad(total, argnums=(0, 1), has_aux=True)(params, x)


def over_devices(mode, loss, params, x):
    axes = ("batch", "more") if mode == "two_axes" else ("batch",)
    auto = mode in ("auto", "two_axes")
    kind = AxisType.Auto if auto else AxisType.Explicit
    mesh = jax.make_mesh((2, 1)[: len(axes)], axes, axis_types=(kind,) * len(axes))
    x = jax.device_put(x, NamedSharding(mesh, P(axes)))
    run = whole = partial(gradients, loss)
    if mode.startswith("shard_map") or mode == "two_axes":
        checks = mode != "shard_map_no_check"

        def part(params, x):
            (by_params, by_x), found = whole(varying(params, x), x)
            return (jax.lax.psum(by_params, axes), by_x), found

        specs = {"in_specs": (P(), P(axes)), "out_specs": ((P(), P(axes)), P(axes))}
        run = jax.shard_map(part, mesh=mesh, check_vma=checks, **specs)
    with jax.set_mesh(mesh) if mode == "set_mesh" else contextlib.nullcontext():
        program = jax.jit(run).lower(params, x).compile()
        found = program(params, x)
    # Each device simulates its own part.
    assert "all-gather" not in program.as_text(), mode
    assert "all-to-all" not in program.as_text(), mode
    values = found[1]
    assert values.sharding.spec[0] in ("batch", ("batch",), axes), values.sharding
    return found


def check_error(net, x):
    """One sample's error is that of all devices: nobody waits for who raises."""
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Auto,))
    bad = jax.device_put(x.at[0].set(jnp.nan), NamedSharding(mesh, P("batch")))
    with pytest.raises(Exception, match="must not contain NaN"):
        jax.block_until_ready(jax.jit(jax.vmap(lambda x: net.ttfs(x)))(bad))


def main():
    engine, modes, methods = sys.argv[1:]
    x = jax.random.uniform(jax.random.PRNGKey(0), (4, 1, 2), minval=1.0, maxval=10.0)
    for net in networks(engine):
        params, static = eqx.partition(net, eqx.is_array)
        for method in methods.split(","):
            if "auto" in modes and method == "ttfs":
                check_error(net, x)
            loss = partial(losses, method, static)
            wanted = jax.jit(partial(gradients, loss))(params, x)
            for mode in modes.split(","):
                found = over_devices(mode, loss, params, x)
                pairs = zip(*map(jax.tree.leaves, (found, wanted)), strict=True)
                for one, other in pairs:
                    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
                print(type(net).__name__, method, mode, "is right")
    print("all right on", jax.device_count(), "devices")


if __name__ == "__main__":
    main()
