"""What all pictures have in common: Axes, labels, colours, odd amounts of data."""

import re
import sys
import warnings
from pathlib import Path

import jax
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from eventax import FFEvNN, plot
from eventax.neuron_models import LIF
from eventax.plot import _style

mpl.use("Agg")
INF, NAN = np.inf, np.nan


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def net():
    return FFEvNN(
        [3, 2],
        2,
        LIF,
        50.0,
        key=jax.random.PRNGKey(0),
        dlim=5.0,
        thresh=1.0,
        tsyn=5.0,
        tmem=10.0,
        wlim=1.0,
        wmean=5.0,
        init_bias=0.0,
    )


def fails(error, *words):
    """The error's message holds all of these, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(w) for w in words))


SQUARE = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
INPUTS = np.array([[1.0], [2.0]])

# Everything that can be drawn, with little data.
USUAL = {
    "raster of arrays": lambda ax, _: plot.raster([[1.0, INF]], INPUTS, ax=ax),
    "raster of a network": lambda ax, net: plot.raster(net, INPUTS, ax=ax),
    "traces of arrays": lambda ax, _: plot.traces([[0.0, 1.0]], times=[0, 1], ax=ax),
    "traces of a network": lambda ax, net: plot.traces(net, INPUTS, ax=ax),
    "connectivity of arrays": lambda ax, _: plot.connectivity(np.eye(2), ax=ax),
    "connectivity of a network": lambda ax, net: plot.connectivity(net, ax=ax),
    "weights of arrays": lambda ax, _: plot.weights([1.0, 2.0], ax=ax),
    "weights of a network": lambda ax, net: plot.weights(net, ax=ax),
    "delays of arrays": lambda ax, _: plot.delays([1.0, 2.0], ax=ax),
    "delays of a network": lambda ax, net: plot.delays(net, ax=ax),
    "latencies, curve": lambda ax, _: plot.latencies([1.0, INF], over=[0, 1], ax=ax),
    "latencies, map": lambda ax, _: plot.latencies(np.ones(4), over=SQUARE, ax=ax),
    "latencies, classes": lambda ax, _: plot.latencies(SQUARE, labels=[0] * 4, ax=ax),
    "learning curves": lambda ax, _: plot.learning_curves([2.0, 1.0], ax=ax),
    "confusion": lambda ax, _: plot.confusion([0, 1], [1, 1], ax=ax),
    "decision regions": lambda ax, _: plot.decision_regions(
        SQUARE, [0, 0, 1, -1], samples=SQUARE, labels=[0, 1, 0, 1], ax=ax
    ),
}


def test_every_function_is_here():
    assert {name.split()[0].rstrip(",") for name in USUAL} == {
        name.split("_")[0] for name in plot.__all__
    }


@pytest.mark.parametrize("name", plot.__all__)
def test_the_docs_have_a_picture_of_it(name):
    docs = Path(__file__).resolve().parents[1] / "docs"
    section = (docs / "plots.md").read_text("utf-8").split(f"## {name}\n")[1]
    pictures = re.findall(r"\]\((plots/.*?\.png)\)", section.split("\n## ")[0])
    assert pictures
    for picture in pictures:
        assert (docs / picture).stat().st_size < 30_000


@pytest.mark.parametrize("draw", USUAL.values(), ids=USUAL)
def test_draws_into_the_axes_or_a_new_figure(draw, net):
    _, (mine, other) = plt.subplots(1, 2)
    assert draw(mine, net) is mine
    assert not other.has_data()
    mine.figure.canvas.draw()
    new = draw(None, net)
    assert isinstance(new, Axes)
    assert new.figure is not mine.figure
    assert new.get_xlabel()
    assert new.get_ylabel()


@pytest.mark.parametrize("draw", USUAL.values(), ids=USUAL)
@pytest.mark.parametrize("wrong", ["x", 3])
def test_an_axes_that_is_none(draw, wrong, net):
    with fails(TypeError, "`ax` must be one matplotlib Axes", type(wrong).__name__):
        draw(wrong, net)


@pytest.mark.parametrize("draw", USUAL.values(), ids=USUAL)
def test_matplotlib_is_missing(draw, net, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with fails(ImportError, "eventax.plot needs matplotlib", "eventax[plot]"):
        draw(None, net)


def test_units_are_in_labels(net):
    timed = {
        "raster": lambda **unit: plot.raster([[1.0]], **unit).get_xlabel(),
        "traces": lambda **unit: plot.traces([[0.0]], times=[1.0], **unit).get_xlabel(),
        "delays": lambda **unit: plot.delays([1.0], **unit).get_xlabel(),
        "latencies": lambda **unit: plot.latencies(
            [1.0], over=[1.0], **unit
        ).get_ylabel(),
    }
    for label in timed.values():
        assert label().endswith(" (ms)")
        assert label(unit="s").endswith(" (s)")
        assert "(" not in label(unit=None)


# Nothing at all, and neurons that never fire.
ODD = {
    "no neurons": lambda: plot.raster(np.zeros((0, 3))),
    "silent neurons": lambda: plot.raster(np.full((3, 2), INF)),
    "no times": lambda: plot.raster([], neurons=[]),
    "one spike": lambda: plot.raster([[1.0]]),
    "no states": lambda: plot.traces(np.zeros((0, 3)), times=[0, 1, 2]),
    "no times of states": lambda: plot.traces(np.zeros((2, 0)), times=[]),
    "many neurons at no time": lambda: plot.traces(np.zeros((9, 0)), times=[]),
    "states that are NaN": lambda: plot.traces([[NAN, NAN]], times=[0, 1]),
    "many states that are NaN": lambda: plot.traces(np.full((9, 2), NAN), times=[0, 1]),
    "states at rest": lambda: plot.traces([[0.0, 0.0]], times=[0, 1]),
    "no connectivity": lambda: plot.connectivity(np.zeros((0, 0))),
    "no connections": lambda: plot.connectivity(np.zeros((3, 2))),
    "one connection": lambda: plot.connectivity([[2.0]]),
    "weights that are NaN": lambda: plot.connectivity([[NAN, INF]]),
    "no weights": lambda: plot.weights([]),
    "one weight": lambda: plot.weights([2.0]),
    "equal weights": lambda: plot.weights(np.full(9, 0.1, np.float32)),
    "no delays": lambda: plot.delays([]),
    "no latencies": lambda: plot.latencies([], over=[]),
    "no outputs": lambda: plot.latencies(np.zeros((3, 0)), over=[0, 1, 2]),
    "silent outputs": lambda: plot.latencies(np.full((3, 2), INF), over=[0, 1, 2]),
    "many silent outputs": lambda: plot.latencies(
        np.full((3, 20), INF), over=[0, 1, 2]
    ),
    "a silent map": lambda: plot.latencies(np.full(4, INF), over=SQUARE),
    "a map of one point": lambda: plot.latencies([1.0], over=[[0, 0]]),
    "no map": lambda: plot.latencies([], over=np.zeros((0, 2))),
    "silent classes": lambda: plot.latencies(np.full((3, 2), INF), labels=[0, 1, 1]),
    "no classes": lambda: plot.latencies(np.zeros((0, 2)), labels=[]),
    "no curves": lambda: plot.learning_curves({}),
    "no steps": lambda: plot.learning_curves([]),
    "no runs": lambda: plot.learning_curves(np.zeros((0, 3))),
    "no steps, logarithmic": lambda: plot.learning_curves([], log=True, window=3),
    "one step": lambda: plot.learning_curves([1.0], window=3),
    "losses that are NaN": lambda: plot.learning_curves([NAN, NAN], log=True),
    "losses that are 0": lambda: plot.learning_curves([0.0, 0.0], log=True),
    "no samples": lambda: plot.confusion([], []),
    "no answers": lambda: plot.confusion([-1, -1], [0, 1]),
    "no points": lambda: plot.decision_regions(np.zeros((0, 2)), []),
    "no class anywhere": lambda: plot.decision_regions(SQUARE, [-1] * 4),
}


@pytest.mark.parametrize("draw", ODD.values(), ids=ODD)
def test_little_data(draw):
    """No error, no warning, and a picture that can be drawn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw().figure.canvas.draw()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no neurons", "no spikes"),
        ("silent neurons", "no spikes"),
        ("no states", "no states"),
        ("no connectivity", "no connections"),
        ("weights that are NaN", "1 of the weights are not finite"),
        ("no weights", "no connections"),
        ("silent outputs", "no spikes"),
        ("a silent map", "no spikes"),
        ("silent classes", "no spikes"),
        ("no steps", "no values"),
        ("losses that are NaN", "no values above 0"),
        ("losses that are 0", "no values above 0"),
        ("no samples", "no samples"),
        ("no points", "no points"),
    ],
)
def test_an_empty_picture_says_why(name, words):
    assert words in [text.get_text() for text in ODD[name]().texts]


N = 10_000
RNG = np.random.default_rng(0)
MANY = {
    "raster": lambda: plot.raster(RNG.uniform(0, 50, (N, 3)), np.zeros((N, 1))),
    "traces": lambda: plot.traces(RNG.normal(size=(N, 50)), times=np.arange(50)),
    "connectivity": lambda: plot.connectivity(RNG.normal(size=(N, 50))),
    "mask": lambda: plot.connectivity(RNG.integers(2, size=(50, N))),
    "weights": lambda: plot.weights(RNG.normal(size=(N, 10))),
    "latencies over inputs": lambda: plot.latencies(
        RNG.uniform(0, 50, (20, N)), over=np.arange(20)
    ),
    "latencies of classes": lambda: plot.latencies(
        RNG.uniform(0, 50, (20, N)), labels=np.arange(20)
    ),
    "learning curves": lambda: plot.learning_curves(RNG.normal(size=(N, 20))),
    "confusion": lambda: plot.confusion(
        RNG.integers(100, size=N), RNG.integers(100, size=N)
    ),
    "regions": lambda: plot.decision_regions(
        RNG.random((N, 2)), RNG.integers(20, size=N)
    ),
}


@pytest.mark.parametrize("draw", MANY.values(), ids=MANY)
def test_ten_thousand(draw):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = draw()
        ax.figure.canvas.draw()
    assert len(ax.get_children()) < 500


# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(colours, blindness):
    """CIELAB (D65) of colours as seen with a kind of colour blindness."""
    rgb = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.transpose(BLINDNESS[blindness]), 0, 1)
    to_xyz = [
        [0.4124, 0.3576, 0.1805],
        [0.2126, 0.7152, 0.0722],
        [0.0193, 0.1192, 0.9505],
    ]
    xyz = linear @ np.transpose(to_xyz) / [0.9505, 1.0, 1.089]
    small = xyz <= (6 / 29) ** 3
    f = np.where(small, xyz / (3 * (6 / 29) ** 2) + 4 / 29, np.cbrt(xyz))
    x, y, z = f.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_colours_are_told_apart(blindness):
    """A difference of 2 is just seen side by side, 10 at a glance."""
    seen = lab([*_style.PALETTE, "white"], blindness)
    distances = np.linalg.norm(seen[:, None] - seen, axis=-1)
    assert distances[~np.eye(len(seen), dtype=bool)].min() > 10


def test_more_colours_than_the_palette_has():
    assert _style.colours(6) == list(_style.PALETTE)
    assert len({tuple(colour) for colour in _style.colours(40)}) == 40
