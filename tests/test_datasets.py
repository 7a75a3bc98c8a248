"""Data sets: the geometry of Yin-Yang, and files written here in each format."""

import gzip
import re
import struct
import sys
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eventax.datasets import (
    _mnist,
    _yin_yang,
    fashion_mnist,
    idx_images,
    idx_labels,
    mnist,
    shd,
    yin_yang,
)
from eventax.encoding import pad_batch


def fails(error, *words):
    """The error's message holds all of these, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(w) for w in words))


# Yin-Yang -----------------------------------------------------------------------------

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def symbol():
    x, labels = yin_yang(KEY, 6000)
    return np.asarray(x), np.asarray(labels)


def painted(x, y):
    """The class of a point, by painting the symbol: what comes later covers it.

    A disc is cut into halves, a smaller disc of each colour is laid on the other's
    half, and a dot in the middle of each of them.
    """
    inside = lambda cx, radius: (x - cx) ** 2 + (y - 0.5) ** 2 < radius**2  # noqa: E731
    colour = 1 if y > 0.5 else 0
    if inside(0.75, 0.25):
        colour = 0
    if inside(0.25, 0.25):
        colour = 1
    if inside(0.25, 0.1) or inside(0.75, 0.1):
        colour = 2
    return colour


def test_yin_yang_shapes(symbol):
    x, labels = symbol
    assert x.shape == (6000, 4)
    assert x.dtype == np.float32
    assert labels.shape == (6000,)
    assert np.all((x >= 0) & (x <= 1))
    np.testing.assert_array_equal(x[:, 2:], 1 - x[:, :2])
    assert np.all(np.hypot(x[:, 0] - 0.5, x[:, 1] - 0.5) < 0.5 + 1e-6)


def test_yin_yang_classes(symbol):
    x, labels = symbol
    truth = [painted(*map(float, point)) for point in x[:, :2]]
    np.testing.assert_array_equal(labels, truth)


def test_yin_yang_balance(symbol):
    """Five standard deviations of a third of 6000."""
    counts = np.bincount(symbol[1], minlength=3)
    assert np.all(abs(counts - 2000) < 5 * np.sqrt(6000 * 2 / 9))
    # Drawn, not dealt in turns.
    assert len(set(counts.tolist())) > 1
    assert len({tuple(symbol[1][k : k + 3]) for k in range(0, 300, 3)}) > 6


def test_yin_yang_is_uniform_within_a_class(symbol):
    """Both dots get as many points, and the parts of a half as their areas are."""
    x, labels = symbol
    dots = x[labels == 2, 0]
    assert abs(np.mean(dots < 0.5) - 0.5) < 5 * 0.5 / np.sqrt(len(dots))
    left = np.hypot(x[:, 0] - 0.25, x[:, 1] - 0.5) < 0.25
    ring = np.mean(left[labels == 1])
    # Disc of 0.25 less its dot, of a half of the disc of 0.5 less one dot.
    share = (0.25**2 - 0.1**2) / (0.5**2 / 2 - 0.1**2)
    assert abs(ring - share) < 5 * np.sqrt(share * (1 - share) / np.sum(labels == 1))


def test_yin_yang_turned_by_half():
    """Turning by 180 degrees exchanges yin and yang, and the dots."""
    grid = np.stack(np.meshgrid(np.arange(101), np.arange(101)), axis=-1) / 100 + 1e-3
    points = grid.reshape(-1, 2)
    classes = _yin_yang._class_of(points)
    assert set(classes) == {-1, 0, 1, 2}
    turned = _yin_yang._class_of(1 - points)
    np.testing.assert_array_equal(turned, np.array([1, 0, 2, -1])[classes])


def test_yin_yang_is_reproducible():
    one, two = yin_yang(KEY, 50), yin_yang(KEY, 50)
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
    old_style = yin_yang(jax.random.PRNGKey(0), 50)
    np.testing.assert_array_equal(one[0], old_style[0])
    other = yin_yang(jax.random.key(1), 50)
    assert not np.any(np.all(one[0] == other[0], axis=1))
    # What is drawn today; a change would alter everyone's results.
    np.testing.assert_allclose(one[0][0, :2], [0.7531972, 0.4520888], atol=1e-6)
    assert one[1][:5].tolist() == [2, 1, 1, 0, 0]


def test_yin_yang_is_the_same_in_double_precision(x64):
    x, labels = yin_yang(KEY, 50)
    assert x.dtype == jnp.float64
    jax.config.update("jax_enable_x64", False)
    single, same = yin_yang(KEY, 50)
    jax.config.update("jax_enable_x64", True)
    np.testing.assert_array_equal(x, np.float64(single))
    np.testing.assert_array_equal(labels, same)


def test_yin_yang_sizes(unchecked):
    assert yin_yang(KEY, 0)[0].shape == (0, 4)
    assert yin_yang(KEY, 1)[1].shape == (1,)
    with fails(ValueError, "`n` must be at least 0", "-1"):
        yin_yang(KEY, -1)
    for n in (2.5, True):
        with fails(TypeError, "`n` must be a whole number", repr(n)):
            yin_yang(KEY, n)


# MNIST --------------------------------------------------------------------------------

IMAGES = np.random.default_rng(0).integers(256, size=(5, 28, 28)).astype(np.uint8)
DIGITS = np.array([3, 0, 9, 1, 1])


def images_file(images):
    return struct.pack(">4B3I", 0, 0, 8, 3, *images.shape) + images.tobytes()


def labels_file(labels):
    return struct.pack(">4BI", 0, 0, 8, 1, len(labels)) + bytes(labels.tolist())


def write(folder, prefix="train", images=IMAGES, labels=DIGITS, dot="-", pack=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (
        (f"{prefix}-images{dot}idx3-ubyte", images_file(images)),
        (f"{prefix}-labels{dot}idx1-ubyte", labels_file(labels)),
    ):
        if pack:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("load", [mnist, fashion_mnist])
@pytest.mark.parametrize("dot", ["-", "."])
@pytest.mark.parametrize("pack", [False, True])
def test_mnist_files(tmp_path, load, dot, pack):
    write(tmp_path, dot=dot, pack=pack)
    write(tmp_path, "t10k", IMAGES[:2], DIGITS[:2], dot, pack)
    for folder in (tmp_path, str(tmp_path)):
        images, labels = load(folder)
        np.testing.assert_array_equal(images, IMAGES)
        np.testing.assert_array_equal(labels, DIGITS)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int32
    images, labels = load(tmp_path, split="test")
    np.testing.assert_array_equal(images, IMAGES[:2])
    np.testing.assert_array_equal(labels, DIGITS[:2])


def test_idx_files(tmp_path):
    """Not only squares of 28."""
    path = tmp_path / "any name.gz"
    path.write_bytes(images_file(IMAGES[:, :3, :7]))  # not compressed, for all its name
    images = idx_images(path)
    np.testing.assert_array_equal(images, IMAGES[:, :3, :7])
    images[0] = 0  # they are the user's own
    path.write_bytes(gzip.compress(labels_file(DIGITS)))
    np.testing.assert_array_equal(idx_labels(str(path)), DIGITS)


def test_usual_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, load in (("MNIST", mnist), ("Fashion-MNIST", fashion_mnist)):
        if Path("/usr/share/datasets", name.lower()).exists():
            continue
        with fails(
            FileNotFoundError, name, "train-images", "home/.cache", "/usr/share"
        ):
            load()
    write(tmp_path / "home/.cache/eventax/mnist", labels=DIGITS + 1)
    write(tmp_path / "home/.cache/eventax/fashion-mnist", labels=DIGITS + 2)
    assert mnist()[1][0] == DIGITS[0] + 1
    assert fashion_mnist()[1][0] == DIGITS[0] + 2
    # Those below the working directory come first.
    write(tmp_path / "data/FashionMNIST/raw", labels=DIGITS + 3)
    write(tmp_path / "data/MNIST/raw", labels=DIGITS + 4)
    assert fashion_mnist()[1][0] == DIGITS[0] + 3
    assert mnist()[1][0] == DIGITS[0] + 4
    # A folder with images only is passed over.
    write(tmp_path / "data/mnist")
    (tmp_path / "data/mnist/train-labels-idx1-ubyte").unlink()
    assert mnist()[1][0] == DIGITS[0] + 4


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (mnist, ("MNIST: found no files", "yann.lecun.com", "`folder`")),
        (
            fashion_mnist,
            ("Fashion-MNIST:", "zalandoresearch", "`dataset-fashion-mnist`", "Debian"),
        ),
    ],
)
def test_missing_files(tmp_path, load, words):
    names = ("`t10k-images-idx3-ubyte`", "`t10k-labels-idx1-ubyte`", str(tmp_path))
    with fails(FileNotFoundError, words[0], *names, *words[1:]):
        load(tmp_path, split="test")


def test_a_split_has_a_name(tmp_path):
    with fails(ValueError, "`split`", '"train" or "test"', "'valid'"):
        _mnist._load("MNIST", (tmp_path,), "valid", "")


def test_damaged_files(tmp_path):
    path = tmp_path / "file"
    for read in (idx_images, idx_labels):
        with pytest.raises(FileNotFoundError):
            read(path)
    good = images_file(IMAGES)
    path.write_bytes(labels_file(DIGITS))
    with fails(ValueError, str(path), "magic number 00000803", "images", "00000801"):
        idx_images(path)
    path.write_bytes(good)
    with fails(ValueError, str(path), "magic number 00000801", "labels", "00000803"):
        idx_labels(path)
    path.write_bytes(b"")
    with fails(ValueError, str(path), "magic number", "an empty file"):
        idx_images(path)
    path.write_bytes(good[:10])
    with fails(ValueError, str(path), "header of 16 bytes", "got 10 bytes", "again"):
        idx_images(path)
    for data, got in ((good[:-1], 3919), (good + b"0", 3921)):
        path.write_bytes(data)
        with fails(ValueError, str(path), "3920 bytes", "(5, 28, 28)", f"got {got}"):
            idx_images(path)
    packed = gzip.compress(good)
    broken = packed[:40] + bytes([packed[40] ^ 255]) + packed[41:]
    for data in (packed[:-9], packed[:5], packed[:-8] + b"12345678", broken):
        path.write_bytes(data)
        with fails(ValueError, str(path), "cannot be decompressed", "again"):
            idx_images(path)


def test_as_many_images_as_labels(tmp_path):
    write(tmp_path, labels=DIGITS[:4])
    with fails(ValueError, "train-images", "as many images as labels", "5 and 4"):
        mnist(tmp_path)


# SHD ----------------------------------------------------------------------------------

CLASSES = np.array([4, 19, 0, 7])


def recordings():
    """Samples of different lengths, one of them empty; times in seconds."""
    rng = np.random.default_rng(1)
    for n in (30, 0, 12, 55):
        times = np.sort(rng.uniform(0, 1.4, n)).astype(np.float16)
        yield times, rng.integers(700, size=n).astype(np.uint16)


@pytest.fixture
def spike_file(tmp_path):
    path = tmp_path / "shd_test.h5"
    times, units = zip(*recordings(), strict=True)
    with h5py.File(path, "w") as file:
        for name, data, dtype in (
            ("times", times, np.float16),
            ("units", units, np.uint16),
        ):
            kind = h5py.vlen_dtype(np.dtype(dtype))
            part = file.create_dataset(f"spikes/{name}", (len(data),), dtype=kind)
            for k, row in enumerate(data):
                part[k] = row
        file["labels"] = CLASSES.astype(np.uint16)
        file["extra/speaker"] = np.arange(4)
    return path


def agree(samples, chosen):
    truth = list(recordings())
    assert len(samples) == len(chosen)
    for (times, units), k in zip(samples, chosen, strict=True):
        np.testing.assert_allclose(times, 1e3 * np.float64(truth[k][0]), rtol=1e-6)
        np.testing.assert_array_equal(units, truth[k][1])


def test_spike_files(spike_file):
    samples, labels = shd(spike_file)
    agree(samples, range(4))
    np.testing.assert_array_equal(labels, CLASSES)
    assert samples[0][0].dtype == np.float32
    seconds, _ = shd(str(spike_file), scale=1.0)
    np.testing.assert_array_equal(seconds[2][0], np.float32(list(recordings())[2][0]))
    batch = pad_batch(samples, 700)
    assert batch.shape[:2] == (4, 700)
    assert np.sum(np.isfinite(batch)) == 30 + 12 + 55


def test_some_samples(spike_file):
    samples, labels = shd(spike_file, limit=2)
    agree(samples, [0, 1])
    np.testing.assert_array_equal(labels, CLASSES[:2])
    assert len(shd(spike_file, limit=9)[0]) == 4
    for order in ([3, 0, 3], np.array([2]), []):
        samples, labels = shd(spike_file, indices=order)
        agree(samples, order)
        np.testing.assert_array_equal(labels, CLASSES[np.array(order, int)])


def test_samples_that_are_not_there(spike_file, unchecked):
    for k in (4, -1):
        with fails(ValueError, "`indices`", "between 0 and 3", "4 samples", f"got {k}"):
            shd(spike_file, indices=[0, k])
    with fails(TypeError, "`indices`", "whole numbers", "bool", "np.flatnonzero"):
        shd(spike_file, indices=CLASSES > 3)
    with fails(ValueError, "`limit` must be at least 0", "-1"):
        shd(spike_file, limit=-1)
    with fails(TypeError, "`limit` must be a whole number", "1.5"):
        shd(spike_file, limit=1.5)
    with fails(ValueError, "`indices` must be a list", "got 1"):
        shd(spike_file, indices=1)
    with fails(ValueError, "`indices` and `limit`", "both", "2 indices", "3", "one"):
        shd(spike_file, indices=[0, 1], limit=3)


def test_files_that_are_no_spikes(spike_file, tmp_path):
    with fails(FileNotFoundError, "`path`", "nothing.h5", "zenkelab.org", "gunzip"):
        shd(tmp_path / "nothing.h5")
    other = tmp_path / "shd.h5.gz"
    other.write_bytes(gzip.compress(spike_file.read_bytes()))
    with fails(ValueError, "shd.h5.gz", "HDF5", "gunzip"):
        shd(other)
    with h5py.File(spike_file, "a") as file:
        file["spikes/times"][2] = np.zeros(3, np.float16)
    with fails(ValueError, "as many times as units", "sample 2 has 3 and 12"):
        shd(spike_file)
    with h5py.File(spike_file, "a") as file:
        del file["labels"]
        file["labels"] = np.arange(3)
    with fails(ValueError, "as many entries", "[4, 4, 3]"):
        shd(spike_file)
    with h5py.File(spike_file, "a") as file:
        del file["spikes/units"]
    with fails(ValueError, "SHD and SSC", "no `spikes/units`"):
        shd(spike_file)


def test_without_h5py(spike_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with fails(ImportError, "`shd` needs", "h5py", "pip install eventax[data]"):
        shd(spike_file)
