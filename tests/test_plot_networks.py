"""What pictures of connections hold."""

import re

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from eventax import EvNN, FFEvNN, plot
from eventax.neuron_models import AMOS, EGRU, LI, LIF, MultiNeuronModel

mpl.use("Agg")
INF, NAN = np.inf, np.nan
KEY = jax.random.PRNGKey(0)
LIF_KEYWORDS = {"thresh": 1.0, "tsyn": 5.0, "tmem": 10.0, "init_bias": 0.0}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def fails(error, *words):
    """The error's message holds all of these, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(w) for w in words))


def layered(**keywords):
    weights = np.arange(1.0, 85.0).reshape(12, 7)
    keywords = LIF_KEYWORDS | {"init_weights": weights} | keywords
    return FFEvNN([4, 2, 1], 5, LIF, 50.0, **keywords), weights


def cells(ax):
    return np.ma.filled(ax.images[0].get_array(), NAN)


# -- connectivity ----------------------------------------------------------------------


def test_weights_that_exist_are_shown():
    net, weights = layered()
    ax = plot.connectivity(net)
    exist = np.asarray(net.get_wmask()) > 0
    np.testing.assert_array_equal(cells(ax), np.where(exist, weights, NAN))
    low, high = ax.images[0].get_clim()
    assert low == -high  # so that the middle colour is 0
    assert high == weights[exist].max()
    assert ax.get_ylim() == (11.5, -0.5)  # senders downwards
    assert ax.get_xlim() == (-0.5, 6.5)
    above, beside = ax.child_axes
    names = [label.get_text() for label in above.get_xticklabels()]
    assert names == ["layer 0", "layer 1", "output"]
    np.testing.assert_allclose(above.get_xticks(), [1.5, 4.5, 6.0])
    names = [label.get_text() for label in beside.get_yticklabels()]
    assert names == ["layer 0", "layer 1", "output", "input"]
    np.testing.assert_allclose(beside.get_yticks(), [1.5, 4.5, 6.0, 9.0])


def test_a_weight_of_0_is_a_connection():
    net, _ = layered(init_weights=0.0)
    shown = cells(plot.connectivity(net))
    exist = np.asarray(net.get_wmask()) > 0
    np.testing.assert_array_equal(shown == 0, exist)


def test_a_mask_is_shown_as_one():
    net, _ = layered()
    ax = plot.connectivity(net.get_wmask())
    np.testing.assert_array_equal(cells(ax), net.get_wmask())
    assert ax.images[0].get_clim() == (0, 1)
    assert ax.images[0].colorbar is None
    ax = plot.connectivity([[0.0, -2.0], [NAN, 1.0]])
    np.testing.assert_array_equal(cells(ax), [[NAN, -2.0], [NAN, 1.0]])
    assert ax.images[0].colorbar.ax.get_ylabel() == "weight"


def test_large_networks_are_shown_in_blocks():
    rng = np.random.default_rng(0)
    mask = rng.integers(2, size=(2500, 7))
    ax = plot.connectivity(mask)
    shown = cells(ax)
    assert shown.shape == (834, 3)
    assert shown[1, 1] == pytest.approx(mask[3:6, 3:6].mean())
    assert shown[-1, -1] == pytest.approx(mask[2499:, 6:].mean())
    assert ax.get_ylim() == (2499.5, -0.5)
    assert ax.images[0].get_extent()[1] == 8.5  # three whole blocks
    weights = np.where(mask, rng.normal(size=mask.shape), 0)
    weights[3:6, 3:6] = 0
    shown = cells(plot.connectivity(weights))
    assert np.isnan(shown[1, 1])
    block = weights[3:6, :3]
    assert shown[1, 0] == pytest.approx(block[block != 0].mean())


def test_groups_that_are_not_in_order_have_no_names():
    outputs = jnp.array([True, False, True])
    net = EvNN(
        LIF,
        3,
        50.0,
        1,
        output_neurons=outputs,
        init_weights=1.0,
        **LIF_KEYWORDS,
    )
    above, beside = plot.connectivity(net).child_axes
    assert [label.get_text() for label in above.get_xticklabels()] == ["neurons"]
    assert [label.get_text() for label in beside.get_yticklabels()] == [
        "neurons",
        "input",
    ]


def test_weights_of_several_models_and_wrappers():
    """Each model has the columns of its own neurons."""
    same = {"tsyn": 5.0, "tmem": 10.0, "init_bias": 0.0}
    first = np.arange(10.0).reshape(5, 2) + 1
    second = np.arange(5.0).reshape(5, 1) + 20
    net = EvNN(
        MultiNeuronModel,
        3,
        50.0,
        2,
        neuron_type_ids=np.array([0, 1, 0]),
        neuron_models=[AMOS(LIF), LI],
        neuron_model_kwargs=[
            same | {"thresh": 1.0, "init_weights": first},
            same | {"init_weights": second},
        ],
    )
    wanted = np.stack([first[:, 0], second[:, 0], first[:, 1]], axis=1)
    np.testing.assert_array_equal(cells(plot.connectivity(net)), wanted)


def test_wrong_arguments_of_connectivity():
    with fails(ValueError, "`synapses` must be an array of 2 axes", "(3,)"):
        plot.connectivity(np.zeros(3))
    with fails(TypeError, "`synapses` must be a number or an array of numbers"):
        plot.connectivity([["a"]])
    for draw in (plot.connectivity, plot.weights, plot.delays):
        with fails(TypeError, "`synapses` must be a number or an array", "got None"):
            draw(None)
    net = EvNN(EGRU, 1, 50.0, 1, KEY)
    for draw in (plot.connectivity, plot.weights):
        with fails(ValueError, "EGRU has no leaf `weights`", "get_wmask"):
            draw(net)
    assert plot.connectivity(net.neuron_model.W_u).images


# -- distributions ---------------------------------------------------------------------


def histograms(ax):
    """Densities and edges by label, of the outlines."""
    outlines = [patch for patch in ax.patches if not patch.get_fill()]
    return {patch.get_label(): patch.get_data()[:2] for patch in outlines}


@pytest.mark.parametrize("layer", [None, 0, 1, 2, -1])
def test_weights_by_layer(layer):
    net, weights = layered()
    blocks = [
        ("input → layer 0", weights[7:, :4]),
        ("layer 0 → layer 1", weights[:4, 4:6]),
        ("layer 1 → output", weights[4:6, 6:]),
    ]
    wanted = dict(blocks if layer is None else [blocks[layer]])
    ax = plot.weights(net, layer=layer)
    shown = histograms(ax)
    if layer is None:
        assert list(shown) == list(wanted)
    for (density, edges), block in zip(shown.values(), wanted.values(), strict=True):
        counts, _ = np.histogram(block, edges)
        assert counts.sum() == block.size
        np.testing.assert_allclose(density * np.diff(edges), counts / block.size)


def test_weights_of_recurrent_networks():
    outputs = jnp.array([False, True])
    keywords = LIF_KEYWORDS | {"init_weights": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]}
    mask = [[0, 1], [0, 1], [1, 1]]
    net = EvNN(LIF, 2, 50.0, 1, wmask=mask, output_neurons=outputs, **keywords)
    assert list(histograms(plot.weights(net))) == [
        "input → hidden",
        "input → output",
        "hidden → output",
        "output → output",
    ]


def test_delays_in_force():
    """Axonal ones add up with synaptic ones, and negative ones act as 0."""
    axonal = np.arange(12.0)
    net, _ = layered(init_delays=-3.0, init_axonal_delays=axonal)
    ax = plot.delays(net, layer=0)
    ((density, edges),) = histograms(ax).values()
    assert edges[0] == 7.0
    assert edges[-1] == 11.0
    counts, _ = np.histogram(np.repeat(axonal[7:], 4), edges)
    np.testing.assert_allclose(density * np.diff(edges), counts / 20, atol=1e-12)


def test_values_that_are_lost_are_counted():
    ax = plot.weights([1.0, 2.0, NAN, INF])
    assert [t.get_text() for t in ax.texts] == ["2 of the values are not finite"]
    net, _ = layered(init_weights=1.0)
    bad = net.neuron_model.weights.at[7, 0].set(NAN).at[0, 0].set(NAN)
    net = jax.tree.map(lambda x: bad if x.shape == bad.shape else x, net)
    for draw, what in ((plot.weights, "values"), (plot.connectivity, "weights")):
        # Only one of them is that of a connection.
        (text,) = [t.get_text() for t in draw(net).texts]
        assert text == f"1 of the {what} are not finite"


def test_wrong_arguments_of_distributions():
    net, _ = layered()
    with fails(ValueError, "`layer`", "0 (layer 0), 1 (layer 1), 2 (output)", "got 3"):
        plot.weights(net, layer=3)
    with fails(ValueError, "`layer` is a part of a network"):
        plot.weights([1.0], layer=0)
    with fails(ValueError, "no delays to show", "`init_delays`"):
        plot.delays(net)
    delayed, _ = layered(init_delays=1.0)
    with fails(ValueError, "`layer`", "got -4"):
        plot.delays(delayed, layer=-4)
    with fails(TypeError, "`synapses` must be a number or an array of numbers"):
        plot.weights(["a"])
