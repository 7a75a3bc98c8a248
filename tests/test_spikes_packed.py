"""Networks take packed spikes for lists, with equal results."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow

from eventax import FFEvNN, PackedSpikes
from eventax.encoding import pack_batch
from eventax.monitor import activity
from eventax.neuron_models import LIF
from eventax.testing import check_gradient

pytestmark = pytest.mark.usefixtures("x64")

SAMPLES = [([3.0, 1.0, 3.0, 9.0], [2, 0, 0, 2]), ([], []), ([2.0], [1])]


@pytest.fixture(scope="module", params=["native", slow("jax")])
def net(request, x64):
    return FFEvNN(
        [4, 2],
        3,
        LIF,
        30.0,
        key=jax.random.key(0),
        thresh=1.0,
        tsyn=5.0,
        tmem=10.0,
        wlim=2.0,
        wmean=1.5,
        init_bias=1.5,
        engine=request.param,
    )


def test_packed_is_as_good_as_a_list(net):
    packed = pack_batch(SAMPLES, 3)
    np.testing.assert_array_equal(
        jax.vmap(net.ttfs)(packed), jax.vmap(net.ttfs)(packed.as_list())
    )
    np.testing.assert_array_equal(
        activity(net, packed).spikes, activity(net, packed.as_list()).spikes
    )


def test_gradient_by_times(net):
    one = PackedSpikes(jnp.array([1.0, 3.0, 2.0, jnp.inf]), jnp.array([2, 0, 1]))
    check = check_gradient(
        lambda net, inputs: jnp.sum(jnp.sin(net.ttfs(inputs))), net, one
    )
    assert check.ok, check


def test_errors(net, unchecked):
    times, counts = jnp.array([1.0, 2.0]), jnp.array([1, 1, 0])

    def fails(error, text):
        return pytest.raises(error, match=re.escape(text))

    with fails(ValueError, "counts of shape (in_size,) = (3,); got (2,) and (2,)"):
        net.ttfs(PackedSpikes(times, counts[:2]))
    with fails(TypeError, "`in_spike_times.counts` must be whole numbers"):
        net.ttfs(PackedSpikes(times, counts * 1.0))
    for wrong in ([1, 0, 0], [1, 1, 1], [2, -1, 1]):
        with fails(Exception, "Those of `PackedSpikes` do where its `counts`"):
            jax.block_until_ready(net.ttfs(PackedSpikes(times, jnp.array(wrong))))
