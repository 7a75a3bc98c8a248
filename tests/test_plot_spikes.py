"""What pictures of spikes and states hold, against what the network says itself."""

import re

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from eventax import EvNN, FFEvNN, plot
from eventax.neuron_models import (
    ALIF,
    AMOS,
    LI,
    LIF,
    QIF,
    MultiNeuronModel,
    NeuronModel,
    Refractory,
)
from eventax.plot import _states

mpl.use("Agg")
INF, NAN = np.inf, np.nan
KEY = jax.random.PRNGKey(0)
LIF_KEYWORDS = {"thresh": 1.0, "tsyn": 5.0, "tmem": 10.0, "init_bias": 0.0}
WEIGHTS = {"wmean": 3.0, "wlim": 2.0}
INPUTS = jnp.array([[1.0, 20.0], [3.0, INF]])


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def fails(error, *words):
    """The error's message holds all of these, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(w) for w in words))


@pytest.fixture(scope="module")
def layered():
    return FFEvNN([3, 2], 2, LIF, 50.0, KEY, **LIF_KEYWORDS, **WEIGHTS)


@pytest.fixture(scope="module")
def recurrent():
    """Outputs are neurons 0 and 2."""
    outputs = jnp.array([True, False, True, False])
    within = jax.random.uniform(KEY, (4, 4), minval=-0.5, maxval=0.5)
    weights = jnp.concatenate([within, jnp.full((2, 4), 4.0)])
    return EvNN(
        LIF,
        4,
        50.0,
        2,
        output_neurons=outputs,
        init_weights=weights,
        **LIF_KEYWORDS,
    )


def marks(ax):
    """Sorted (time, height) of each line by its label."""
    return {
        line.get_label(): sorted(np.transpose(line.get_data()).tolist())
        for line in ax.lines
    }


def spikes_of(net, inputs, neurons):
    times, who, _ = net.record(inputs)
    pairs = zip(np.asarray(times).tolist(), np.asarray(who).tolist(), strict=True)
    return sorted([t, n] for t, n in pairs if n in neurons)


# -- raster ----------------------------------------------------------------------------


def test_raster_of_layers(layered):
    ax = plot.raster(layered, INPUTS)
    found = marks(ax)
    assert list(found) == ["hidden", "output", "input"]
    assert found["hidden"] == spikes_of(layered, INPUTS, range(3))
    assert found["output"] == spikes_of(layered, INPUTS, (3, 4))
    assert found["hidden"]
    assert found["output"]
    assert [t for t, _ in found["input"]] == [1.0, 3.0, 20.0]
    first, second = {y for t, y in found["input"] if t != 3}, found["input"][1][1]
    assert first == {second - 1}  # one row for each channel, below neuron 0
    assert second < 0
    low, high = ax.get_xlim()
    assert low < 0 < 50 < high
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(found)
    colours = {line.get_color() for line in ax.lines}
    assert len(colours) == 3


def test_many_inputs_take_a_third_of_the_height():
    inputs = np.arange(900.0).reshape(900, 1)
    ax = plot.raster(np.zeros((100, 1)), inputs)
    low, high = ax.get_ylim()
    assert high == 99.5
    assert 0.3 < (0 - low) / (high - low) < 0.36
    heights = ax.lines[1].get_ydata()
    assert np.all(np.diff(heights) > 0)
    assert low < heights[0] < heights[-1] < -0.5
    ticks = ax.get_yticks()
    assert ticks.min() == 0
    np.testing.assert_array_equal(ticks, ticks.round())


def test_raster_of_hidden_and_output_neurons(recurrent):
    found = marks(plot.raster(recurrent, INPUTS))
    assert found["output"] == spikes_of(recurrent, INPUTS, (0, 2))
    assert found["hidden"] == spikes_of(recurrent, INPUTS, (1, 3))
    assert found["output"]


@pytest.mark.parametrize(("layer", "rows"), [(0, (0, 1, 2)), (1, (3, 4)), (-1, (3, 4))])
def test_raster_of_one_layer(layered, layer, rows):
    ax = plot.raster(layered, INPUTS, layer=layer)
    (line,) = ax.lines
    times_and_rows = sorted(np.transpose(line.get_data()).tolist())
    assert times_and_rows == spikes_of(layered, INPUTS, rows)
    assert ax.get_ylim() == (rows[0] - 0.5, rows[-1] + 0.5)
    whole = plot.raster(layered, INPUTS).lines[rows[0] // 3]
    assert line.get_color() == whole.get_color()


def test_raster_of_arrays(layered):
    times, neurons, _ = layered.record(INPUTS)
    listed = plot.raster(times, neurons=neurons)
    rows = np.full((5, 40), -1.0)
    for t, n in spikes_of(layered, INPUTS, range(5)):
        rows[n, np.argmax(rows[n] == -1)] = t
    trains = plot.raster(rows, no_spike=-1.0)
    wanted = spikes_of(layered, INPUTS, range(5))
    for ax in (listed, trains):
        (line,) = ax.lines
        np.testing.assert_allclose(
            sorted(np.transpose(line.get_data()).tolist()), wanted, rtol=1e-6
        )
        assert ax.get_ylim() == (-0.5, 4.5)


def test_a_silent_network_says_so(layered):
    ax = plot.raster(layered, jnp.full((2, 2), INF))
    assert [text.get_text() for text in ax.texts] == ["no spikes"]
    ax = plot.raster(
        layered, jnp.array([[49.0, INF], [INF, INF]])
    )  # an input, and no spike
    assert [text.get_text() for text in ax.texts] == ["no spikes"]
    assert len(marks(ax)["input"]) == 1


def test_more_events_than_the_network_allows():
    """Of a network without input, and with another value for no spike."""
    net = EvNN(
        LIF,
        1,
        50.0,
        0,
        init_weights=0.0,
        max_event_steps=3,
        output_no_spike_value=-7.0,
        **LIF_KEYWORDS | {"init_bias": 1.5},
    )
    for draw in (plot.raster, plot.traces):
        with pytest.raises(RuntimeError, match="`max_event_steps` = 3 was reached"):
            draw(net)
        with fails(ValueError, "`max_event_steps` must be at least 1"):
            draw(net, max_event_steps=0)
    (line,) = plot.raster(net, max_event_steps=9).lines
    wanted = 10 * np.log(3) * np.arange(1, 5)
    np.testing.assert_allclose(line.get_xdata(), wanted, rtol=1e-5)
    spikes = plot.traces(net, max_event_steps=9).lines[2]
    assert spikes.get_label() == "spike"
    np.testing.assert_allclose(spikes.get_xdata(), wanted, rtol=1e-5)


def test_wrong_arguments_of_raster(layered, recurrent):
    times = np.array([1.0, 2.0, 3.0])
    with fails(ValueError, "`neurons`", "each of `spikes`, 3", "got 2"):
        plot.raster(times, neurons=[0, 1])
    with fails(ValueError, "`neurons` must be given", "(3,)", "spikes[None]"):
        plot.raster(times)
    with fails(ValueError, "`neurons` must be whole numbers", "float"):
        plot.raster(times, neurons=[0.0, 1.5, 2.0])
    with fails(ValueError, "`neurons` goes with (k,) `spikes`", "(1, 3)"):
        plot.raster(times[None], neurons=[0])
    with fails(ValueError, "`spikes` must be an array of 1 or 2 axes", "(1, 1, 3)"):
        plot.raster(times[None, None])
    with fails(TypeError, "`spikes` must be a number or an array of numbers"):
        plot.raster(["a"])
    with fails(ValueError, "`in_spike_times`", "2 axes", "(3,)"):
        plot.raster(times[None], times)
    with fails(ValueError, "`layer` is a part of a network"):
        plot.raster(times[None], layer=0)
    with fails(ValueError, "`layer`", "0 (hidden), 1 (output)", "got 2"):
        plot.raster(layered, INPUTS, layer=2)
    with fails(ValueError, "`layer`", "0 (hidden), 1 (output)", "got -3"):
        plot.raster(recurrent, INPUTS, layer=-3)
    with fails(ValueError, "`neurons`", "give `layer`"):
        plot.raster(layered, INPUTS, neurons=[0])
    with fails(ValueError, "`in_spike_times`", "(2, K)", "(3, 1)"):
        plot.raster(layered, jnp.zeros((3, 1)))


# -- traces ----------------------------------------------------------------------------


def test_traces_of_outputs(recurrent):
    times = np.linspace(0.0, 50.0, 101)
    ax = plot.traces(recurrent, INPUTS, times=times)
    states = np.asarray(recurrent.state_at_t(INPUTS, times))[..., 0]
    drawn = {line.get_label(): line for line in ax.lines}
    for row, neuron in enumerate((0, 2)):
        spikes = [t for t, _ in spikes_of(recurrent, INPUTS, (neuron,))]
        x, y = drawn[f"neuron {neuron}"].get_data()
        gaps = np.isnan(y)
        np.testing.assert_allclose(x[gaps], spikes)
        np.testing.assert_allclose(x[~gaps], times)
        np.testing.assert_allclose(y[~gaps], states[row], atol=1e-6)
        assert np.all(np.diff(x) >= 0)
        marked = [line.get_xdata() for line in ax.lines if line.get_marker() == "v"]
        np.testing.assert_allclose(marked[row], spikes)
    np.testing.assert_allclose(drawn["threshold"].get_ydata(), 1.0, atol=1e-6)
    np.testing.assert_allclose(sorted(drawn["input spike"].get_xdata()), [1, 3, 20])


def test_traces_of_hidden_neurons(layered):
    """Which `state_at_t` does not show: against a network of the first layer alone."""
    times = np.linspace(0.0, 50.0, 101)
    weights = layered.neuron_model.weights[jnp.array([0, 1, 2, 5, 6]), :3]
    first = FFEvNN([3], 2, LIF, 50.0, init_weights=weights, **LIF_KEYWORDS)
    wanted = np.asarray(first.state_at_t(INPUTS, times))
    for channel in (0, 1):
        ax = plot.traces(layered, INPUTS, times=times, neurons=[2, 0], channel=channel)
        for line, neuron in zip(ax.lines, (2, 0), strict=False):
            y = line.get_ydata()
            seen = y[~np.isnan(y)]
            np.testing.assert_allclose(seen, wanted[neuron, :, channel], atol=1e-5)
        labels = {line.get_label() for line in ax.lines}
        assert ("threshold" in labels) == (channel == 0)
    assert ax.get_ylabel() == "state channel 1"


def thresholds(net, inputs, **keywords):
    ax = plot.traces(net, inputs, **keywords)
    return [line.get_ydata() for line in ax.lines if line.get_linestyle() == "--"]


def test_an_adaptive_threshold_is_a_state():
    net = EvNN(
        ALIF,
        1,
        100.0,
        0,
        tmem=10.0,
        ta=50.0,
        b0=1.0,
        beta=20.0,
        init_weights=0.0,
        init_bias=2.0,
    )
    times = np.linspace(0, 100, 51)
    (drawn,) = thresholds(net, None, times=times)
    np.testing.assert_allclose(drawn, net.state_at_t(None, times)[0, :, 1], rtol=1e-5)


def test_thresholds_of_several_models_in_wrappers():
    """Neurons 0 and 1 are of one model, 2 of another that never fires."""
    one = LIF_KEYWORDS | {"init_weights": 1.0}
    slow = {k: v for k, v in one.items() if k != "thresh"}
    net = FFEvNN(
        [2, 1],
        1,
        MultiNeuronModel,
        20.0,
        neuron_models=[Refractory(AMOS(LIF)), LI],
        neuron_model_kwargs=[one | {"thresh": [1.0, 3.0], "t_refrac": 1.0}, slow],
    )
    first, second = thresholds(net, jnp.array([[1.0]]), neurons=[0, 1, 2])
    np.testing.assert_allclose(first, 1.0, atol=1e-6)
    np.testing.assert_allclose(second, 3.0, atol=1e-6)
    (only,) = thresholds(net, jnp.array([[1.0]]), neurons=[1, 2])
    np.testing.assert_allclose(only, 3.0, atol=1e-6)
    assert not thresholds(net, jnp.array([[1.0]]), neurons=2)


def test_no_threshold_is_made_up():
    """A user's condition need not be a distance of the potential."""

    class Squared(LIF):
        def spike_condition(self, t, y, **kwargs):
            return y[:, 0] ** 2 - 4.0

    keywords = LIF_KEYWORDS | {"init_weights": 1.0}
    states = np.zeros((1, 5, 2))
    for model, wanted in ((LIF, 1.0), (Squared, NAN)):
        net = EvNN(model, 1, 5.0, 1, **keywords)
        seen = _states._threshold(net.neuron_model, states)
        np.testing.assert_array_equal(seen, np.full((5, 1), wanted))


def test_a_model_of_ones_own():
    class Leaky(NeuronModel):
        weights: jax.Array

        def __init__(self, key, n_neurons, in_size, wmask, dtype=jnp.float32):
            super().__init__(dtype=dtype)
            self.weights = 0.5 * jnp.asarray(wmask, dtype)

        def init_state(self, n_neurons):
            return jnp.zeros((n_neurons, 1), self.dtype)

        def dynamics(self, t, y, args):
            return -y / 10 + 0.2

        def spike_condition(self, t, y, **kwargs):
            return y[:, 0] - 1.0

        def input_spike(self, y, from_idx, to_idx, valid_mask):
            w = jnp.where(valid_mask, self.weights[from_idx, to_idx], 0.0)
            return y.at[to_idx, 0].add(w)

        def reset_spiked(self, y, spiked_mask):
            return jnp.where(spiked_mask[:, None], 0.0, y)

    net = EvNN(Leaky, 2, 20.0, 1, wmask=[[0, 1], [0, 0], [1, 0]])
    ax = plot.traces(net, jnp.array([[1.0]]))
    labels = [line.get_label() for line in ax.lines]
    assert labels[:2] == ["neuron 0", "neuron 1"]
    assert "threshold" not in labels
    assert plot.raster(net, jnp.array([[1.0]])).lines
    assert plot.connectivity(net).images


def test_what_is_infinite_stays_out_of_view():
    net = EvNN(
        QIF,
        1,
        100.0,
        0,
        tsyn=5.0,
        tmem=10.0,
        init_weights=0.0,
        init_bias=2.0,
    )
    ax = plot.traces(net)
    assert len(ax.lines[1].get_xdata()) > 1  # spikes
    y = ax.lines[0].get_ydata()
    assert np.nanmax(np.abs(y)) <= 1e3
    low, high = ax.get_ylim()
    assert -7 < low < -5
    assert 6 < high < 8


def test_traces_of_arrays():
    times = np.array([2.0, 0.0, 1.0])
    values = np.array([[0.2, 0.0, 0.1], [2.0, 0.0, 1.0], [5.0, 5.0, 5.0]])
    states = np.stack([np.zeros((3, 3)), values], axis=-1)
    ax = plot.traces(
        states,
        np.array([[0.5, INF]]),
        times=times,
        neurons=[1, 0],
        channel=1,
        spikes=[[1.5, NAN], [INF, INF], [0.5, INF]],
        threshold=[3.0, 4.0, 5.0],
    )
    first, second, *rest = ax.lines
    np.testing.assert_array_equal(first.get_xdata(), [0, 1, 2])
    np.testing.assert_array_equal(first.get_ydata(), [0, 1, 2])
    np.testing.assert_array_equal(second.get_xdata(), [0, 1, 1.5, 2])
    np.testing.assert_array_equal(second.get_ydata(), [0, 0.1, NAN, 0.2])
    levels = [line.get_ydata()[0] for line in rest if line.get_linestyle() == "--"]
    assert levels == [4.0, 3.0]
    (own,) = [line.get_xdata() for line in rest if line.get_marker() == "v"]
    np.testing.assert_array_equal(own, [1.5])
    (arriving,) = [line.get_xdata() for line in rest if line.get_marker() == "^"]
    np.testing.assert_array_equal(arriving, [0.5])


def test_many_traces_are_bands():
    values = np.random.default_rng(0).normal(size=(40, 6))
    values[3] = NAN
    values[:, 5] = NAN
    ax = plot.traces(values, times=np.arange(6), threshold=2.0)
    wanted = np.nanpercentile(values[:, :5], (0, 25, 50, 75, 100), axis=0)
    median = {line.get_label(): line.get_ydata() for line in ax.lines}["median"]
    np.testing.assert_allclose(median, [*wanted[2], NAN])
    for area, rows in zip(ax.collections, ((0, 4), (1, 3)), strict=True):
        heights = area.get_paths()[0].vertices[:, 1]
        assert heights.min() == pytest.approx(wanted[rows[0]].min())
        assert heights.max() == pytest.approx(wanted[rows[1]].max())


def test_wrong_arguments_of_traces(layered):
    states, times = np.zeros((2, 3)), np.arange(3)
    with fails(ValueError, "`times` must be given"):
        plot.traces(states)
    with fails(ValueError, "`times`", "the columns of `states`, 3", "got 2"):
        plot.traces(states, times=times[:2])
    with fails(ValueError, "`spikes`", "the rows of `states`, 2", "got 1"):
        plot.traces(states, times=times, spikes=[[1.0]])
    with fails(ValueError, "`threshold`", "the rows of `states`, 2", "got 3"):
        plot.traces(states, times=times, threshold=[1.0, 1.0, 1.0])
    with fails(ValueError, "`neurons` must lie between 0 and 1", "got 2"):
        plot.traces(states, times=times, neurons=2)
    with fails(ValueError, "`neurons` must lie between 0 and 4", "got -1"):
        plot.traces(layered, INPUTS, neurons=[-1])
    with fails(ValueError, "`channel` must lie between 0 and 1", "got 2"):
        plot.traces(layered, INPUTS, channel=2)
    with fails(ValueError, "`states` must be an array of 2 or 3 axes", "(3,)"):
        plot.traces(times, times=times)
    with fails(ValueError, "`threshold` goes with an array"):
        plot.traces(layered, INPUTS, threshold=1.0)
    with fails(ValueError, "`spikes` goes with an array"):
        plot.traces(layered, INPUTS, spikes=[[1.0]])
