"""Metrics against counting by loops."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eventax.metrics import (
    dead_fraction,
    first_spike_accuracy,
    largest_output_accuracy,
    silent_fraction,
    spikes_per_neuron,
)

INF, NAN = np.inf, np.nan


def fails(error, *words):
    """The error's message holds all of these, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(w) for w in words))


def test_another_value_for_no_spike():
    times = np.array([-1.0, 3.0])
    assert first_spike_accuracy(times, 0) == 1
    assert first_spike_accuracy(times, 1, no_spike=-1.0) == 1
    assert first_spike_accuracy(np.array([-1.0, -1.0]), 0, no_spike=-1.0) == 0


@pytest.mark.parametrize(
    ("times", "label", "right"),
    [
        ([3.0, 4.0, 5.0], 0, True),
        ([3.0, 4.0, 5.0], 1, False),
        ([INF, 4.0, 5.0], 1, True),
        ([NAN, 4.0, 5.0], 1, True),
        ([-INF, 4.0, 5.0], 1, True),
        ([INF, INF, INF], 0, False),
        ([NAN, NAN, NAN], 0, False),
        ([3.0, 3.0, 5.0], 0, True),  # a tie
        ([3.0, 3.0, 5.0], 1, False),
        ([-1.0, -2.0, 5.0], 1, True),  # times may be negative
    ],
)
def test_the_earliest_output_is_the_class(times, label, right):
    assert first_spike_accuracy(np.array(times), label) == right


def test_accuracy_of_a_batch():
    rng = np.random.default_rng(0)
    times = rng.uniform(0, 10, (4, 50, 3))
    times[rng.random(times.shape) < 0.5] = INF
    labels = rng.integers(3, size=(4, 50))
    right = 0
    for index in np.ndindex(4, 50):
        fired = [(t, k) for k, t in enumerate(times[index]) if t < INF]
        right += bool(fired) and min(fired)[1] == labels[index]
    assert 0 < right < 200
    for function in (first_spike_accuracy, jax.jit(first_spike_accuracy)):
        np.testing.assert_allclose(function(times, labels), right / 200)
    each = jax.vmap(first_spike_accuracy)(times, labels)
    np.testing.assert_allclose(np.mean(each), right / 200)
    filled = np.where(times < INF, times, -1.0)
    np.testing.assert_allclose(
        first_spike_accuracy(filled, labels, no_spike=-1.0), right / 200
    )


def test_wrong_labels():
    times = np.arange(6.0).reshape(2, 3)
    with fails(ValueError, "`labels`", "one entry per sample", "(2,)", "(3,)"):
        first_spike_accuracy(times, np.array([0, 1, 2]))
    with fails(TypeError, "`labels`", "whole numbers"):
        first_spike_accuracy(times, np.array([0.0, 1.0]))
    with fails(ValueError, "`labels`", "between 0 and 2", "got 5"):
        first_spike_accuracy(times, np.array([0, 5]))
    assert jax.jit(first_spike_accuracy)(times, np.array([0, 5])) == 0.5


def test_the_largest_output():
    outputs = np.array([[0.2, 0.7, 0.1], [0.5, 0.5, 0.1], [0.9, NAN, 0.3], [3, 2, 1]])
    labels = np.array([1, 0, 0, 2])
    for wrap in (lambda f: f, jax.jit):
        assert wrap(largest_output_accuracy)(outputs, labels) == 0.5
    assert largest_output_accuracy(outputs[0], 1) == 1.0
    # Of two that are equal the first one.
    assert largest_output_accuracy(outputs[1], 1) == 0.0
    both = largest_output_accuracy(np.stack([outputs, outputs]), np.stack([labels] * 2))
    assert both == 0.5
    with fails(ValueError, "`labels`", "between 0 and 2", "got 3"):
        largest_output_accuracy(outputs[0], 3)
    with fails(TypeError, "`labels`", "whole numbers"):
        largest_output_accuracy(outputs[0], 1.0)


# Three samples of four neurons, up to two spikes: neuron 3 never fires, 2 does once.
TRAINS = np.array(
    [
        [[1.0, 2.0], [3.0, INF], [INF, INF], [INF, NAN]],
        [[1.0, INF], [3.0, 4.0], [5.0, INF], [INF, INF]],
        [[INF, INF], [2.0, 3.0], [INF, INF], [INF, INF]],
    ]
)


@pytest.mark.parametrize("fill", [INF, NAN, -1.0])
def test_activity(fill):
    trains = np.where(np.isfinite(TRAINS), TRAINS, fill)
    word = {"no_spike": -1.0} if fill == -1.0 else {}
    for wrap in (lambda f: f, jax.jit):
        silent = wrap(lambda x: silent_fraction(x, trains=True, **word))(trains)
        dead = wrap(lambda x: dead_fraction(x, trains=True, **word))(trains)
        count = wrap(lambda x: spikes_per_neuron(x, **word))(trains)
        np.testing.assert_allclose([silent, dead, count], [6 / 12, 1 / 4, 9 / 12])
    first = trains[..., 0]
    np.testing.assert_allclose(silent_fraction(first, **word), 6 / 12)
    np.testing.assert_allclose(dead_fraction(first, **word), 1 / 4)


def test_more_axes_are_more_samples():
    trains = np.stack([TRAINS, TRAINS])
    trains[1, 2, 3, 1] = 7.0
    np.testing.assert_allclose(silent_fraction(trains, trains=True), 11 / 24)
    assert dead_fraction(trains, trains=True) == 0
    np.testing.assert_allclose(spikes_per_neuron(trains), 19 / 24)


def test_one_sample():
    assert silent_fraction(np.array([1.0, INF])) == 0.5
    assert dead_fraction(np.array([1.0, INF])) == 0.5
    assert spikes_per_neuron(jnp.zeros((3, 0))) == 0
    assert silent_fraction(jnp.zeros((3, 0)), trains=True) == 1


def test_what_stands_for_no_spike_is_a_number():
    with fails(TypeError, "`no_spike` must be a number", "'x'"):
        silent_fraction(np.zeros(2), no_spike="x")


def test_too_few_axes():
    with fails(ValueError, "`times`", "(..., n, k)", "`trains` is True", "(2,)"):
        silent_fraction(np.zeros(2), trains=True)
    with fails(ValueError, "`times`", "(..., n)", "`trains` is False", "()"):
        dead_fraction(np.array(1.0))
