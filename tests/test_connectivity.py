"""Masks of networks, against loops over synapses and convolutions of JAX."""

import re
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventax import EvNN, FFEvNN
from eventax.connectivity import (
    by_distance,
    connect,
    conv2d,
    excitatory_inhibitory,
    fixed_in_degree,
    grid,
    image_size,
    layers,
    one_to_one,
    pool2d,
    random,
)
from eventax.encoding import list_batch
from eventax.io import load_evnn, save_evnn
from eventax.neuron_models import LI, LIF, MultiNeuronModel

LIF_KEYWORDS = {"thresh": 1.0, "tsyn": 5.0, "tmem": 10.0, "init_bias": 0.0}


def fails(error, *words):
    """The error's message holds all of these, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(w) for w in words))


# Populations and projections ----------------------------------------------------------


@st.composite
def networks(draw):
    """Sizes, inputs, and a pattern for each of some pairs of populations."""
    names = ["a", "b", "c"][: draw(st.integers(1, 3))]
    sizes = {name: draw(st.integers(1, 4)) for name in names}
    in_size = draw(st.integers(0, 3))
    pairs = [(a, b) for a in ["input", *names] for b in names]
    projections = {}
    for a, b in draw(st.lists(st.sampled_from(pairs), unique=True)):
        shape = (in_size if a == "input" else sizes[a], sizes[b])
        bits = draw(st.lists(st.booleans(), min_size=shape[0] * shape[1]))
        pattern = np.array(bits[: shape[0] * shape[1]]).reshape(shape).astype(int)
        projections[a, b] = draw(st.sampled_from([True, pattern]))
    return sizes, in_size, projections


@given(networks())
@settings(max_examples=50, deadline=None)
def test_a_mask_has_the_synapses_of_its_projections(network):
    sizes, in_size, projections = network
    shape = connect(sizes, in_size, projections)
    # Every neuron by population and number within it, in the order of rows.
    places = [(name, k) for name, size in sizes.items() for k in range(size)]
    rows = places + [("input", k) for k in range(in_size)]
    for row, (a, i) in enumerate(rows):
        for column, (b, j) in enumerate(places):
            pattern = projections.get((a, b), False)
            there = pattern if isinstance(pattern, bool) else bool(pattern[i, j])
            assert shape.wmask[row, column] == there
    assert shape.n_neurons == len(places)
    last = list(sizes)[-1]
    assert [name == last for name, _ in places] == shape.output_neurons.tolist()
    heard = [
        any(shape.wmask[row, column] for row in range(len(places), len(rows)))
        for column in range(len(places))
    ]
    assert shape.input_neurons.tolist() == heard
    for a, b in projections:
        assert shape.wmask[shape.block(a, b)].sum() == np.sum(
            np.ones(shape.wmask[shape.block(a, b)].shape) * projections[a, b]
        )


@given(networks(), st.data())
@settings(max_examples=50, deadline=None)
def test_projections_may_be_joined_in_any_order(network, data):
    sizes, in_size, projections = network
    part = data.draw(st.lists(st.sampled_from([*projections, None]), unique=True))
    one = {k: p for k, p in projections.items() if k in part}
    other = {k: p for k, p in projections.items() if k not in part}
    whole = connect(sizes, in_size, projections)
    for a, b in ((one, other), (other, one), (projections, one)):
        joined = connect(sizes, in_size, a) | connect(sizes, in_size, b)
        np.testing.assert_array_equal(joined.wmask, whole.wmask)
        assert repr(joined) == repr(whole)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(0, 3))
@settings(max_examples=6, deadline=None)
def test_layers_without_more_are_those_of_ffevnn(sizes, in_size):
    shape = layers(sizes, in_size)
    net = FFEvNN(sizes, in_size, LIF, 10.0, init_weights=0.0, **LIF_KEYWORDS)
    np.testing.assert_array_equal(shape.wmask, net.get_wmask())
    np.testing.assert_array_equal(
        np.flatnonzero(shape.output_neurons), net.output_indices
    )


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.data())
@settings(max_examples=40, deadline=None)
def test_layers_are_their_projections(sizes, data):
    n = len(sizes)
    pairs = [(a, b) for a in ["input", *range(n)] for b in range(n)]
    chain = {("input", 0)} | {(k, k + 1) for k in range(n - 1)}
    recurrent = data.draw(st.lists(st.sampled_from(range(n)), unique=True))
    loops = {(k, k) for k in recurrent}
    free = [p for p in pairs if p not in chain and p[0] != p[1]]
    skips = data.draw(st.lists(st.sampled_from(free), unique=True)) if free else []
    shape = layers(sizes, 2, recurrent=recurrent, skips=skips)
    for pair in pairs:
        wanted = pair in chain | loops | set(skips)
        assert np.all(shape.wmask[shape.block(*pair)] == wanted), pair
    # Every synapse is in one projection.
    counted = sum(shape.wmask[shape.block(*pair)].sum() for pair in pairs)
    assert counted == shape.wmask.sum()


def test_recurrent_layers_with_skips():
    names = {"a": 2, "b": 3, "c": 1}
    shape = layers(
        names, 4, recurrent=["b"], skips=[("input", "c"), ("a", "c"), ("c", "a")]
    )
    full = {("input", "a"), ("a", "b"), ("b", "c"), ("b", "b")}
    full |= {("input", "c"), ("a", "c"), ("c", "a")}
    for sender in ["input", *names]:
        for receiver in names:
            block = shape.wmask[shape.block(sender, receiver)]
            assert np.all(block == ((sender, receiver) in full)), (sender, receiver)
    every = layers([2, 3], 1, recurrent=True)
    assert every.wmask[every.block(0, 0)].all()
    assert every.wmask[every.block(1, 1)].all()
    assert not every.wmask[every.block(1, 0)].any()


def test_what_a_network_gets():
    shape = layers([3, 2], 4, types=[1, 0], outputs=[0, 1], recurrent=[0])
    assert set({**shape}) == {
        "n_neurons",
        "in_size",
        "wmask",
        "input_neurons",
        "output_neurons",
        "neuron_type_ids",
    }
    assert shape["neuron_type_ids"].tolist() == [1, 1, 1, 0, 0]
    assert shape.output_neurons.all()
    assert "neuron_type_ids" not in {**layers([3], 1)}
    with fails(KeyError, "`dtype` is none of n_neurons, in_size"):
        shape["dtype"]


def test_a_network_of_types_is_the_one_by_hand(tmp_path):
    """700-256-20 in small: the mask, types and outputs as one writes them oneself."""
    m, h, r = 5, 4, 2
    shape = layers({"hidden": h, "readout": r}, m, recurrent=["hidden"], types=[0, 1])
    mask = np.zeros((h + r + m, h + r))
    mask[h + r :, :h] = 1
    mask[:h] = 1
    weights = np.random.default_rng(0).uniform(0, 2, mask.shape).astype(np.float32)
    readout = {k: v for k, v in LIF_KEYWORDS.items() if k != "thresh"}
    keywords = {
        "neuron_models": [LIF, LI],
        "neuron_model_kwargs": [
            {**LIF_KEYWORDS, "init_weights": weights[:, :h]},
            {**readout, "init_weights": weights[:, h:]},
        ],
    }
    build = lambda **how: EvNN(  # noqa: E731
        MultiNeuronModel, max_solver_time=20.0, **how, **keywords
    )
    ours = build(**shape)
    by_hand = build(
        n_neurons=h + r,
        in_size=m,
        wmask=mask,
        output_neurons=np.arange(h + r) >= h,
        input_neurons=np.arange(h + r) < h,
        neuron_type_ids=np.repeat([0, 1], [h, r]),
    )
    assert eqx.tree_equal(ours, by_hand)
    inputs = jnp.arange(m, dtype=jnp.float32)[:, None]
    found = ours.max_over_time(inputs)
    assert np.all(found > 0)
    # It is saved as it was given.
    path = tmp_path / "net.eqx"
    config = {"max_solver_time": 20.0, **shape, **keywords}
    save_evnn(path, ours, config)
    loaded, _ = load_evnn(path, None)
    np.testing.assert_array_equal(loaded.max_over_time(inputs), found)


def test_signs():
    key = jax.random.key(1)
    shape = excitatory_inhibitory(key, 30, 10, in_size=3, probability=0.3)
    assert shape.output_neurons.all()
    assert shape.signs.shape == shape.wmask.shape
    np.testing.assert_array_equal(shape.signs != 0, shape.wmask)
    assert np.all(shape.signs[:30] >= 0)
    assert np.all(shape.signs[30:40] <= 0)
    assert np.all(shape.signs[40:] == 1)
    assert not np.any(np.diag(shape.wmask[:40]))
    # 40 * 39 pairs, each with probability 0.3: five standard deviations.
    n = shape.wmask[:40].sum()
    assert abs(n - 0.3 * 1560) < 5 * np.sqrt(1560 * 0.3 * 0.7)
    negative = connect([2], 1, {("input", 0): True}, inhibitory=["input"])
    np.testing.assert_array_equal(negative.signs, [[0, 0], [0, 0], [-1, -1]])


def test_errors_of_populations(unchecked):
    with fails(ValueError, "`populations` must name at least one", "{}"):
        connect({}, 1, {})
    with fails(ValueError, "`populations` must not be called 'input'", "`in_size`"):
        connect({"input": 3}, 1, {})
    with fails(ValueError, "`populations['a']` must be at least 1; got 0"):
        connect({"a": 0}, 1, {})
    with fails(TypeError, "`populations[1]` must be a whole number; got 2.5"):
        layers([2, 2.5], 1)
    with fails(ValueError, "`in_size` must be at least 0; got -1"):
        layers([2], -1)
    with fails(ValueError, "`outputs` must name", "['a']", "'b'", "named 0, 1"):
        connect({"a": 2}, 1, {}, outputs=["b"])
    with fails(TypeError, "`outputs` must be a list of names; got 'a'"):
        connect({"a": 2}, 1, {}, outputs="a")
    with fails(ValueError, "`inhibitory` must name", "'input'", "got 'b'"):
        connect({"a": 2}, 1, {}, inhibitory=["b"])
    with fails(ValueError, "`types` must hold one number", "['a', 'b']", "[0]"):
        connect({"a": 2, "b": 1}, 1, {}, types=[0])
    with fails(ValueError, "`types` must be at least 0; got -1"):
        connect({"a": 2}, 1, {}, types=[-1])
    with fails(KeyError, "`name` must name a population", "'b'"):
        connect({"a": 2}, 1, {}).block("a", "b")


def test_errors_of_projections(unchecked):
    with fails(TypeError, "`projections` must be given by pairs", "got 'a'"):
        connect({"a": 2}, 1, {"a": True})
    with fails(ValueError, "`projections` must not lead to the input", "first"):
        connect({"a": 2}, 1, {("a", "input"): True})
    with fails(ValueError, "`projections` must name", "'b'"):
        connect({"a": 2}, 1, {("b", "a"): True})
    with fails(
        ValueError, "`projections['input', 'a']`", "(3, 2)", "3 of 'input'", "(2, 3)"
    ):
        connect({"a": 2}, 3, {("input", "a"): np.ones((2, 3))})
    with fails(ValueError, "`projections['a', 'a']`", "only 0 and 1", "0.5"):
        connect({"a": 2}, 3, {("a", "a"): np.full((2, 2), 0.5)})
    with fails(ValueError, "`skips` must name", "got 2"):
        layers([3, 3], 1, skips=[("input", 2)])
    with fails(TypeError, "`skips` must be given by pairs", "['input', 1]"):
        layers([3, 3], 1, skips=[["input", 1]])
    # One of these is no name, though True equals 1.
    with fails(ValueError, "`recurrent` must name", "[0, 1]", "got True"):
        layers([3, 3], 1, recurrent=[True, False])
    with fails(TypeError, "`recurrent` must be True, False or a list", "'a'"):
        layers({"a": 3}, 1, recurrent="a")


def test_errors_of_joining(unchecked):
    one = layers([3, 2], 1)
    for field, other in (
        ("sizes", layers([2, 3], 1)),
        ("in_size", layers([3, 2], 2)),
        ("output_neurons", layers([3, 2], 1, outputs=[0])),
        ("neuron_type_ids", layers([3, 2], 1, types=[0, 1])),
        ("inhibitory", layers([3, 2], 1, inhibitory=[0])),
    ):
        with fails(ValueError, "`|` must join", "same populations", f"`{field}`"):
            one | other
    with pytest.raises(TypeError):
        one | one.wmask


def test_a_network_refuses_a_mask_that_does_not_fit_the_builder():
    with fails(ValueError, "`wmask`", "(n_neurons + in_size, n_neurons) = (6, 5)"):
        EvNN(
            LIF,
            **{**layers([3, 2], 1), "wmask": np.ones((5, 4))},
            max_solver_time=1.0,
            init_weights=0.0,
            **LIF_KEYWORDS,
        )


@given(st.integers(0, 2**31 - 1), st.sampled_from([(1, 1), (5, 2)]))
@settings(max_examples=10, deadline=None)
def test_signs_are_those_of_the_sender(seed, sizes):
    key, (n_excitatory, n_inhibitory) = jax.random.key(seed), sizes
    how = {"in_size": 2, "probability": 0.5}
    shape = excitatory_inhibitory(key, n_excitatory, n_inhibitory, **how)
    n = n_excitatory + n_inhibitory
    sender = np.repeat([1, -1, 1], [n_excitatory, n_inhibitory, 2])
    np.testing.assert_array_equal(shape.signs, shape.wmask * sender[:, None])
    assert not np.any(np.diag(shape.wmask[:n]))
    again = excitatory_inhibitory(key, n_excitatory, n_inhibitory, **how)
    np.testing.assert_array_equal(again.wmask, shape.wmask)


# Random patterns ----------------------------------------------------------------------


def test_one_to_one():
    np.testing.assert_array_equal(one_to_one(3), np.diag([True] * 3))


@given(st.integers(0, 2**31 - 1), st.integers(1, 12), st.integers(0, 12), st.booleans())
@settings(max_examples=40, deadline=None)
def test_every_receiver_hears_as_many(seed, n, degree, loops):
    key = jax.random.key(seed)
    degree = min(degree, n if loops else n - 1)
    mask = fixed_in_degree(key, n, n, degree, loops=loops)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask.sum(axis=0), degree)
    assert loops or not np.any(np.diag(mask))
    np.testing.assert_array_equal(mask, fixed_in_degree(key, n, n, degree, loops=loops))


def test_senders_are_drawn_evenly():
    mask = fixed_in_degree(jax.random.key(0), 10, 5000, 3)
    # Each is chosen with probability 0.3: five standard deviations of 5000 draws.
    np.testing.assert_allclose(mask.mean(axis=1), 0.3, atol=5 * np.sqrt(0.21 / 5000))


def test_probability():
    key = jax.random.key(0)
    mask = random(key, 200, 100, 0.25)
    assert abs(mask.mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / mask.size)
    assert random(key, 3, 2, 1.0).all()
    assert not random(key, 3, 2, 0.0).any()
    np.testing.assert_array_equal(random(key, 3, 3, 1.0, loops=False), ~one_to_one(3))


@given(st.integers(0, 2**31 - 1), st.sampled_from([(0, 3), (4, 4)]))
@settings(max_examples=10, deadline=None)
def test_a_key_draws_the_same(seed, sizes):
    key, (n, m) = jax.random.key(seed), sizes
    mask = random(key, n, m, 0.5)
    assert mask.shape == (n, m)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, random(key, n, m, 0.5))
    alone = random(key, n, n, 0.5, loops=False)
    assert not np.any(np.diag(alone))


def test_errors_of_random_patterns():
    key = jax.random.key(0)
    for value in (-0.1, 1.1, np.nan):
        with fails(ValueError, "`probability` must lie between 0 and 1"):
            random(key, 2, 2, value)
    with fails(TypeError, "`probability` must be a number; got 'x'"):
        random(key, 2, 2, "x")
    with fails(ValueError, "`loops` must be True", "2 senders and 3 receivers"):
        random(key, 2, 3, 0.5, loops=False)
    with fails(ValueError, "`degree` must not be above 2", "got 3"):
        fixed_in_degree(key, 3, 3, 3, loops=False)
    with fails(ValueError, "`degree` must be at least 0"):
        fixed_in_degree(key, 3, 3, -1)
    with fails(ValueError, "`n` must be at least 0"):
        one_to_one(-1)


# Places -------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.floats(0.5, 4.0))
@settings(max_examples=20, deadline=None)
def test_places_of_a_grid(sizes, spacing):
    places = grid(*sizes, spacing=spacing)
    # In the order of the entries of an array of that shape.
    truth = [np.array(index) * spacing for index in np.ndindex(*sizes)]
    np.testing.assert_allclose(places, truth)


@given(st.integers(1, 5), st.integers(1, 5), st.floats(0.5, 4.0))
@settings(max_examples=30, deadline=None)
def test_neighbours_on_a_grid(rows, columns, radius):
    places = grid(rows, columns, spacing=2.0)
    mask = by_distance(places, places, lambda d: d <= 2 * radius)
    torus = by_distance(
        places, places, lambda d: d <= 2 * radius, period=[2 * rows, 2 * columns]
    )
    cells = [(i, j) for i in range(rows) for j in range(columns)]
    around = lambda a, n: min(a % n, -a % n)  # noqa: E731
    for k, (i, j) in enumerate(cells):
        for n, (p, q) in enumerate(cells):
            assert mask[k, n] == (np.hypot(i - p, j - q) <= radius)
            far = np.hypot(around(i - p, rows), around(j - q, columns))
            assert torus[k, n] == (far <= radius)


def test_probability_that_falls_with_distance():
    line = grid(400)
    key = jax.random.key(3)
    mask = by_distance(line, line, lambda d: np.exp(-d / 20), key)
    apart = np.abs(np.subtract.outer(np.arange(400), np.arange(400)))
    for low, high in ((1, 10), (20, 40), (60, 100)):
        where = (apart >= low) & (apart < high)
        chance = np.exp(-apart[where] / 20)
        error = mask[where].sum() - chance.sum()
        assert abs(error) < 5 * np.sqrt(np.sum(chance * (1 - chance)))


def test_errors_of_places(unchecked):
    line = grid(3)
    with fails(ValueError, "`sizes` must be one number or more"):
        grid()
    with fails(ValueError, "`sizes` must be at least 1; got 0"):
        grid(0)
    with fails(ValueError, "`spacing` must be positive"):
        grid(2, spacing=0.0)
    with fails(ValueError, "`receivers` must be coordinates", "(4, 2)"):
        by_distance(line, grid(2, 2), lambda d: d < 1)
    with fails(ValueError, "`senders` must be coordinates", "(3,)"):
        by_distance(np.arange(3), line, lambda d: d < 1)
    with fails(ValueError, "`period` must be positive"):
        by_distance(line, line, lambda d: d < 1, period=0)
    with fails(ValueError, "`probability` must return", "between 0.0 and 2.0"):
        by_distance(line, line, lambda d: d)
    with fails(ValueError, "`probability` must return", "(3, 3)", "(3,)"):
        by_distance(line, line, lambda d: d[0])
    with fails(ValueError, "`key` must be given", "`probability`"):
        by_distance(line, line, lambda d: d / 2)


# Images -------------------------------------------------------------------------------


def windows(size, kernel, stride, padding):
    """The pixels in each window, row by row, and how many windows there are."""
    pixels = np.arange(size[0] * size[1]).reshape(size)
    pixels = np.pad(pixels, [(p, p) for p in padding], constant_values=-1)
    seen = np.lib.stride_tricks.sliding_window_view(pixels, kernel)
    seen = seen[:: stride[0], :: stride[1]]
    return seen.reshape(-1, kernel[0] * kernel[1]), seen.shape[:2]


PAIRS = st.tuples(st.integers(1, 4), st.integers(1, 4))


@given(PAIRS, PAIRS, PAIRS, PAIRS, st.tuples(st.integers(0, 2), st.integers(0, 2)))
@settings(max_examples=50, deadline=None)
def test_windows(size, channels, kernel, stride, padding):
    kernel = tuple(
        min(k, s + 2 * p) for k, s, p in zip(kernel, size, padding, strict=True)
    )
    how = {"stride": stride, "padding": padding}
    seen, shape = windows(size, kernel, **how)
    assert image_size(size, kernel, **how) == shape
    (n, m), pixels = channels, size[0] * size[1]
    full = conv2d(size, channels, kernel, **how).reshape(n, pixels, m, len(seen))
    within = pool2d(size, n, kernel, **how).reshape(n, pixels, n, len(seen))
    for k, window in enumerate(seen):
        chosen = np.isin(np.arange(pixels), window)
        for a in range(n):
            np.testing.assert_array_equal(full[a, :, :, k], np.tile(chosen, (m, 1)).T)
            for b in range(n):
                np.testing.assert_array_equal(within[a, :, b, k], chosen & (a == b))


def test_neurons_are_numbered_as_convolutions_number_pixels():
    """Those of JAX, flattened: which inputs the derivative of one depends on."""
    convolve = lambda image: jax.lax.conv_general_dilated(  # noqa: E731
        image.reshape(1, 2, 4, 3), jnp.ones((3, 2, 2, 3)), (2, 1), [(1, 1), (0, 2)]
    ).reshape(-1)
    # A padding of one side only is none of ours, so that of the right one is cut off.
    seen = np.asarray(jax.jacobian(convolve)(jnp.zeros(24))).T != 0
    ours = conv2d((4, 3), (2, 3), (2, 3), stride=(2, 1), padding=(1, 2))
    ours = ours.reshape(24, 3, 3, 5)[..., 2:].reshape(24, -1)
    np.testing.assert_array_equal(ours, seen)


def test_pooling_by_default_has_no_overlap():
    mask = pool2d((4, 6), 2, (2, 3))
    assert mask.shape == (48, 8)
    np.testing.assert_array_equal(mask.sum(axis=1), 1)
    np.testing.assert_array_equal(mask.sum(axis=0), 6)


def test_errors_of_images(unchecked):
    with fails(ValueError, "`kernel` must fit", "4 pixels; got 5", "`padding`"):
        conv2d((2, 8), (1, 1), 5, padding=1)
    with fails(ValueError, "`stride` must be at least 1; got 0"):
        conv2d((4, 4), (1, 1), 2, stride=0)
    with fails(TypeError, "`size` must be a number or a pair", "(1, 2, 3)"):
        pool2d((1, 2, 3), 1, 1)
    with fails(TypeError, "`channels` must be a whole number; got 1.5"):
        pool2d((2, 2), 1.5, 1)


# The page -----------------------------------------------------------------------------


def test_the_page_says_what_is_so(capsys):
    page = Path(__file__).resolve().parents[1] / "docs" / "connectivity.md"
    blocks = re.findall(
        r"```(python|text)\n(.*?)```", page.read_text("utf-8"), re.DOTALL
    )
    names, nets = {}, []
    for kind, block in blocks:
        if kind == "text":
            assert repr(names["shape"]) == block.strip()
            continue
        exec(compile(block, str(page), "exec"), names)  # our own text
        nets.append(names["net"])
    # By hand and by a builder.
    assert nets[0] is not nets[1]
    assert eqx.tree_equal(nets[0], nets[1])
    assert names["recurrent"].shape == (256, 256)
    assert names["batch"].times.shape == (2, 400)
    again = list_batch(names["packed"].as_list(), 700)
    np.testing.assert_array_equal(again.times, names["batch"].times)
    np.testing.assert_array_equal(again.channels, names["batch"].channels)
    assert "750 spikes" in capsys.readouterr().out
