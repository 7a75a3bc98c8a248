"""A value that stands for no spike is not taken for one without anybody noticing."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eventax import FFEvNN
from eventax.losses import first_spike_cross_entropy, spike_time_mse
from eventax.metrics import (
    dead_fraction,
    first_spike_accuracy,
    silent_fraction,
    spikes_per_neuron,
)
from eventax.neuron_models import LIF

LABELS = jnp.zeros((4,), int)


def silent(fill):
    net = FFEvNN(
        [2], 1, LIF, 50.0, thresh=1.0, tsyn=5.0, tmem=10.0, init_weights=0.1,
        init_bias=0.0, output_no_spike_value=fill,
    )  # fmt: skip
    return jax.vmap(net.ttfs)(jnp.ones((4, 1, 1)))


@pytest.mark.parametrize("fill", [50.0, -1.0])
def test_a_filled_value_is_noticed(fill):
    # Found failing: 0.0 of the neurons silent, and all samples right.
    times = silent(fill)
    np.testing.assert_array_equal(times, fill)
    for metric in (
        silent_fraction,
        dead_fraction,
        lambda x: spikes_per_neuron(x[..., None]),
        lambda x: first_spike_accuracy(x, LABELS),
    ):
        with pytest.warns(UserWarning, match=r"output_no_spike_value.*no_spike"):
            metric(times)
    assert silent_fraction(times, no_spike=fill) == 1
    assert first_spike_accuracy(times, LABELS, no_spike=fill) == 0


def test_a_loss_notices_a_fill_before_the_end():
    for loss in (
        lambda x, end: first_spike_cross_entropy(x, LABELS, tau0=5.0, t_max=end),
        lambda x, end: spike_time_mse(x, jnp.array([3.0, 9.0]), t_max=end),
    ):
        with pytest.warns(UserWarning, match="output_no_spike_value"):
            loss(silent(-1.0), 50.0)
        # At the end it is what a silent neuron counts as anyway.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            filled = loss(silent(50.0), 50.0)
            np.testing.assert_array_equal(filled, loss(silent(np.inf), 50.0))


def test_spikes_are_no_fill():
    rng = np.random.default_rng(0)
    times = rng.uniform(0, 50, (4, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert silent_fraction(times) == 0
        assert silent_fraction(silent(np.inf)) == 1
        # Said to be spikes.
        assert silent_fraction(silent(50.0), no_spike=jnp.inf) == 0
