"""Losses against plain NumPy and scipy's quadrature, with silent neurons."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from eventax.losses import (
    first_spike_cross_entropy,
    max_voltage_cross_entropy,
    relative_spike_time_mse,
    spike_time_mse,
    van_rossum_distance,
    voltage_integral_cross_entropy,
    waking_first_spike_cross_entropy,
)

pytestmark = pytest.mark.usefixtures("x64")

T_MAX = 20.0
INF = np.inf
# Samples of three outputs; silent ones, and one that fires after T_MAX.
TIMES = np.array(
    [
        [3.0, 5.0, 9.0],
        [INF, 4.5, 6.0],
        [7.0, INF, INF],
        [INF, INF, INF],
        [25.0, 2.0, 8.0],
    ]
)
LABELS = np.array([0, 0, 1, 2, 1])
TARGETS = np.array([4.0, 8.0, INF])


def first_spike(times, labels):
    return first_spike_cross_entropy(
        times, labels, tau0=0.5, tau1=6.4, alpha=3e-3, t_max=T_MAX
    )


def relative(times, labels):
    return relative_spike_time_mse(times, labels, margin=3.0, t_max=T_MAX)


def mse(times, labels):
    return spike_time_mse(times, TARGETS, t_max=T_MAX)


ON_TIMES = [first_spike, relative, mse]
ON_VOLTAGES = [max_voltage_cross_entropy, voltage_integral_cross_entropy]


def one_by_one(loss, times, label):
    """A sample's loss, written as in its definition."""
    t = [min(float(x), T_MAX) for x in times]
    if loss is first_spike:
        partition = sum(np.exp(-x / 0.5) for x in t)
        probability = np.exp(-t[label] / 0.5) / partition
        return -np.log(probability) + 3e-3 * (np.exp(t[label] / 6.4) - 1)
    if loss is relative:
        others = [x for k, x in enumerate(t) if k != label]
        return np.mean([(x - t[label] - 3.0) ** 2 for x in others])
    if loss is mse:
        return np.mean((np.array(t) - np.minimum(TARGETS, T_MAX)) ** 2)
    return -np.log(np.exp(t[label]) / sum(np.exp(x) for x in t))


def difference(function, x, step):
    """Gradient by central differences, infinite entries left as they are."""
    result = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[index] = step
        result[index] = (function(x + e) - function(x - e)) / (2 * step)
    return result


def fails(error, *words):
    """The error's message holds all of these, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(w) for w in words))


# Values and gradients -----------------------------------------------------------------


@pytest.mark.parametrize("loss", ON_TIMES)
def test_values_of_spike_times(loss):
    truth = [one_by_one(loss, *sample) for sample in zip(TIMES, LABELS, strict=True)]
    np.testing.assert_allclose(loss(TIMES, LABELS), truth, rtol=1e-12)


@pytest.mark.parametrize("loss", ON_VOLTAGES)
def test_values_of_voltages(loss):
    voltages = np.random.default_rng(0).normal(size=(5, 3))
    truth = [one_by_one(loss, *sample) for sample in zip(voltages, LABELS, strict=True)]
    np.testing.assert_allclose(loss(voltages, LABELS), truth, rtol=1e-12)
    # Where exp would overflow.
    large = np.array([1000.0, 0.0, -1000.0])
    np.testing.assert_allclose(loss(large, 0), 0.0, atol=1e-300)
    np.testing.assert_allclose(loss(large, 2), 2000.0)


@pytest.mark.parametrize("loss", ON_TIMES)
def test_gradients_of_spike_times(loss):
    total = lambda times: jnp.sum(loss(times, LABELS))  # noqa: E731
    found = jax.grad(total)(jnp.array(TIMES))
    # The step balances rounding and curvature; 1e-7 is what it leaves.
    truth = difference(total, TIMES, 1e-5)
    np.testing.assert_allclose(found, truth, rtol=1e-7, atol=1e-7)
    silent = ~(TIMES <= T_MAX)
    np.testing.assert_array_equal(np.asarray(found)[silent], 0)
    assert np.all(np.asarray(found)[0] != 0)


@pytest.mark.parametrize("loss", ON_VOLTAGES)
def test_gradients_of_voltages(loss):
    voltages = np.random.default_rng(1).normal(size=(5, 3))
    total = lambda v: jnp.sum(loss(v, LABELS))  # noqa: E731
    truth = difference(total, voltages, 1e-5)
    np.testing.assert_allclose(
        jax.grad(total)(jnp.array(voltages)), truth, rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("missing", [INF, np.nan])
@pytest.mark.parametrize("loss", ON_TIMES)
def test_nothing_fires(loss, missing):
    times = jnp.full((3,), missing)
    value, gradient = jax.value_and_grad(loss)(times, 0)
    assert np.isfinite(value)
    np.testing.assert_array_equal(gradient, 0)
    np.testing.assert_allclose(value, loss(jnp.full((3,), T_MAX), 0))


@pytest.mark.parametrize("loss", ON_TIMES)
def test_a_spike_at_the_end_counts(loss):
    gradient = jax.grad(loss)(jnp.array([T_MAX, 5.0, T_MAX]), 0)
    assert gradient[0] != 0


@pytest.mark.parametrize("loss", [*ON_TIMES, *ON_VOLTAGES])
def test_batches_and_transformations(loss):
    times = np.where(np.isfinite(TIMES), TIMES, 15.0)
    truth = loss(times, LABELS)
    assert truth.shape == (5,)
    np.testing.assert_allclose(jax.jit(loss)(times, LABELS), truth)
    np.testing.assert_allclose(jax.vmap(loss)(times, LABELS), truth)
    stacked = loss(np.stack([times, times + 1]), np.stack([LABELS, LABELS]))
    assert stacked.shape == (2, 5)
    np.testing.assert_allclose(stacked[0], truth)
    single = loss(times[0], LABELS[0])
    assert single.shape == ()
    np.testing.assert_allclose(single, truth[0])
    of_each = jax.jit(jax.vmap(jax.grad(loss)))(times, LABELS)
    of_all = jax.grad(lambda x: jnp.sum(loss(x, LABELS)))(jnp.array(times))
    np.testing.assert_allclose(of_each, of_all, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("loss", [*ON_TIMES, *ON_VOLTAGES])
def test_single_precision_stays(loss):
    times = jnp.array([3.0, 5.0, 9.0], jnp.float32)
    value, gradient = jax.value_and_grad(loss)(times, jnp.array(1, jnp.uint8))
    assert gradient.dtype == jnp.float32
    if loss is not mse:  # whose targets are float64 here
        assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, loss(np.float64(times), 1), rtol=1e-6)


def test_without_the_second_term():
    plain = first_spike_cross_entropy(TIMES, LABELS, tau0=0.5, t_max=T_MAX)
    early = 3e-3 * np.expm1(np.minimum(TIMES, T_MAX)[range(5), LABELS] / 6.4)
    np.testing.assert_allclose(first_spike(TIMES, LABELS), plain + early)
    # exp(t/tau1) overflows, and its weight is 0.
    same = first_spike_cross_entropy(
        TIMES, LABELS, tau0=0.5, tau1=1e-3, alpha=0.0, t_max=T_MAX
    )
    np.testing.assert_array_equal(same, plain)


def test_constants_may_be_traced():
    @jax.jit
    def loss(tau0, tau1, alpha, t_max):
        return first_spike_cross_entropy(
            TIMES, LABELS, tau0=tau0, tau1=tau1, alpha=alpha, t_max=t_max
        )

    np.testing.assert_allclose(loss(0.5, 6.4, 3e-3, T_MAX), first_spike(TIMES, LABELS))


def test_only_differences_of_times_count():
    times = np.array([3.0, 5.0, 9.0])
    np.testing.assert_allclose(relative(times + 2.0, 1), relative(times, 1))
    gradient = jax.grad(relative)(jnp.array(times), 1)
    np.testing.assert_allclose(jnp.sum(gradient), 0, atol=1e-12)
    assert relative(np.array([4.0, 1.0, 4.0]), 1) == 0


def test_targets_broadcast():
    own = np.random.default_rng(2).uniform(0, 10, (5, 3))
    found = spike_time_mse(TIMES, own, t_max=T_MAX)
    truth = np.mean((np.minimum(TIMES, T_MAX) - own) ** 2, axis=1)
    np.testing.assert_allclose(found, truth)
    silent = spike_time_mse(np.array([INF, 3.0]), np.array([INF, 3.0]), t_max=T_MAX)
    assert silent == 0


# Distance of spike trains -------------------------------------------------------------


def filtered(train, t, tau):
    return sum(np.exp(-(t - x) / tau) for x in train if x <= t)


def by_quadrature(one, other, tau):
    one, other = ([x for x in train if np.isfinite(x)] for train in (one, other))
    edges = sorted({*one, *other})
    total = 0.0
    for start, end in zip(edges, [*edges[1:], np.inf], strict=True):
        squared = lambda t: (filtered(one, t, tau) - filtered(other, t, tau)) ** 2  # noqa: E731
        total += quad(squared, start, end, epsabs=1e-13, epsrel=1e-11)[0]
    return total / tau


def by_pairs(one, other, tau):
    """The closed form in float64, as a sum over pairs of spikes."""
    one, other = (x[np.isfinite(x)] for x in (one, other))
    pairs = lambda a, b: np.sum(np.exp(-abs(a[:, None] - b) / tau))  # noqa: E731
    return (pairs(one, one) + pairs(other, other) - 2 * pairs(one, other)) / 2


PAIRS = {
    "several": ([1.0, 3.5, 9.0], [2.0, 3.0]),
    "unordered": ([9.0, INF, 1.0, 3.5], [INF, 3.0, 2.0]),
    "negative": ([-7.0, -2.5], [-3.0, 4.0]),
    "one silent": ([2.0, 4.0], [INF, INF]),
    "burst": ([1.0, 1.1, 1.2, 1.3], [1.05, 1.15, 30.0]),
}


@pytest.mark.parametrize("tau", [0.3, 4.0, 50.0])
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_van_rossum_is_the_integral(pair, tau):
    found = van_rossum_distance(*map(np.array, pair), tau=tau)
    np.testing.assert_allclose(found, by_quadrature(*pair, tau), rtol=1e-9)


def test_van_rossum_normalisation():
    spike, none = np.array([5.0]), np.array([INF])
    assert van_rossum_distance(spike, none, tau=3.0) == 0.5
    far = van_rossum_distance(spike, np.array([5e3]), tau=3.0)
    np.testing.assert_allclose(far, 1.0)
    assert van_rossum_distance(none, none, tau=3.0) == 0
    assert van_rossum_distance(np.zeros(0), np.zeros(0), tau=3.0) == 0
    assert van_rossum_distance(spike, np.zeros(0), tau=3.0) == 0.5
    # Twice the same spike is twice the amplitude, thus four times D².
    np.testing.assert_allclose(
        van_rossum_distance(np.array([5.0, 5.0]), none, tau=3.0), 2.0
    )


def test_van_rossum_gradient():
    one, other = np.array([9.0, INF, 1.0, 3.5]), np.array([2.0, np.nan, 3.0])
    distance = lambda one, other, tau: van_rossum_distance(one, other, tau=tau)  # noqa: E731
    found = jax.grad(distance, argnums=(0, 1, 2))(
        jnp.array(one), jnp.array(other), jnp.array(4.0)
    )
    for k, x in enumerate([one, other, np.array(4.0)]):

        def shifted(y, k=k):
            args = [one, other, 4.0]
            args[k] = y
            return by_pairs(*args)

        truth = difference(shifted, x, 1e-5)
        np.testing.assert_allclose(found[k], truth, rtol=1e-7, atol=1e-9)
    assert found[0][1] == 0
    assert found[1][1] == 0
    # Shifting both trains changes nothing.
    np.testing.assert_allclose(jnp.sum(found[0]) + jnp.sum(found[1]), 0, atol=1e-12)
    jitted = jax.jit(jax.grad(distance))(jnp.array(one), jnp.array(other), 4.0)
    np.testing.assert_allclose(jitted, found[0], rtol=1e-12, atol=1e-15)


def test_van_rossum_second_derivative():
    one, other = jnp.array([9.0, 1.0, 3.5]), jnp.array([2.0, 3.0])
    gradient = jax.grad(lambda x: van_rossum_distance(x, other, tau=4.0))
    found = jax.jacobian(gradient)(one)
    step = 1e-5 * np.eye(3)
    truth = [(gradient(one + e) - gradient(one - e)) / 2e-5 for e in step]
    np.testing.assert_allclose(found, truth, rtol=1e-6, atol=1e-8)


def test_van_rossum_where_spikes_meet():
    """Sides of the kink cancel: a spike feels neither its partner nor itself."""
    one = jnp.array([2.0, 5.0, INF])
    gradient = jax.grad(lambda x: van_rossum_distance(x, one, tau=4.0))
    np.testing.assert_array_equal(gradient(one), 0)
    # Two against one at 2, another at 5: the mean of both sides' differences.
    one, other = np.array([2.0, 2.0, 5.0]), np.array([2.0])
    found = jax.grad(lambda x: van_rossum_distance(x, other, tau=4.0))(jnp.array(one))
    step = 1e-6
    truth = difference(lambda x: by_pairs(x, other, 4.0), one, step)
    np.testing.assert_allclose(found, truth, rtol=1e-6, atol=1e-8)


def test_van_rossum_of_long_trains_in_single_precision():
    """3,000 spikes 2 apart, of which the sum over pairs has three digits."""
    rng = np.random.default_rng(3)
    one = np.cumsum(rng.exponential(2.0, 3_000)).astype(np.float32)
    other = (one + rng.normal(0, 1e-2, one.shape)).astype(np.float32)
    # The rounding of time, 5e-4 near 6e3, is in both; they are compared as given.
    tau = 20.0
    found = jax.jit(lambda a, b: van_rossum_distance(a, b, tau=tau))(one, other)
    assert found.dtype == jnp.float32
    signed = np.concatenate([np.ones(3_000), -np.ones(3_000)])
    times = np.concatenate([one, other]).astype(np.float64)
    order = np.argsort(times)
    times, signed = times[order], signed[order]
    amplitude = truth = 0.0
    for k in range(len(times)):
        gap = times[k + 1] - times[k] if k + 1 < len(times) else np.inf
        amplitude += signed[k]
        truth += amplitude**2 * (1 - np.exp(-2 * gap / tau)) / 2
        amplitude *= np.exp(-gap / tau)
    # A sum of 6e3 terms of one sign, each of float32's accuracy.
    np.testing.assert_allclose(found, truth, rtol=1e-5)
    np.testing.assert_allclose(van_rossum_distance(one, one, tau=tau), 0.0, atol=1e-6)


def test_van_rossum_batches():
    rng = np.random.default_rng(4)
    one, other = rng.uniform(0, 30, (2, 3, 5)), rng.uniform(0, 30, (3, 4))
    one[0, 0, 2:] = INF
    other[1] = INF
    found = van_rossum_distance(one, other, tau=5.0)
    assert found.shape == (2, 3)
    for a, b in np.ndindex(2, 3):
        truth = by_pairs(one[a, b], other[b], 5.0)
        np.testing.assert_allclose(found[a, b], truth, rtol=1e-10)
    mapped = jax.vmap(lambda x: van_rossum_distance(x, other, tau=5.0))(one)
    np.testing.assert_allclose(mapped, found, rtol=1e-12)
    every = van_rossum_distance(one, one[0, 1], tau=5.0)
    assert every.shape == (2, 3)
    assert every[0, 1] < 1e-15


# Errors -------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, -1.0, INF, np.nan])
def test_constants_are_positive(value):
    word = "must be positive" if np.isfinite(value) else "must be finite"
    times = np.array([1.0, 2.0])
    with fails(ValueError, f"`tau0` {word}", "got", repr(value)):
        first_spike_cross_entropy(times, 0, tau0=value, t_max=T_MAX)
    with fails(ValueError, f"`tau1` {word}", "got", repr(value)):
        first_spike_cross_entropy(times, 0, tau0=1, tau1=value, alpha=1, t_max=T_MAX)
    with fails(ValueError, f"`margin` {word}", "got", repr(value)):
        relative_spike_time_mse(times, 0, margin=value, t_max=T_MAX)
    with fails(ValueError, f"`tau` {word}", "got", repr(value)):
        van_rossum_distance(times, times, tau=value)


def test_t_max_is_finite():
    times = np.array([1.0, 2.0])
    with fails(ValueError, "`t_max` must be finite", "inf"):
        first_spike_cross_entropy(times, 0, tau0=1.0, t_max=INF)
    with fails(ValueError, "`t_max` must be finite", "nan"):
        relative_spike_time_mse(times, 0, margin=1.0, t_max=np.nan)
    with fails(ValueError, "`t_max` must be finite", "inf"):
        spike_time_mse(times, times, t_max=INF)


def test_alpha_needs_a_time_constant():
    times = np.array([1.0, 2.0])
    with fails(ValueError, "`tau1` must be given", "`alpha`", "0.1", "leave `alpha`"):
        first_spike_cross_entropy(times, 0, tau0=1.0, alpha=0.1, t_max=T_MAX)
    with fails(ValueError, "`tau1` must be given"):
        jax.jit(
            lambda a: first_spike_cross_entropy(
                times, 0, tau0=1.0, alpha=a, t_max=T_MAX
            )
        )(0.1)
    with fails(ValueError, "`alpha` must not be negative", "-0.1"):
        first_spike_cross_entropy(times, 0, tau0=1.0, alpha=-0.1, t_max=T_MAX)


LABELLED = [first_spike, relative, *ON_VOLTAGES]


@pytest.mark.parametrize("loss", LABELLED)
def test_labels_are_indices(loss):
    times = np.arange(6.0).reshape(2, 3)
    with fails(ValueError, "`labels`", "one entry per sample", "(2,)", "(3,)"):
        loss(times, np.array([0, 1, 2]))
    with fails(ValueError, "`labels`", "shape", "(2,)", "()"):
        jax.jit(loss)(times, 0)
    with fails(TypeError, "`labels`", "whole numbers", "float64", "one-hot"):
        loss(times, np.array([0.0, 1.0]))
    with fails(ValueError, "`labels`", "between 0 and 2", "3 outputs", "got 3"):
        loss(times, np.array([3, 1]))
    with fails(ValueError, "`labels`", "between 0 and 2", "got -1"):
        loss(times, np.array([0, -1]))


@pytest.mark.parametrize("loss", LABELLED)
def test_a_wrong_label_that_is_traced_gives_nan(loss):
    found = jax.jit(loss)(np.ones((3, 3)), np.array([3, -1, 0]))
    np.testing.assert_array_equal(np.isnan(found), [True, True, False])


def test_a_number_is_no_output(unchecked):
    with fails(ValueError, "one output per class", "a single number"):
        first_spike_cross_entropy(1.0, 0, tau0=1.0, t_max=T_MAX)
    with fails(ValueError, "`one` and `other`", "trains", "()"):
        van_rossum_distance(1.0, np.ones(4), tau=1.0)


def test_shapes_fit():
    with fails(ValueError, "`times`", "at least two outputs", "(4, 1)"):
        relative_spike_time_mse(
            np.arange(4.0)[:, None], np.zeros(4, int), margin=1.0, t_max=T_MAX
        )
    for targets in (np.ones(2), np.ones((2, 2, 3))):
        with fails(ValueError, "`targets`", "(2, 3)", "broadcasts", str(targets.shape)):
            spike_time_mse(np.arange(6.0).reshape(2, 3), targets, t_max=T_MAX)
    with fails(ValueError, "`one` and `other`", "broadcast", "(2, 4)", "(3, 4)"):
        van_rossum_distance(np.ones((2, 4)), np.ones((3, 4)), tau=1.0)


# -- silent outputs ------------------------------------------------------------------

WAKING = {"tau0": 0.5, "tau1": 6.4, "alpha": 3e-3, "t_max": T_MAX}


def test_a_silent_output_is_woken_and_silences_no_other():
    """Its drive shall grow; all that the others could learn is to be late."""
    drive = np.array([0.1, 0.2, 0.3])
    loss = lambda times, drive: waking_first_spike_cross_entropy(  # noqa: E731
        times, LABELS, drive, **WAKING
    )
    np.testing.assert_array_equal(loss(TIMES, drive), first_spike(TIMES, LABELS))
    total = lambda *args: loss(*args).sum()  # noqa: E731
    by_times, by_drive = jax.jit(jax.grad(total, argnums=(0, 1)))(TIMES, drive)
    plain = jax.jit(jax.grad(lambda times: first_spike(times, LABELS).sum()))(TIMES)
    # Samples 1, 2 and 3 have a silent label.
    heard = np.array([True, False, False, False, True])
    np.testing.assert_array_equal(by_times[heard], plain[heard])
    np.testing.assert_array_equal(by_times[~heard], 0)
    np.testing.assert_array_equal(by_drive, -np.bincount(LABELS[~heard], minlength=3))
    # A drive for each sample, and samples one by one.
    each = np.tile(drive, (5, 1))
    by_each = jax.grad(total, argnums=1)(TIMES, each)
    np.testing.assert_array_equal(by_each.sum(axis=0), by_drive)
    mapped = jax.vmap(
        lambda t, y: waking_first_spike_cross_entropy(t, y, drive, **WAKING)
    )(TIMES, LABELS)
    np.testing.assert_allclose(mapped, loss(TIMES, drive), rtol=1e-14)


def test_the_drive_is_one_number_for_each_output():
    for drive in (np.zeros(2), np.zeros((4, 3)), np.zeros(())):
        message = re.escape("`drive` must have one number for each output, shape (3,)")
        with pytest.raises(ValueError, match=message):
            waking_first_spike_cross_entropy(TIMES, LABELS, drive, **WAKING)
