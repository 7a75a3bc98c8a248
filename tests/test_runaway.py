"""States that run away end in an error, not in an endless loop."""

import jax.numpy as jnp
import pytest
from equinox import EquinoxRuntimeError

from eventax import EvNN
from eventax.neuron_models import QIF


@pytest.mark.parametrize("weight", [1e25, jnp.inf, jnp.nan])
def test_currents_that_no_step_can_follow(weight):
    net = EvNN(QIF, 1, 40.0, 1, tmem=10.0, tsyn=5.0, init_weights=weight, init_bias=0.0)
    with pytest.raises(EquinoxRuntimeError, match=r"infinite or NaN|max_event_steps"):
        net.spikes_until_t(jnp.array([[1.0]]), 40.0, 3).block_until_ready()
