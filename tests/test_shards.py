"""Batches over several devices: in another process, which has two of them."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
import equinox as eqx, jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, PartitionSpec as P
from eventax import EvNN, FFEvNN
from eventax.neuron_models import LIF

kind, axes = sys.argv[1], tuple(sys.argv[2].split(","))
args = dict(thresh=1.0, tsyn=5.0, tmem=10.0, init_weights=5.0, init_bias=0.0)
net = FFEvNN([2], 1, LIF, 50.0, **args) if kind == "FFEvNN" else EvNN(
    LIF, 2, 50.0, 1, wmask=np.array([[0, 0], [0, 0], [1, 1]]), engine="jax", **args)
params, static = eqx.partition(net, eqx.is_array)
x = jax.random.uniform(jax.random.PRNGKey(0), (4, 1, 2), minval=1.0, maxval=10.0)
mesh = jax.make_mesh((2,) + (1,) * (len(axes) - 1), axes,
                     axis_types=(AxisType.Auto,) * len(axes))

def loss(p, x):
    times = jax.vmap(eqx.combine(p, static).ttfs)(x)
    return jnp.mean(jnp.where(jnp.isfinite(times), times, 0.0))

def averaged(p, x):
    own = jax.tree.map(lambda a: jax.lax.pcast(a, axes, to="varying"), p)
    return jax.lax.pmean(jax.value_and_grad(loss)(own, x), axes)

found = jax.jit(jax.shard_map(
    averaged, mesh=mesh, in_specs=(P(), P(axes)), out_specs=P()))(params, x)
wanted = jax.jit(jax.value_and_grad(loss))(params, x)
for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-5)
print("equal on", jax.device_count(), "devices")
"""


@pytest.mark.slow
@pytest.mark.parametrize("axes", ["batch", "batch,more"])
@pytest.mark.parametrize("kind", ["FFEvNN", "EvNN"])
def test_gradients_averaged_over_devices(kind, axes):
    # Found failing: "cond branches must have equal output types".
    flags = (
        os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind, axes],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert "equal on 2 devices" in done.stdout, done.stderr[-3000:]
