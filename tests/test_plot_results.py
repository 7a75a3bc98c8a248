"""What pictures of results hold: latencies, curves, classes."""

import re

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from eventax import plot

mpl.use("Agg")
INF, NAN = np.inf, np.nan


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def fails(error, *words):
    """The error's message holds all of these, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(w) for w in words))


def lines(ax):
    return {line.get_label(): line for line in ax.lines}


# -- latencies -------------------------------------------------------------------------


def test_latencies_over_an_input():
    """Sorted by the input, with gaps and a cross where an output is silent."""
    times = np.array([[3.0, 6.0], [1.0, -1.0], [INF, 5.0]])
    over = np.array([2.0, 0.0, 1.0])
    target = np.array([30.0, 10.0, 20.0])
    ax = plot.latencies(
        times, over=over, target=target, names=["a", "b"], no_spike=-1.0
    )
    found = lines(ax)
    for name, wanted in (("a", [1, NAN, 3]), ("b", [NAN, 5, 6])):
        np.testing.assert_array_equal(found[name].get_xdata(), [0, 1, 2])
        np.testing.assert_array_equal(found[name].get_ydata(), wanted)
    np.testing.assert_array_equal(found["target"].get_ydata(), [10, 20, 30])
    crosses = [line for line in ax.lines if line.get_marker() == "x"]
    assert [line.get_xdata().tolist() for line in crosses] == [[1], [0]]
    colours = [found[name].get_color() for name in "ab"]
    assert [line.get_color() for line in crosses] == colours


def test_one_output_needs_no_name():
    ax = plot.latencies([2.0, 1.0], over=[0, 1])
    assert ax.get_legend() is None
    assert list(lines(plot.latencies(np.arange(4.0).reshape(2, 2), over=[0, 1]))) == [
        "output 0",
        "output 1",
    ]


def test_many_outputs_are_bands():
    times = np.random.default_rng(0).uniform(size=(4, 30))
    times[1, :3] = INF
    ax = plot.latencies(times, over=[3, 2, 1, 0])
    median = lines(ax)["median"].get_ydata()
    finite = np.where(np.isfinite(times), times, NAN)
    np.testing.assert_allclose(median, np.nanmedian(finite, axis=1)[::-1])


def test_a_map_of_a_grid():
    x, y = np.meshgrid([0.0, 1.0, 3.0], [0.0, 2.0])
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    times = np.arange(6.0)
    times[4] = INF
    ax = plot.latencies(times[::-1], over=points[::-1])
    (mesh,) = ax.collections
    np.testing.assert_array_equal(
        np.ma.filled(mesh.get_array(), NAN), [[0, 1, 2], [3, NAN, 5]]
    )
    assert mesh.get_clim() == (0, 5)
    assert mesh.colorbar.ax.get_ylabel() == "first spike (ms)"
    ax = plot.latencies(times, over=points, limits=(1, 9), names=["dots"])
    assert ax.collections[0].get_clim() == (1, 9)
    assert ax.get_title() == "dots"


def test_a_map_of_points_that_were_drawn():
    points = np.random.default_rng(0).random((50, 2))
    times = np.where(points[:, 0] > 0.5, 10 * points[:, 1], INF)
    (dots,) = plot.latencies(times, over=points).collections
    shown = np.isfinite(times)
    np.testing.assert_array_equal(dots.get_offsets(), points[shown])
    np.testing.assert_array_equal(dots.get_array(), times[shown])


def test_latencies_of_classes():
    times = np.array(
        [[1.0, 5.0, 7.0], [3.0, 4.0, INF], [INF, 2.0, 2.5], [9.0, INF, INF]]
    )
    ax = plot.latencies(times, labels=[0, 0, 0, 1], names=["a", "b", "c"])
    # Own outputs: 1, 3 and none; then none. First others: 5, 4, 2; then 9.
    medians = [line for line in ax.lines if len(line.get_xdata()) == 2]
    medians = [line for line in medians if np.ptp(line.get_ydata()) == 0]
    heights = {float(line.get_ydata()[0]) for line in medians}
    assert {2.0, 4.0, 9.0} <= heights
    assert [t.get_text() for t in ax.texts] == ["33 %", "100 %"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b", "c"]
    names = [t.get_text() for t in ax.get_legend().get_texts()]
    assert names == ["own output", "first other"]


def test_a_class_of_one_output():
    ax = plot.latencies([1.0, 2.0, 4.0], labels=[0, 0, 0])
    names = [t.get_text() for t in ax.get_legend().get_texts()]
    assert names == ["own output"]


def test_wrong_arguments_of_latencies():
    times = np.arange(6.0).reshape(3, 2)
    with fails(ValueError, "one of `over`", "`labels`"):
        plot.latencies(times)
    with fails(ValueError, "one of `over`", "`labels`"):
        plot.latencies(times, over=[0, 1, 2], labels=[0, 1, 1])
    with fails(ValueError, "`over`", "each of `times`, 3", "got 2"):
        plot.latencies(times, over=[0, 1])
    with fails(ValueError, "`target`", "each of `over`, 3", "got 1"):
        plot.latencies(times, over=[0, 1, 2], target=[0])
    with fails(ValueError, "`target` goes with `over` of shape (n,)"):
        plot.latencies(times, labels=[0, 1, 1], target=[0, 1, 2])
    with fails(ValueError, "`limits` goes with `over` of shape (n, 2)"):
        plot.latencies(times, over=[0, 1, 2], limits=(0, 1))
    for wrong in ((1, 0), (0, 1, 2), (0, NAN)):
        with fails(ValueError, "`limits` must be two times", str(wrong)):
            plot.latencies(times[:, 0], over=np.zeros((3, 2)), limits=wrong)
    with fails(ValueError, "`labels`", "each of `times`, 3", "got 2"):
        plot.latencies(times, labels=[0, 1])
    with fails(ValueError, "`labels` must lie between 0 and 1", "got 2"):
        plot.latencies(times, labels=[0, 1, 2])
    with fails(ValueError, "`labels` must be whole numbers", "float"):
        plot.latencies(times, labels=[0.0, 1.0, 0.5])
    with fails(ValueError, "`names` must be a list of 2 strings", "output", "['a']"):
        plot.latencies(times, over=[0, 1, 2], names=["a"])
    with fails(ValueError, "`times`", "1 or 2 axes", "(1, 3, 2)"):
        plot.latencies(times[None], over=[0])
    with fails(ValueError, "`over` of shape (n, 2)", "of one output", "(3, 2)"):
        plot.latencies(times, over=np.zeros((3, 2)))
    with fails(ValueError, "`over` of shape (n, 2)", "(3, 4)"):
        plot.latencies(times[:, 0], over=np.zeros((3, 4)))


# -- learning curves -------------------------------------------------------------------


def test_curves_by_name():
    curves = {"training": [3.0, 2.0, NAN], "validation": [4.0, 3.0]}
    ax = plot.learning_curves(curves, xlabel="epoch", ylabel="loss (mV)")
    found = lines(ax)
    assert list(found) == list(curves)
    np.testing.assert_array_equal(found["training"].get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(found["training"].get_ydata(), [3, 2, NAN])
    np.testing.assert_array_equal(found["validation"].get_xdata(), [1, 2])
    assert ax.get_xlabel() == "epoch"
    assert ax.get_ylabel() == "loss (mV)"
    assert ax.get_yscale() == "linear"
    assert plot.learning_curves([1.0], start=0).lines[0].get_xdata() == [0]


def test_runs_have_one_entry_in_the_legend():
    runs = np.arange(12.0).reshape(3, 4)
    ax = plot.learning_curves({"seeds": runs, "other": runs[:1]})
    assert [line.get_ydata().tolist() for line in ax.lines[:3]] == runs.tolist()
    assert len({line.get_color() for line in ax.lines[:3]}) == 1
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["seeds", "other"]


def test_moving_mean():
    values = np.array([[4.0, 2.0, 6.0, 1.0], [1.0, 1.0, 1.0, 4.0]])
    ax = plot.learning_curves(values, window=3)
    *raw, first, second = ax.lines
    assert [line.get_ydata().tolist() for line in raw] == values.tolist()
    np.testing.assert_allclose(first.get_xdata(), [2, 3])
    np.testing.assert_allclose(first.get_ydata(), [4, 3])
    np.testing.assert_allclose(second.get_ydata(), [1, 2])
    short = plot.learning_curves([1.0, 3.0], window=25).lines[-1]
    assert short.get_data() == ([1.5], [2.0])


def test_logarithmic_curves_leave_out_what_is_not_above_0():
    ax = plot.learning_curves([100.0, 0.0, 1.0, -1.0], log=True)
    assert ax.get_yscale() == "log"
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [100, NAN, 1, NAN])


def test_very_many_runs_are_bands():
    runs = np.random.default_rng(0).normal(size=(501, 3))
    ax = plot.learning_curves({"weights": runs})
    (line,) = ax.lines
    np.testing.assert_allclose(line.get_ydata(), np.median(runs, axis=0))
    names = [t.get_text() for t in ax.get_legend().get_texts()]
    assert names == ["weights: range", "middle half", "median"]


def test_wrong_arguments_of_learning_curves(unchecked):
    with fails(ValueError, "`curves['a']`", "1 or 2 axes", "()"):
        plot.learning_curves({"a": 1.0})
    with fails(ValueError, "`curves` must be", "(1, 1, 1)"):
        plot.learning_curves([[[1.0]]])
    with fails(TypeError, "`curves['a']` must be", "numbers"):
        plot.learning_curves({"a": ["x"]})
    with fails(ValueError, "`window` must be at least 1", "got 0"):
        plot.learning_curves([1.0], window=0)
    with fails(TypeError, "`start` must be", "'a'"):
        plot.learning_curves([1.0], start="a")


# -- confusion -------------------------------------------------------------------------


def test_confusion_counts():
    labels = np.array([0, 0, 0, 1, 1, 2])
    decided = np.array([0, 0, 1, 1, 1, 0])
    ax = plot.confusion(decided, labels)
    parts = [[2 / 3, 1 / 3, 0], [0, 1, 0], [1, 0, 0]]
    np.testing.assert_allclose(ax.images[0].get_array(), parts)
    counts = {t.get_position(): t.get_text() for t in ax.texts}
    assert counts == {(0, 0): "2", (1, 0): "1", (1, 1): "2", (0, 2): "1"}
    assert ax.get_title() == "accuracy 66.7 % of 6 samples"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "1", "2"]


def test_samples_without_an_answer_have_a_column():
    ax = plot.confusion([0, -1], [0, 1], names=["a", "b", "c"])
    parts = [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    np.testing.assert_array_equal(ax.images[0].get_array(), parts)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b", "c", "none"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b", "c"]


def test_counts_of_many_classes_are_not_written():
    ax = plot.confusion(np.arange(26), np.arange(26))
    assert not ax.texts
    assert ax.images[0].get_array().shape == (26, 26)
    assert len(plot.confusion(np.arange(25), np.arange(25)).texts) == 25


def test_wrong_arguments_of_confusion():
    with fails(ValueError, "`decided`", "each of `labels`, 2", "got 1"):
        plot.confusion([0], [0, 1])
    with fails(ValueError, "`labels` must be at least 0", "got -1"):
        plot.confusion([0], [-1])
    with fails(ValueError, "`decided` must be whole numbers", "float"):
        plot.confusion([0.5], [0])
    with fails(ValueError, "`labels`", "index of a class", "(1, 1)"):
        plot.confusion([0], [[0]])
    with fails(ValueError, "`names` must be a list of 2 strings", "class"):
        plot.confusion([0, 1], [0, 1], names=["a"])


# -- decision regions ------------------------------------------------------------------


def test_regions_and_samples():
    x, y = np.meshgrid([0.0, 1.0, 2.0], [0.0, 1.0])
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    samples = np.array([[0.5, 0.5], [1.5, 0.5], [1.0, 0.2]])
    ax = plot.decision_regions(
        points,
        [0, 1, 1, 0, -1, 1],
        samples=samples,
        labels=[0, 1, 0],
        names=["a", "b", "c"],
    )
    (mesh,) = ax.collections
    np.testing.assert_array_equal(
        np.ma.filled(mesh.get_array(), NAN), [[0, 1, 1], [0, NAN, 1]]
    )
    areas = mesh.cmap(mesh.norm([0, 1, 2]))[:, :3]
    for k, line in enumerate(ax.lines):
        strong = np.array(mpl.colors.to_rgb(line.get_color()))
        np.testing.assert_allclose(areas[k], 1 - (1 - strong) / 3)  # its pale one
    assert [line.get_xdata().tolist() for line in ax.lines] == [[0.5, 1.0], [1.5], []]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b", "c"]


def test_wrong_arguments_of_decision_regions():
    points = np.zeros((3, 2))
    with fails(ValueError, "`classes`", "each of `points`, 3", "got 2"):
        plot.decision_regions(points, [0, 1])
    with fails(ValueError, "`points` must have shape (n, 2)", "(2, 3)"):
        plot.decision_regions(points.T, [0, 1])
    with fails(ValueError, "`labels` must be given too"):
        plot.decision_regions(points, [0, 1, 1], samples=points)
    with fails(ValueError, "`samples` must be given too"):
        plot.decision_regions(points, [0, 1, 1], labels=[0, 1, 1])
    with fails(ValueError, "`labels`", "each of `samples`, 3", "got 1"):
        plot.decision_regions(points, [0, 1, 1], samples=points, labels=[0])
    with fails(ValueError, "`names` must be a list of 2 strings", "class"):
        plot.decision_regions(points, [0, 1, 1], names=["a"])
