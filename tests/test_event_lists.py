"""Lists of events: made of arrays and back."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventax import PackedSpikes, Spikes
from eventax.encoding import (
    list_batch,
    list_spikes,
    pack_batch,
    pad_batch,
    pad_spikes,
    padding_cost,
)

INF = np.inf


def fails(error, *words):
    """The error's message holds all of these, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(w) for w in words))


M = 4
# Quarters, which are exact in single precision, and some of which are equal.
EVENTS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, M - 1)), max_size=12)
SAMPLES = st.lists(EVENTS, min_size=3, max_size=3)


def as_pairs(samples):
    return [
        (np.array([t / 4 for t, _ in s]), np.array([c for _, c in s], int))
        for s in samples
    ]


def events_of(times, channels):
    """The spikes of one sample, as a sorted list of pairs."""
    pairs = zip(np.asarray(times).tolist(), np.asarray(channels).tolist(), strict=True)
    return sorted((t, c) for t, c in pairs if t != INF)


@given(SAMPLES)
@settings(max_examples=50, deadline=None)
def test_lists_hold_what_arrays_hold(samples):
    pairs = as_pairs(samples)
    # Of equal shapes, so that they share one program.
    listed = list_batch(pairs, M, 12)
    assert listed.times.shape == listed.channels.shape == (3, 12)
    assert listed.channels.dtype == jnp.int16
    padded = pad_batch(pairs, M, 12)
    for k, sample in enumerate(pairs):
        truth = events_of(*sample)
        assert events_of(listed.times[k], listed.channels[k]) == truth
        assert np.all(np.diff(listed.times[k][: len(truth)]) >= 0)
        rows = [(t, c) for c in range(M) for t in np.asarray(padded[k, c]).tolist()]
        assert sorted(p for p in rows if p[0] != INF) == truth
    # There and back, one by one and as a batch.
    again = list_spikes(padded, 12)
    np.testing.assert_array_equal(again.times, listed.times)
    np.testing.assert_array_equal(again.channels, listed.channels)
    np.testing.assert_array_equal(pad_batch(listed, M, 12), padded)
    one = pad_spikes(listed.times[0], listed.channels[0], M, 12)
    np.testing.assert_array_equal(one, padded[0])
    # Packed, and a list of that.
    packed = pack_batch(pairs, M, 12)
    assert (packed.times.shape, packed.counts.shape) == ((3, 12), (3, M))
    assert packed.counts.dtype == jnp.int16
    unpacked = packed.as_list()
    for k, sample in enumerate(pairs):
        own = [c for _, c in sorted(zip(*sample, strict=True), key=lambda e: e[1])]
        np.testing.assert_array_equal(unpacked.channels[k, : len(own)], own)
        one = jax.tree.map(lambda x, k=k: x[k], packed).as_list()
        assert events_of(*one) == events_of(*sample)
    np.testing.assert_array_equal(pad_batch(unpacked, M, 12), padded)
    # By default as long as need be, which is what padding costs.
    shortest = list_batch(listed, M)
    lengths = [len(s) for s in samples]
    assert shortest.times.shape == (3, max(1, *lengths))
    cost = padding_cost(pairs, M)
    assert cost[:3] == (sum(lengths), shortest.times.size, pad_batch(pairs, M).size)
    assert cost.listed_bytes == sum(x.size * x.itemsize for x in shortest)
    assert cost.padded_bytes == 4 * cost.padded
    smallest = pack_batch(pairs, M)
    assert cost.packed_bytes == sum(x.size * x.itemsize for x in smallest)
    assert padding_cost(shortest, M) == cost


def test_listing_under_transforms():
    padded = np.array([[[3.0, 1.0], [INF, 2.0]], [[INF, INF], [0.5, INF]]])
    truth = list_spikes(padded)
    np.testing.assert_array_equal(truth.times, [[1.0, 2.0, 3.0], [0.5, INF, INF]])
    np.testing.assert_array_equal(truth.channels, [[0, 1, 0], [1, 0, 0]])
    make = lambda x: list_spikes(x, 3)  # noqa: E731
    for transform in (jax.jit, jax.vmap, lambda f: jax.jit(jax.vmap(f))):
        found = transform(make)(padded)
        jax.tree.map(np.testing.assert_array_equal, found, truth)
    weight = jnp.array([[1.0, 10.0, 100.0], [5.0, 0.0, 0.0]])
    total = lambda x: jnp.sum(jnp.where(weight > 0, make(x).times, 0) * weight)  # noqa: E731
    np.testing.assert_array_equal(
        jax.grad(total)(jnp.asarray(padded)),
        [[[100.0, 1.0], [0.0, 10.0]], [[0.0, 0.0], [5.0, 0.0]]],
    )
    # Longer than there are entries, and no entries at all.
    assert list_spikes(padded, 9).times.shape == (2, 9)
    assert list_spikes(np.zeros((2, 0))).times.tolist() == [INF]
    # NaN is not lost on the way to where it is found out.
    assert np.isnan(list_spikes(np.array([[np.nan, INF], [INF, INF]])).times).any()


def test_what_padding_costs_in_words():
    rng = np.random.default_rng(0)
    samples = [(rng.random(90), np.full(90, 3)), (rng.random(10), np.arange(10))]
    assert str(padding_cost(samples, 1000)).splitlines() == [
        "100 spikes",
        "packed:    180 entries, 55.6 % of them spikes, 0.00 MB",
        "as lists:  180 entries, 55.6 % of them spikes, 0.00 MB",
        "as arrays: 180,000 entries, 0.1 % of them spikes, 0.72 MB",
    ]


def test_errors(unchecked):
    one = ([1.0, 2.0], [0, 1])
    with fails(ValueError, "`n_events` must be at least", "got 1", "largest has 2"):
        list_batch([one], 2, 1)
    with fails(TypeError, "`n_events` must be a whole number; got 2.5"):
        list_batch([one], 2, 2.5)
    with fails(ValueError, "`units` of sample 1 must lie between 0 and 1", "got 2"):
        list_batch([one, ([1.0], [2])], 2)
    with fails(ValueError, "`units` of sample 0 must lie between 0 and 1", "got -1"):
        padding_cost([([1.0], [-1])], 2)
    with fails(TypeError, "`units` of sample 0 must be whole numbers"):
        list_batch([([1.0], [0.5])], 2)
    with fails(ValueError, "`times` and `units` of sample 0", "(2,) and (1,)"):
        list_batch([([1.0, 2.0], [0])], 2)
    padded = np.array([[1.0, 2.0]])
    with fails(ValueError, "`n_events` must be at least", "got 1", "largest has 2"):
        list_spikes(padded, 1)
    with fails(ValueError, "`n_events` must be given under `jax.jit`"):
        jax.jit(list_spikes)(padded)
    for function, x in (
        (jax.jit(lambda x: list_spikes(x, 1)), padded),
        (jax.jit(jax.vmap(lambda x: list_spikes(x, 1))), padded[None]),
    ):
        with fails(Exception, "`n_events` must be at least", "got 1"):
            jax.block_until_ready(function(x))


def test_channels_have_room():
    for n, dtype in ((2**15, jnp.int16), (2**15 + 1, jnp.int32)):
        listed = list_batch([([1.0], [n - 1])], n)
        assert listed.channels.dtype == dtype
        assert listed.channels[0, 0] == n - 1
        padded = jnp.full((n, 1), INF).at[n - 1].set(1.0)
        assert list_spikes(padded).channels[0] == n - 1


def test_a_pack_takes_a_fifth():
    """32 samples of 8,000 spikes in 700 channels, the busiest of which has 60."""
    rng = np.random.default_rng(0)
    units = np.append(np.zeros(60, int), 1 + np.arange(7940) % 699)
    samples = [(rng.uniform(0, 1000, 8000), units) for _ in range(32)]
    cost = padding_cost(samples, 700)
    assert cost.padded == 32 * 700 * 60
    assert cost.packed_bytes < 0.2 * cost.padded_bytes
    packed = pack_batch(samples, 700)
    assert sum(x.size * x.itemsize for x in packed) == cost.packed_bytes


def test_counts_that_fit_no_times():
    """The channels are none of the network's, which it says."""
    times = jnp.array([1.0, 2.0, INF])
    for counts, channels in (
        ([1, 1], [0, 1, 0]),
        ([0, 1], [1, 2, 0]),  # a time that none counts
        ([3, 1], [-1, -1, 0]),
        ([3, -1], [-1, -1, 0]),
    ):
        packed = PackedSpikes(times, jnp.array(counts))
        for unpack in (lambda p: p.as_list(), jax.jit(lambda p: p.as_list())):
            assert unpack(packed).channels.tolist() == channels
    empty = PackedSpikes(jnp.zeros(0), jnp.zeros(0, int)).as_list()
    assert empty.times.shape == empty.channels.shape == (0,)


def test_a_list_is_a_pair():
    times, channels = Spikes(jnp.array([1.0]), jnp.array([0]))
    assert (times[0], channels[0]) == (1.0, 0)
