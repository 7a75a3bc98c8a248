"""Encoders and noise, against loops and statistics."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from eventax import EvNN
from eventax.encoding import (
    drop_spikes,
    jitter,
    latency,
    pad_batch,
    pad_spikes,
    pad_trains,
    with_bias_spike,
)
from eventax.neuron_models import LIF

INF = np.inf


def fails(error, *words):
    """The error's message holds all of these, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(w) for w in words))


# Latency and bias ---------------------------------------------------------------------


def test_latency_is_linear():
    values = np.random.default_rng(0).random((2, 5, 3)).astype(np.float32)
    found = latency(values, t_min=2.0, t_max=12.0)
    assert found.shape == (2, 5, 3, 1)
    assert found.dtype == jnp.float32
    # The line through (1, 2) and (0, 12).
    truth = np.interp(values, [0.0, 1.0], [12.0, 2.0])
    np.testing.assert_allclose(found[..., 0], truth, rtol=1e-6)
    encode = lambda x: latency(x, t_min=2.0, t_max=12.0)  # noqa: E731
    np.testing.assert_allclose(jax.jit(encode)(values), found, rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(encode)(values), found, rtol=1e-6)


def test_latency_ends():
    np.testing.assert_array_equal(
        latency(np.array([0, 1]), t_max=20.0), [[20.0], [0.0]]
    )


def test_latency_threshold():
    values = jnp.array([0.0, 0.19, 0.2, 1.0])
    encode = lambda x: latency(x, t_max=10.0, threshold=0.2)  # noqa: E731
    np.testing.assert_allclose(encode(values)[:, 0], [INF, INF, 8.0, 0.0])
    gradient = jax.jacobian(encode)(values)[:, 0]
    np.testing.assert_allclose(gradient, np.diag([0.0, 0.0, -10.0, -10.0]))


def test_latency_errors():
    with fails(ValueError, "`values` must not contain NaN", "[1, 0]"):
        latency(np.array([[0.5], [np.nan]]), t_max=10.0)
    with fails(TypeError, "`t_max` must be a number", "None"):
        latency(np.ones(2), t_max=None)
    for values in (np.array([0.5, 255.0]), np.array([-0.1])):
        with fails(ValueError, "`values`", "between 0 and 1", "255 for images"):
            latency(values, t_max=10.0)
    with fails(ValueError, "`t_max` must be above `t_min` = 10.0", "got 5.0"):
        latency(np.ones(2), t_min=10.0, t_max=5.0)
    with fails(ValueError, "`t_max` must be finite", "inf"):
        latency(np.ones(2), t_max=INF)
    with fails(ValueError, "`threshold` must be finite", "nan"):
        latency(np.ones(2), t_max=5.0, threshold=np.nan)


def test_a_network_takes_encoded_values():
    senders = np.array([[0], [1], [1], [1]])  # the neuron itself, two values, the bias
    keywords = {"thresh": 1.0, "tsyn": 5.0, "tmem": 10.0, "init_bias": 0.0}
    net = EvNN(LIF, 1, 50.0, 3, wmask=senders, init_weights=2.0, **keywords)
    values = np.array([[1.0, 0.8], [0.1, 0.0], [1.0, 0.0]])
    times = jax.vmap(net.ttfs)(with_bias_spike(latency(values, t_max=10.0)))
    assert times.shape == (3, 1)
    assert np.all(np.isfinite(times))
    assert times[0] < times[2] < times[1]


def test_bias_spike():
    times = np.array([[[1.0, 2.0], [3.0, INF]]] * 4)
    found = with_bias_spike(times, 0.5)
    assert found.shape == (4, 3, 2)
    np.testing.assert_array_equal(found[:, :2], times.astype(np.float32))
    np.testing.assert_array_equal(found[:, 2], [[0.5, INF]] * 4)
    assert with_bias_spike(times)[0, 2, 0] == 0
    np.testing.assert_array_equal(jax.jit(with_bias_spike)(times, 0.5), found)
    # Differentiable by both, and `inf` is no obstacle.
    finite = lambda x: jnp.sum(jnp.where(jnp.isinf(x), 0, x))  # noqa: E731
    by = jax.grad(lambda x, t: finite(with_bias_spike(x, t)), argnums=(0, 1))
    gradient, by_time = by(jnp.array(times), 0.5)
    np.testing.assert_array_equal(gradient, np.isfinite(times))
    assert by_time == 4


# Some spikes are missing, some are at one time.
TIMES = st.lists(st.sampled_from([0.0, 1.5, 4.0, 10.0, INF]), min_size=6, max_size=6)
TIMES = TIMES.map(lambda t: np.reshape(np.float32(t), (3, 2)))
SEEDS = st.integers(0, 2**31 - 1)


@given(TIMES, st.floats(0, 10, width=32))
@settings(max_examples=20, deadline=None)
def test_a_bias_spike_leaves_the_others(times, time):
    found = np.asarray(with_bias_spike(times, time))
    np.testing.assert_array_equal(found[:3], times)
    np.testing.assert_array_equal(found[3], [time, INF])


def test_bias_spike_errors(unchecked):
    with fails(ValueError, "`times`", "(..., M, K)", "at least 1", "(3, 0)", "`inf`"):
        with_bias_spike(np.zeros((3, 0)))
    with fails(ValueError, "`times`", "(..., M, K)", "(3,)"):
        with_bias_spike(np.zeros(3))
    with fails(ValueError, "`time` must be finite", "inf"):
        with_bias_spike(np.zeros((3, 1)), INF)


def test_a_bias_spike_alone():
    found = with_bias_spike(np.zeros((2, 0, 2)), 3.0)
    np.testing.assert_array_equal(found, [[[3.0, INF]]] * 2)


# Padding ------------------------------------------------------------------------------


def padded(spikes, m, k):
    """(M, K) from pairs (time, unit), spike by spike."""
    rows = [sorted(t for t, unit in spikes if unit == row) for row in range(m)]
    return np.array([row + [INF] * (k - len(row)) for row in rows])


def test_padding_of_events():
    rng = np.random.default_rng(1)
    m = 7
    samples = []
    for size in (0, 1, 40, 25):
        times = rng.uniform(0, 100, size).astype(np.float32)
        samples.append((times, rng.integers(m - 1, size=size)))  # the last is silent
    most = max(np.bincount(u, minlength=1).max() for _, u in samples)
    batch = pad_batch(samples, m)
    assert batch.shape == (4, m, most)
    for k, (times, units) in enumerate(samples):
        spikes = list(zip(times.tolist(), units.tolist(), strict=True))
        truth = padded(spikes, m, most)
        np.testing.assert_allclose(batch[k], truth)
        np.testing.assert_allclose(pad_spikes(times, units, m, int(most)), truth)
        trains = [times[units == row] for row in range(m)]
        np.testing.assert_allclose(pad_trains(trains, int(most)), truth)
    assert pad_spikes(*samples[1], m).shape == (m, 1)
    assert pad_spikes(*samples[0], m).shape == (m, 1)
    assert pad_batch(samples, m, 50).shape == (4, m, 50)


def test_padding_of_nothing():
    assert pad_batch([], 3).shape == (0, 3, 1)
    assert pad_trains([]).shape == (0, 1)
    np.testing.assert_array_equal(pad_spikes([], [], 2), [[INF], [INF]])


def test_times_that_are_none_are_left_out():
    found = pad_spikes([3.0, INF, np.nan, 1.0], [0, 0, 0, 0], 1)
    np.testing.assert_array_equal(found, [[1.0, 3.0]])


def test_unsigned_units():
    """As event files have them, and spikes in half precision."""
    units, times = np.array([2, 0], np.uint16), np.array([1.0, 2.0], np.float16)
    found = pad_spikes(times, units, 3)
    np.testing.assert_array_equal(found, [[2.0], [INF], [1.0]])


def test_padding_errors(unchecked):
    with fails(ValueError, "`units` must lie between 0 and 2", "`n_channels`", "got 3"):
        pad_spikes([1.0, 2.0], [0, 3], 3)
    with fails(ValueError, "`units` must lie between 0 and 2", "got -1"):
        pad_spikes([1.0, 2.0], [0, -1], 3)
    with fails(TypeError, "`units`", "whole numbers", "float64"):
        pad_spikes([1.0, 2.0], [0.0, 1.0], 3)
    with fails(ValueError, "`times` and `units`", "same length", "(2,)", "(1,)"):
        pad_spikes([1.0, 2.0], [0], 3)
    with fails(ValueError, "`units` of sample 1", "between 0 and 2", "got 9"):
        pad_batch([([1.0], [0]), ([1.0], [9])], 3)
    with fails(
        ValueError, "`samples`", "pair", "3 entries for sample 0", "zip(*events)"
    ):
        pad_batch([[(1.0, 0), (2.0, 1), (3.0, 0)]], 3)
    with fails(ValueError, "`n_spikes`", "got 1", "channel 2 of sample 1 has 3"):
        pad_batch([([1.0], [0]), ([1.0, 2.0, 3.0], [2, 2, 2])], 3, 1)
    with fails(ValueError, "`n_spikes`", "got 1, and channel 0 has 2"):
        pad_trains([[1.0, 2.0]], 1)
    with fails(TypeError, "`n_spikes` must be a whole number", "2.5"):
        pad_trains([[1.0]], 2.5)
    with fails(TypeError, "`n_channels` must be a whole number", "3.0"):
        pad_spikes([1.0], [0], 3.0)
    with fails(ValueError, "`trains`", "one dimension", "entry 1", "(1, 2)"):
        pad_trains([[1.0], [[2.0, 3.0]]])


# Noise --------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.0, 0, 0.2, 1.0, 1])
def test_dropped_spikes(p):
    times = np.random.default_rng(2).uniform(0, 10, (100, 100)).astype(np.float32)
    times[:, 0] = INF
    key = jax.random.key(1)
    found = np.asarray(drop_spikes(key, times, p))
    kept = np.isfinite(found)
    np.testing.assert_array_equal(found[kept], times[kept])
    # Five standard deviations of a binomial distribution.
    share = np.mean(~kept[:, 1:])
    assert abs(share - p) <= 5 * np.sqrt(p * (1 - p) / 9900)
    np.testing.assert_array_equal(jax.jit(drop_spikes)(key, times, p), found)
    other = np.asarray(drop_spikes(jax.random.key(2), times, p))
    assert np.array_equal(other, found) == (p != 0.2)


@given(TIMES, SEEDS, st.sampled_from([0.0, 0.4, 1.0]), st.sampled_from([0.0, 2.0]))
@settings(max_examples=20, deadline=None)
def test_noise_adds_no_spike(times, seed, p, sd):
    key = jax.random.key(seed)
    fewer = np.asarray(drop_spikes(key, times, p))
    np.testing.assert_array_equal(np.where(np.isinf(fewer), INF, times), fewer)
    moved = np.asarray(jitter(key, times, sd, t_min=0.0, t_max=10.0))
    np.testing.assert_array_equal(np.isinf(moved), np.isinf(times))
    finite = moved[np.isfinite(moved)]
    assert np.all((finite >= 0) & (finite <= 10))
    if sd == 0:
        np.testing.assert_array_equal(moved, times)
    # The same key, the same noise.
    np.testing.assert_array_equal(drop_spikes(key, times, p), fewer)
    again = jitter(key, times, sd, t_min=0.0, t_max=10.0)
    np.testing.assert_array_equal(again, moved)


@pytest.mark.parametrize("p", [-0.1, 1.1, np.nan, [0.1, 0.2]])
def test_a_probability(p):
    with fails(ValueError, "`p`", "probability", "between 0 and 1", repr(p)):
        drop_spikes(jax.random.key(0), np.ones(3), p)


def test_jitter_is_normal():
    key = jax.random.key(3)
    times = np.full((2000,), 50.0, np.float32)
    moved = np.asarray(jitter(key, times, 0.7, t_min=0.0, t_max=100.0))
    assert kstest((moved - 50.0) / 0.7, "norm").pvalue > 1e-3
    assert kstest((moved - 50.0) / 0.5, "norm").pvalue < 1e-3
    still = jitter(key, times, 0.0, t_min=0.0, t_max=100.0)
    np.testing.assert_array_equal(still, times)
    noise = lambda key, x: jitter(key, x, 0.7, t_min=0.0, t_max=100.0)  # noqa: E731
    np.testing.assert_allclose(jax.jit(noise)(key, times), moved, rtol=1e-6)
    assert not np.array_equal(noise(jax.random.key(4), times), moved)


def test_jitter_stays_in_range_and_keeps_silence():
    times = np.array([0.1, 5.0, 9.9, INF, np.nan] * 50, np.float32).reshape(50, 5)
    moved = np.asarray(jitter(jax.random.key(5), times, 3.0, t_min=0.0, t_max=10.0))
    assert np.all(moved[:, 3] == INF)
    assert np.all(np.isnan(moved[:, 4]))
    assert np.min(moved[:, :3]) == 0
    assert np.max(moved[:, :3]) == 10


def test_jitter_gradient():
    def total(times, sd):
        moved = jitter(jax.random.key(6), times, sd, t_min=0.0, t_max=10.0)
        return jnp.sum(jnp.where(jnp.isfinite(moved), moved, 0))

    times = jnp.array([5.0, INF, 1e3])
    by_times, by_sd = jax.grad(total, argnums=(0, 1))(times, 0.1)
    np.testing.assert_array_equal(by_times, [1.0, 0.0, 0.0])
    moved = jitter(jax.random.key(6), times, 0.1, t_min=0.0, t_max=10.0)
    np.testing.assert_allclose(by_sd, (moved[0] - 5.0) / 0.1, rtol=1e-4)


def test_jitter_errors():
    key = jax.random.key(0)
    with fails(ValueError, "`sd` must not be negative", "-1.0"):
        jitter(key, np.ones(3), -1.0, t_min=0.0, t_max=1.0)
    with fails(ValueError, "`t_max` must be above `t_min` = 2.0", "got 2.0"):
        jitter(key, np.ones(3), 1.0, t_min=2.0, t_max=2.0)
    with fails(ValueError, "`t_min` must be finite", "-inf"):
        jitter(key, np.ones(3), 1.0, t_min=-INF, t_max=2.0)


def test_rounding_makes_no_time_too_early():
    """Of 255 / 255 under jit, where XLA multiplies by an inverse."""
    code = jax.jit(lambda p: latency(p / 255.0, t_max=20.0))
    times = np.asarray(code(jnp.arange(256, dtype=jnp.float32)))
    assert times.min() == 0


def test_rounding_leaves_the_derivative():
    """Of the value 1, for ranges of which some are met too early."""
    rng = np.random.default_rng(0)
    t_min = rng.uniform(0, 20, 200).astype(np.float32)
    t_max = t_min + rng.uniform(1, 90, 200).astype(np.float32)
    assert np.any(t_max - (t_max - t_min) < t_min)

    def encode(value, t_min, t_max):
        return latency(value, t_min=t_min, t_max=t_max)[0, 0]

    one = jnp.ones(200)
    found, slopes = jax.vmap(jax.value_and_grad(encode))(one[:, None], t_min, t_max)
    assert np.all(found >= t_min)
    np.testing.assert_allclose(slopes[:, 0], t_min - t_max, rtol=1e-6)
