"""The script on images, with a small network and a few images that are drawn here."""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eventax.io import load_evnn
from eventax.neuron_models import LI, LIF

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PICTURES = {"raster", "confusion", "curves"}
PNG = b"\x89PNG\r\n\x1a\n"
SMALL = ["--hidden", "10", "--batch", "20", "--lr", "0.02", "--train", "80"]
N = {"train": 120, "t10k": 40}


@pytest.fixture(scope="module")
def example():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        import mnist
        import training

        patch.setattr(training, "PROBED", 40)
        yield mnist
    for name in ("training", "mnist"):
        del sys.modules[name]


def draw_images(n, seed):
    """A bright bar, further down for each class, on a dim ground."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(10, size=n).astype(np.uint8)
    images = rng.integers(2, size=(n, 28, 28), dtype=np.uint8)  # 1 makes no spike
    for image, label in zip(images, labels, strict=True):
        first = 2 + 2 * int(label)
        image[first : first + 5, 4:24] = rng.integers(100, 256, size=(5, 20))
    return images, labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """IDX files as those of MNIST, and the same images for NumPy."""
    folder = tmp_path_factory.mktemp("mnist")
    for seed, (split, n) in enumerate(N.items()):
        images, labels = draw_images(n, seed)
        for array, kind in ((images, "images-idx3"), (labels, "labels-idx1")):
            header = bytes([0, 0, 8, array.ndim])
            sizes = np.array(array.shape, ">u4").tobytes()
            path = folder / f"{split}-{kind}-ubyte"
            path.write_bytes(header + sizes + array.tobytes())
    images, labels = draw_images(N["train"], 0)
    np.savez(folder / "images.npz", images=images, labels=labels)
    return folder


@pytest.fixture(scope="module")
def whole_run(example, folder):
    """Four epochs at a stretch, with pictures."""
    out = folder / "whole"
    args = [*SMALL, "--data", str(folder), "--epochs", "4", "--out", str(out)]
    return example.main(args), out


def test_writes_summary_and_pictures(whole_run):
    summary, out = whole_run
    assert json.loads((out / "summary.json").read_text("utf-8")) == summary
    assert 0 <= summary["test_accuracy"] <= 1
    assert summary["test_samples"] == N["t10k"]
    assert summary["epochs"] == 4
    assert summary["versions"]["jax"] == jax.__version__
    assert {path.stem for path in out.glob("*.png")} == PICTURES
    for path in out.glob("*.png"):
        assert path.read_bytes().startswith(PNG)


def test_a_stopped_run_ends_with_the_same_numbers(example, folder, whole_run):
    summary, whole = whole_run
    out = folder / "stopped"
    common = [*SMALL, "--data", str(folder), "--no-plots", "--out", str(out)]
    example.main([*common, "--epochs", "2"])
    resumed = example.main([*common, "--epochs", "4", "--resume"])
    assert without_seconds(resumed) == without_seconds(summary)
    network = "network.eventax"
    assert (out / network).read_bytes() == (whole / network).read_bytes()
    assert not list(out.glob("*.png"))


def without_seconds(summary):
    return {k: v for k, v in summary.items() if not k.startswith("seconds")}


def test_the_loss_falls(example, folder, whole_run):
    _, out = whole_run
    args = example.parse_args([*SMALL, "--data", str(folder)])
    train = example.load_samples(args).train
    task = example.make_task("max", 10)
    keywords = example.network_keywords("max", 10)
    trained, _ = load_evnn(out / "network.eventax", None)
    losses = []
    for network in (example.make_network("max", 0, keywords, 150.0), trained):
        outputs, _ = sys.modules["training"].probe(task, network, train.data)
        losses.append(np.mean(task.loss(network, outputs, train.labels)))
    assert losses[1] < losses[0]
    assert [type(m) for m in trained.neuron_model.submodels] == [LIF, LI]
    for submodel in trained.neuron_model.submodels:
        np.testing.assert_array_equal(submodel.ic, 0)


@pytest.mark.slow  # compiles its own epoch
@pytest.mark.parametrize("loss", ["integral", "first"])
def test_other_ways_to_tell_the_class(example, folder, loss):
    out = folder / loss
    args = [*SMALL, "--npz", str(folder / "images.npz"), "--loss", loss]
    summary = example.main([*args, "--epochs", "4", "--out", str(out)])
    assert summary["test_samples"] == N["train"] // 5
    assert summary["curves"]["loss"][-1] < summary["curves"]["loss"][0]
    assert {path.stem for path in out.glob("*.png")} == PICTURES
    story = json.loads((out / "summary.json").read_text("utf-8"))
    assert story["settings"]["loss"] == loss
    network, _ = load_evnn(out / "network.eventax", None)
    assert isinstance(network.neuron_model, LIF) == (loss == "first")


def test_loss_of_integrals(example):
    """Cross-entropy of integrals in units of 10 ms times that of the potential."""
    task = example.make_task("integral", 10)
    outputs = np.array([[30.0, 10.0, 20.0]])
    wanted = np.log(np.sum(np.exp(outputs / 10))) - 2.0
    loss = task.loss(None, jnp.asarray(outputs), jnp.asarray([2]))
    np.testing.assert_allclose(loss, wanted, rtol=1e-6)
    assert task.decide(jnp.asarray(outputs)) == 0


def test_pixels_are_told_by_time(example):
    pixels = np.zeros(784, np.uint8)
    pixels[:4] = [255, 51, 2, 1]
    times = jax.jit(example.input_spikes)(pixels)[:, 0]
    np.testing.assert_allclose(times[:3], [0.0, 16.0, 20 * 253 / 255], rtol=1e-5)
    assert times[0] == 0.0
    assert np.all(np.isinf(times[3:]))


def test_a_part_of_the_spikes_is_lost_in_training(example):
    assert example.parse_args([]).drop == 0.2
    task = example.make_task("max", 10, drop=0.2)
    times = task.disturb(jax.random.PRNGKey(0), jnp.zeros((5000, 1)))
    # Five standard errors of 5000 draws.
    assert abs(np.isinf(times).mean() - 0.2) < 5 * np.sqrt(0.16 / 5000)


def test_images_are_moved_in_training(example):
    keys = jax.random.split(jax.random.PRNGKey(0), 200)
    # A spike at the upper edge and one further in.
    image = np.full((28, 28), np.inf)
    image[0, 5], image[10, 20] = 1.0, 2.0
    times = jnp.asarray(image.reshape(784, 1))
    moved = jax.vmap(lambda key: example.disturb(key, times, shift=1, drop=0.0))(keys)
    moved = np.asarray(moved).reshape(-1, 28, 28)
    places = [tuple(np.argwhere(m == 2.0)[0] - [10, 20]) for m in moved]
    assert set(places) == {(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)}
    for (y, x), m in zip(places, moved, strict=True):
        assert np.isfinite(m).sum() == (1 if y < 0 else 2)
        assert y < 0 or m[y, 5 + x] == 1.0
    still = example.disturb(keys[0], times, shift=0, drop=0.0)
    np.testing.assert_array_equal(still, times)


@pytest.mark.parametrize("loss", ["max", "first"])
def test_initial_weights_from_inputs_are_as_asked(example, loss):
    args = example.parse_args(["--input-weights", "0.5", "0.2"])
    keywords = example.network_keywords(loss, 20)
    # Twice as many spikes as those the weights are for.
    net = example.make_network(loss, 0, keywords, 300.0, args.input_weights)
    model = net.neuron_model
    weights = model.weights if loss == "first" else model.submodels[0].weights
    from_inputs = np.asarray(weights)[30:, :20]
    assert from_inputs.size == 784 * 20
    assert np.mean(from_inputs) == pytest.approx(0.25, abs=0.01)
    assert np.std(from_inputs) == pytest.approx(0.1, abs=0.01)


def test_samples_are_shared_out_and_cut(example, folder):
    args = ["--data", str(folder), "--train", "30", "--test", "7"]
    splits = example.load_samples(example.parse_args(args))
    assert [len(part.labels) for part in splits] == [30, 10, 7]
    args = ["--npz", str(folder / "images.npz"), "--seed", "3"]
    splits = example.load_samples(example.parse_args(args))
    assert [len(part.labels) for part in splits] == [88, 8, 24]
    # Each image is in one of them.
    rows = np.concatenate([part.data for part in splits])
    images, _ = draw_images(N["train"], 0)
    np.testing.assert_array_equal(
        np.unique(rows, axis=0), np.unique(images.reshape(-1, 784), axis=0)
    )


def test_confusion_has_all_classes(example):
    names = [*"0123456789"]
    figure = example.plot_confusion(np.array([0, 1, -1]), np.array([0, 1, 1]), names)
    shown = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert shown == [*names, "none"]


def test_missing_files_and_wrong_images_are_named(example, tmp_path):
    with pytest.raises(SystemExit, match=r"MNIST: found no files .*--data"):
        example.main(["--data", str(tmp_path), "--out", str(tmp_path)])
    path = tmp_path / "small.npz"
    np.savez(path, images=np.zeros((3, 8, 8), np.uint8), labels=np.zeros(3, int))
    with pytest.raises(SystemExit, match=r"bytes of shape \(n, 28, 28\)"):
        example.main(["--npz", str(path), "--out", str(tmp_path)])
    np.savez(path, images=np.zeros((3, 28, 28), np.uint8))
    with pytest.raises(SystemExit, match=r"arrays images and labels: .*labels"):
        example.main(["--npz", str(path), "--out", str(tmp_path)])


@pytest.mark.parametrize(
    ("flag", "values", "rule"),
    [
        ("--train", ["0"], "must be at least 1"),
        ("--test", ["0"], "must be at least 1"),
        ("--lr", ["-1"], "must be finite and positive"),
        ("--drop", ["1.5"], "must lie in 0..1"),
        ("--input-weights", ["0", "-1"], "must be finite, and SD not negative"),
        ("--input-weights", ["nan", "1"], "must be finite, and SD not negative"),
    ],
)
def test_wrong_options_are_refused(example, flag, values, rule, capsys):
    with pytest.raises(SystemExit):
        example.main([flag, *values])
    assert f"{flag} {rule}" in capsys.readouterr().err
