"""Encoders of signals, against loops over spikes, and what their decoders lose."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from eventax.encoding import (
    decode_latency,
    decode_latency_per_frame,
    decode_level_crossing,
    decode_poisson,
    decode_population,
    latency,
    latency_per_frame,
    level_crossing,
    poisson,
    population,
)

pytestmark = pytest.mark.usefixtures("x64")

INF = np.inf


def fails(error, *words):
    """The error's message holds all of these, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(w) for w in words))


@functools.partial(jax.jit, static_argnums=0)
def pulled_and_told(function, x, step=1e-6):
    """A random cotangent of what is finite: by reverse mode, and by differences.

    One program for each function and shape.
    """
    value, pull = jax.vjp(function, x)
    finite = jnp.isfinite(value)
    cotangent = np.random.default_rng(0).normal(size=value.shape) * finite

    def along(unit):
        change = function(x + step * unit) - function(x - step * unit)
        return jnp.sum(jnp.where(finite, change, 0.0) * cotangent) / (2 * step)

    units = np.eye(x.size).reshape(-1, *x.shape)
    return pull(cotangent)[0], jax.lax.map(along, units).reshape(x.shape)


def close_derivative(function, x, atol=1e-7):
    """Reverse mode against differences, with a random cotangent."""
    pulled, told = pulled_and_told(function, jnp.asarray(x))
    np.testing.assert_allclose(pulled, told, atol=atol)


# Level crossing -----------------------------------------------------------------------

# Eighths, so that a signal that just reaches a level does so exactly.
EIGHTHS = st.integers(-40, 40).map(lambda n: n / 8)


def crossings(signal, times, threshold, start):
    """Rises and falls of one signal, spike by spike."""
    rises, falls, reference = [], [], start
    ends = zip(times[:-1], signal[:-1], times[1:], signal[1:], strict=True)
    for t, a, t_next, b in [(times[0], start, times[0], signal[0]), *ends]:
        sign = 1 if b > a else -1
        while a != b and sign * (b - (reference + sign * threshold)) >= 0:
            reference += sign * threshold
            time = t + (reference - a) / (b - a) * (t_next - t)
            (rises if sign > 0 else falls).append(time)
    return rises, falls


# Signals of the same number of samples share these programs.


@jax.jit
def encode_levels(signals, times, threshold, start):
    return level_crossing(signals, times, threshold, start=start, n_spikes=1000)


@jax.jit
def decode_levels(spikes, times, threshold, start):
    return decode_level_crossing(spikes, times, threshold, start=start)


@given(
    st.lists(EIGHTHS, min_size=12, max_size=12),
    st.lists(EIGHTHS, min_size=12, max_size=12),
    st.sampled_from([1, 2, 12]),
    st.sampled_from([0.125, 0.5, 0.75, 3.0]),
    st.sampled_from([None, 0.0, 1.5]),
)
@settings(max_examples=30, deadline=None)
def test_level_crossing(one, other, n, threshold, start):
    signals = np.array([one, other])[:, :n]
    times = np.cumsum(np.arange(1.0, n + 1))
    found = np.asarray(encode_levels(signals, times, threshold, start))
    assert found.shape == (4, 1000)
    for k, signal in enumerate(signals):
        first = signal[0] if start is None else start
        pair = crossings(signal, times, threshold, first)
        for channel, truth in zip((k, k + 2), pair, strict=True):
            own = found[channel][np.isfinite(found[channel])]
            np.testing.assert_allclose(own, truth, rtol=1e-12)
            assert np.all(np.isinf(found[channel][len(truth) :]))
    # What is known from the spikes is right to within the threshold, at all times.
    fine = np.linspace(times[0], times[-1], 101)
    first = signals[:, 0] if start is None else np.full(2, start)
    decoded = np.asarray(decode_levels(found, fine, threshold, first))
    for signal, back in zip(signals, decoded, strict=True):
        error = np.interp(fine, times, signal) - back
        assert np.max(np.abs(error)) <= threshold * (1 + 1e-9)


def test_level_crossing_of_channels_and_batches():
    rng = np.random.default_rng(0)
    signals = np.cumsum(rng.normal(size=(3, 2, 50)), axis=-1)
    times = np.sort(rng.uniform(0, 100, 50))
    units = np.array([0.5, 2.0])
    found = np.asarray(level_crossing(signals, times, units))
    counts = np.isfinite(found).sum(axis=-1)
    assert found.shape == (3, 4, counts.max())
    for k in range(3):
        for c in range(2):
            channel = signals[k, c : c + 1]
            alone = np.asarray(encode_levels(channel, times, units[c], None))
            width = found.shape[-1]
            np.testing.assert_allclose(alone[:, :width], found[k, [c, c + 2]])
    encode = lambda x: level_crossing(x, times, units, n_spikes=80)  # noqa: E731
    np.testing.assert_allclose(jax.jit(jax.vmap(encode))(signals), encode(signals))
    decoded = decode_level_crossing(
        found[0], times[::-1], units, start=signals[0, :, 0]
    )
    assert np.all(np.abs(decoded[:, ::-1] - signals[0]) <= units[:, None])


def test_level_crossing_by_its_signal():
    rng = np.random.default_rng(1)
    signals = np.cumsum(rng.normal(size=(2, 9)), axis=-1)
    encode = lambda x: level_crossing(  # noqa: E731
        x, np.arange(9.0), 0.3, start=0.1, n_spikes=40
    )
    assert np.isfinite(encode(signals)).sum() > 15
    close_derivative(encode, signals)
    # Also by the start that the first sample tells.
    close_derivative(
        lambda x: level_crossing(x, np.arange(9.0), 0.3, n_spikes=40), signals
    )


def test_errors_of_level_crossing(unchecked):
    signal, times = np.array([[0.0, 5.0]]), np.arange(2.0)
    with fails(ValueError, "`values`", "(..., C, S)", "(1, 2) and (3,)"):
        level_crossing(signal, np.arange(3.0), 1.0)
    with fails(
        ValueError, "`times` must be ascending; got 1.0 and then 1.0", "index 1"
    ):
        level_crossing(signal, np.ones(2), 1.0)
    with fails(ValueError, "`threshold` must be positive"):
        level_crossing(signal, times, 0.0)
    with fails(ValueError, "`threshold`", "one per signal, shape (1,)", "(3,)"):
        level_crossing(signal, times, np.ones(3))
    with fails(ValueError, "`values` must be finite"):
        level_crossing(signal * np.nan, times, 1.0)
    with fails(ValueError, "`start` must be finite"):
        level_crossing(signal, times, 1.0, start=INF)
    with fails(ValueError, "`n_spikes` must be at least", "got 3", "largest has 5"):
        level_crossing(signal, times, 1.0, n_spikes=3)
    with fails(ValueError, "`n_spikes` must be given under `jax.jit`"):
        jax.jit(lambda x: level_crossing(x, times, 1.0))(signal)
    for transform in (jax.jit, lambda f: jax.jit(jax.vmap(f))):
        encode = transform(lambda x: level_crossing(x, times, 1.0, n_spikes=3))
        x = signal if transform is jax.jit else signal[None]
        with fails(Exception, "`n_spikes` must be at least", "got 3"):
            jax.block_until_ready(encode(x))
    with fails(ValueError, "`spike_times`", "two channels per signal", "(3, 1)"):
        decode_level_crossing(np.zeros((3, 1)), times, 1.0)
    with fails(ValueError, "`threshold` must be positive"):
        decode_level_crossing(np.zeros((2, 1)), times, -1.0)


# Latency ------------------------------------------------------------------------------

UNIT = st.floats(0, 1, width=32)


@given(
    st.lists(UNIT, min_size=4, max_size=4).map(np.array),
    st.floats(-5, 5),
    st.floats(1, 50),
)
@settings(max_examples=30, deadline=None)
def test_latency_is_undone(values, t_min, length):
    times = latency(values, t_min=t_min, t_max=t_min + length)
    back = decode_latency(times, t_min=t_min, t_max=t_min + length)
    np.testing.assert_allclose(back, values, atol=1e-12)
    sparse = latency(values, t_min=t_min, t_max=t_min + length, threshold=0.3)
    back = decode_latency(sparse, t_min=t_min, t_max=t_min + length)
    assert np.all(np.abs(back - values) < 0.3)


@given(
    st.lists(UNIT, min_size=12, max_size=12).map(lambda v: np.reshape(v, (3, 4))),
    st.floats(-5, 5),
    st.floats(1, 50),
)
@settings(max_examples=30, deadline=None)
def test_frames_are_undone(values, t_min, period):
    times = latency_per_frame(values, period=period, t_min=t_min)
    # Each spike in its own frame, and the larger of two values first.
    within = (np.asarray(times) - t_min) / period - np.arange(4)
    assert np.all((within >= -1e-9) & (within <= 1 + 1e-9))
    order = np.argsort(values, axis=0)
    assert np.all(np.diff(np.take_along_axis(within, order, 0), axis=0) <= 1e-9)
    back = decode_latency_per_frame(times, period=period, t_min=t_min)
    np.testing.assert_allclose(back, values, atol=1e-12)


@given(st.lists(st.floats(0.01, 0.99), min_size=4, max_size=4).map(np.array))
@settings(max_examples=10, deadline=None)
def test_latency_by_its_values(values):
    values = np.where(np.abs(values - 0.5) < 0.01, 0.6, values)  # not at the threshold
    close_derivative(encode_latency, values)
    times = np.asarray(latency(values, t_min=1.0, t_max=7.0))
    close_derivative(decode_times, times)


# Functions of one name, so that all examples share a program.


@jax.jit
def encode_latency(values):
    return latency(values, t_min=1.0, t_max=7.0, threshold=0.5)


@jax.jit
def decode_times(times):
    return decode_latency(times, t_min=1.0, t_max=7.0)


def test_latency_per_frame():
    values = np.random.default_rng(0).random((2, 3, 4))
    times = latency_per_frame(values, period=5.0, t_min=2.0, threshold=0.2)
    assert times.shape == (2, 3, 4)
    for frame in range(4):
        truth = 2 + 5 * (frame + 1 - values[..., frame])
        silent = values[..., frame] < 0.2
        np.testing.assert_allclose(times[..., frame], np.where(silent, INF, truth))
    back = decode_latency_per_frame(times, period=5.0, t_min=2.0)
    np.testing.assert_allclose(back, np.where(values < 0.2, 0.0, values), atol=1e-12)
    close_derivative(lambda x: latency_per_frame(x, period=5.0, threshold=0.2), values)
    close_derivative(lambda t: decode_latency_per_frame(t, period=5.0), values)
    # Nothing is lost to the spikes that are not there.
    silent = jax.grad(lambda t: decode_latency(t, t_max=1.0).sum())(
        jnp.full((2, 1), INF)
    )
    np.testing.assert_array_equal(silent, 0.0)


def test_errors_of_latency(unchecked):
    with fails(ValueError, "`period` must be positive"):
        latency_per_frame(np.ones((1, 2)), period=0.0)
    with fails(ValueError, "`t_min` must be finite"):
        latency_per_frame(np.ones((1, 2)), period=1.0, t_min=INF)
    with fails(ValueError, "`values` must lie between 0 and 1"):
        latency_per_frame(np.full((1, 2), 2.0), period=1.0)
    with fails(ValueError, "`times` must have one spike per channel", "(2, 3)"):
        decode_latency(np.ones((2, 3)), t_max=1.0)
    with fails(ValueError, "`t_max` must be above `t_min`"):
        decode_latency(np.ones((2, 1)), t_min=2.0, t_max=1.0)
    with fails(ValueError, "`period` must be positive"):
        decode_latency_per_frame(np.ones((2, 1)), period=-1.0)


# Populations --------------------------------------------------------------------------


def test_receptive_fields_are_normal_densities():
    values = np.array([[-0.5, 0.2], [1.0, 3.0]])  # two channels in two frames
    found = np.asarray(population(values, 4, low=0.0, high=3.0, width=0.5, axis=-2))
    assert found.shape == (8, 2)
    for channel in range(2):
        for j, centre in enumerate((0.0, 1.0, 2.0, 3.0)):
            truth = np.exp(-(((values[channel] - centre) / 0.5) ** 2) / 2)
            np.testing.assert_allclose(found[4 * channel + j], truth)
    swapped = population(values.T, 4, low=0.0, high=3.0, width=0.5)
    np.testing.assert_allclose(swapped, found.T)
    each = population(values, 4, low=[0.0, 1.0], high=[3.0, 5.0], axis=0)
    for channel, (low, high) in enumerate(((0.0, 3.0), (1.0, 5.0))):
        alone = population(values[channel : channel + 1], 4, low=low, high=high, axis=0)
        np.testing.assert_allclose(each[4 * channel : 4 * channel + 4], alone)
    close_derivative(lambda x: population(x, 4, low=0.0, high=3.0, axis=-2), values)


@given(
    st.lists(st.floats(-2.0, 3.0), min_size=2, max_size=2),
    st.sampled_from([2, 5]),
    st.floats(0.4, 1.5),
)
@settings(max_examples=40, deadline=None)
def test_a_population_is_undone(values, n, width):
    how = {"low": -2.0, "high": np.array([3.0, 4.0]), "width": width}
    fields = population(np.array(values), n, **how)
    # Fields between 0 and 1, the nearest centre at most half a distance away.
    assert np.all((fields >= 0) & (fields <= 1))
    back = decode_population(fields, n, **how)
    np.testing.assert_allclose(back, values, atol=1e-9)


def test_a_population_is_undone_from_its_spikes():
    """In single precision, through times, with fields far away left out."""
    values = np.linspace(-1.0, 1.0, 60, dtype=np.float32).reshape(3, 20)
    how = {"low": -1.0, "high": 1.0, "axis": -2}
    fields = population(values, 6, **how)
    times = latency_per_frame(fields, period=10.0, threshold=0.1)
    assert times.dtype == jnp.float32
    back = decode_latency_per_frame(times, period=10.0)
    np.testing.assert_allclose(decode_population(back, 6, **how), values, atol=1e-4)
    # With one field left the error is at most what the threshold allows.
    few = decode_population(jnp.where(fields < 0.8, 0.0, fields), 6, **how)
    deviation = 2 / 3 * 0.4
    reach = deviation * np.sqrt(-2 * np.log(0.8))
    alone = np.isfinite(few)
    assert 0.5 < alone.mean() < 1
    assert np.max(np.abs(few - values)[alone]) <= reach + 1e-6
    close_derivative(
        lambda a: decode_population(a, 6, **how), np.asarray(fields, float), atol=1e-5
    )


def test_errors_of_populations(unchecked):
    values = np.zeros(3)
    with fails(ValueError, "`n_fields` must be at least 2; got 1"):
        population(values, 1, low=0.0, high=1.0)
    with fails(ValueError, "`high` must be above `low`"):
        population(values, 3, low=1.0, high=1.0)
    with fails(ValueError, "`width` must be positive"):
        population(values, 3, low=0.0, high=1.0, width=0.0)
    with fails(ValueError, "`low` must be a number or have one per channel", "(2,)"):
        population(values, 3, low=np.zeros(2), high=1.0)
    with fails(ValueError, "`values` must be finite"):
        population(values + np.nan, 3, low=0.0, high=1.0)
    with fails(ValueError, "`values` must have an axis of channels"):
        population(1.0, 3, low=0.0, high=1.0)
    with fails(ValueError, "`activity` must have 3 fields", "axis -1", "(4,)"):
        decode_population(np.zeros(4), 3, low=0.0, high=1.0)


# Poisson ------------------------------------------------------------------------------


def test_poisson():
    rates = np.array([[0.5, 0.0, 2.0], [0.0, 1.0, 0.1]])
    times = np.asarray(poisson(jax.random.key(0), rates, period=200.0, t_min=-3.0))
    finite = np.isfinite(times)
    assert np.all(np.diff(np.where(finite, times, 1e9))[finite[:, 1:]] > 0)
    for channel, own in zip(times, rates, strict=True):
        for frame, rate in enumerate(own):
            low = -3 + 200 * frame
            within = channel[(channel >= low) & (channel < low + 200)]
            if rate == 0:
                assert len(within) == 0
                continue
            # Five standard deviations of the count; times are uniform in the frame.
            assert abs(len(within) - 200 * rate) < 5 * np.sqrt(200 * rate)
            assert kstest((within - low) / 200, "uniform").pvalue > 1e-3
    assert np.max(times[finite]) < 597
    back = decode_poisson(times, 3, period=200.0, t_min=-3.0)
    assert np.all(np.abs(back - rates) <= 5 * np.sqrt(rates / 200))


RATES = st.lists(st.sampled_from([0.0, 0.1, 1.0]), min_size=6, max_size=6)


@given(RATES.map(lambda r: np.reshape(r, (2, 3))), st.integers(0, 2**31 - 1))
@settings(max_examples=20, deadline=None)
def test_poisson_spikes_are_counted_by_frame(rates, seed):
    how = {"period": 4.0, "t_min": 1.0}
    times = np.asarray(poisson(jax.random.key(seed), rates, **how, n_spikes=60))
    assert times.shape == (2, 60)
    # In order of time, with what is missing behind.
    assert np.all(np.sort(times, axis=-1) == times)
    counts = np.array([np.histogram(own, 3, (1.0, 13.0))[0] for own in times])
    assert counts.sum() == np.isfinite(times).sum()
    assert np.all(counts[rates == 0] == 0)
    np.testing.assert_allclose(decode_poisson(times, 3, **how), counts / 4.0)
    again = poisson(jax.random.key(seed), rates, **how, n_spikes=60)
    np.testing.assert_array_equal(again, times)


def test_channels_and_samples_are_independent():
    rates = np.full((400, 2, 1), 0.05)
    times = poisson(jax.random.key(2), rates, period=100.0)
    counts = np.isfinite(times).sum(axis=-1)
    # Mean and variance of a Poisson number agree.
    assert abs(counts.mean() - 5) < 5 * np.sqrt(5 / 800)
    assert abs(counts.var() - 5) < 5 * 5 * np.sqrt(2 / 800) + 0.5
    assert abs(np.corrcoef(counts.T)[0, 1]) < 5 / np.sqrt(400)


def test_poisson_by_its_rates():
    rates = np.array([[0.5, 0.2, 1.0], [0.3, 0.4, 0.0]])
    draw = lambda r: poisson(jax.random.key(0), r, period=5.0, n_spikes=20)  # noqa: E731
    assert np.isfinite(draw(rates)).sum() > 5
    # A rate of 0 has differences to one side only.
    positive = rates + 0.1
    close_derivative(draw, positive, atol=1e-6)
    assert np.all(np.isfinite(jax.jacrev(draw)(rates)[np.isfinite(draw(rates))]))
    np.testing.assert_allclose(jax.jit(draw)(rates), draw(rates))


def test_errors_of_poisson(unchecked):
    key, rates = jax.random.key(0), np.full((2, 1), 3.0)
    with fails(ValueError, "`rates` must not be negative"):
        poisson(key, -rates, period=1.0)
    with fails(
        ValueError, "`rates` must have shape (..., M, F)", "(2,)", "[..., None]"
    ):
        poisson(key, rates[:, 0], period=1.0)
    with fails(ValueError, "`period` must be positive"):
        poisson(key, rates, period=0.0)
    with fails(ValueError, "`n_spikes` must be at least", "got 2"):
        poisson(key, rates, period=10.0, n_spikes=2)
    with fails(TypeError, "`n_spikes` must be a whole number; got 2.5"):
        poisson(key, rates, period=10.0, n_spikes=2.5)
    with fails(ValueError, "`n_spikes` must be given under `jax.jit`"):
        jax.jit(lambda r: poisson(key, r, period=1.0))(rates)
    with fails(Exception, "`n_spikes` must be at least", "got 2"):
        jax.block_until_ready(
            jax.jit(lambda r: poisson(key, r, period=10.0, n_spikes=2))(rates)
        )
    with fails(ValueError, "`n_frames` must be at least 0"):
        decode_poisson(rates, -1, period=1.0)
