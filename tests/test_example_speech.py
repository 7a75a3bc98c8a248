"""The script on speech, with a small network and made-up samples."""

import json
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eventax import Spikes
from eventax.io import load_evnn

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PICTURES = {"raster", "confusion", "curves"}
SMALL = ["--hidden", "8", "--batch", "9", "--lr", "0.02"]


@pytest.fixture(scope="module")
def example():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        patch.setitem(sys.modules, "aeon", types.ModuleType("aeon"))
        datasets = types.ModuleType("aeon.datasets")
        datasets.load_japanese_vowels = made_up
        patch.setitem(sys.modules, "aeon.datasets", datasets)
        import speech
        import training

        patch.setattr(training, "PROBED", 20)
        patch.setattr(speech, "N_FRAMES", 4)
        patch.setattr(speech, "T_VOWEL", 60.0)
        patch.setattr(speech, "N_FIELDS", 3)
        yield speech
    for name in ("training", "speech"):
        sys.modules.pop(name, None)


def made_up(split):
    """Three utterances of each of nine speakers, of different lengths."""
    rng = np.random.default_rng({"train": 0, "test": 1}[split])
    labels = np.tile(np.arange(9), 3)
    values = [
        label / 4 + rng.normal(size=(12, rng.integers(7, 29))) for label in labels
    ]
    return values, np.array([str(label + 1) for label in labels])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("speech")


@pytest.fixture(scope="module")
def whole_run(example, folder):
    """Two epochs at a stretch, with pictures."""
    out = folder / "whole"
    return example.main([*SMALL, "--epochs", "2", "--out", str(out)]), out


def test_writes_summary_and_pictures(whole_run):
    summary, out = whole_run
    assert json.loads((out / "summary.json").read_text("utf-8")) == summary
    assert summary["test_samples"] == 27
    assert summary["epochs"] == 2
    assert {path.stem for path in out.glob("*.png")} == PICTURES


def test_time_constants_are_trained_and_biases_stay(example, whole_run):
    _, out = whole_run
    trained, config = load_evnn(out / "network.eventax", jax.random.PRNGKey(0))
    assert config["max_solver_time"] == 60.0
    hidden, readout = trained.neuron_model.submodels
    shape = example.make_shape(8, 72, 9)
    keywords = example.network_keywords(shape, 60.0, 2000)
    times = jnp.full((2, 72, 4), 5.0)
    before = example.make_network(0, shape, keywords, times)
    assert hidden.log_tmem.shape == (8,)
    first = before.neuron_model.submodels[0]
    assert np.abs(hidden.log_tmem - first.log_tmem).max() > 1e-3
    np.testing.assert_array_equal(hidden.ic, 0)
    np.testing.assert_array_equal(readout.ic, 0)


def test_a_stopped_run_ends_with_the_same_numbers(example, folder, whole_run):
    summary, whole = whole_run
    out = folder / "stopped"
    common = [*SMALL, "--no-plots", "--out", str(out)]
    example.main([*common, "--epochs", "1"])
    resumed = example.main([*common, "--epochs", "2", "--resume"])
    same = [
        {k: v for k, v in s.items() if not k.startswith("seconds")}
        for s in (resumed, summary)
    ]
    assert same[0] == same[1]
    network = "network.eventax"
    assert (out / network).read_bytes() == (whole / network).read_bytes()


def test_the_official_split_and_what_is_held_out(example):
    whole = example.japanese_vowels(0, 0)
    assert whole.train.data.shape == (108, 24, 4)  # with three times as many blends
    every = whole.validation.data  # utterances to learn from
    np.testing.assert_array_equal(whole.train.data[:27], every)
    splits = example.japanese_vowels(1, 0)
    assert [len(part.labels) for part in splits] == [72, 9, 27]
    np.testing.assert_array_equal(np.bincount(splits.train.labels), 8)
    # The first of each speaker.
    np.testing.assert_array_equal(splits.validation.data, every[:9])
    # In standard deviations of all frames to learn from; slopes after stretching.
    assert abs(every[:, :12].mean()) < 0.3
    np.testing.assert_allclose(every[:, 12:].std(axis=(0, 2)), 1.0, rtol=1e-5)
    slopes = np.diff(every[:, :12])[..., 0] / every[:, 12:, 0]
    np.testing.assert_allclose(slopes, slopes[:1].repeat(27, axis=0), rtol=1e-3)
    # A blend lies between an utterance and another one of the same speaker.
    own, blends = every, whole.train.data[27:54]
    away = [own[k % 9 :: 9] - own[k] for k in range(27)]
    for blend, one, others in zip(blends, own, away, strict=True):
        part = [
            np.sum((blend - one) * other) / max(np.sum(other**2), 1e-9)
            for other in others
        ]
        errors = [
            np.abs(blend - one - p * other).max()
            for p, other in zip(part, others, strict=True)
        ]
        assert min(errors) < 1e-5
        assert 0 <= part[np.argmin(errors)] <= 1


def test_an_utterance_is_stretched_on_straight_lines(example):
    line = np.linspace(0, 3, 7)[None].repeat(12, axis=0)
    np.testing.assert_allclose(example.stretched(line)[0], [0, 1, 2, 3], atol=1e-12)


def test_spikes_are_those_of_fields_that_like_the_value(example):
    values = np.zeros((12, 4), np.float32)
    times = np.asarray(example.vowel_spikes(values))
    assert times.shape == (36, 4)
    # The middle field likes 0 best, at the start of each frame; those at -2 and 2 are
    # a deviation away, exp(-1/2) = 0.61: at 4.7 ms.
    np.testing.assert_allclose(times[1], [0, 12, 24, 36], atol=1e-5)
    np.testing.assert_allclose(times[0, 0], 12 * (1 - np.exp(-0.5)), rtol=1e-5)


def test_a_delay_line_and_channels_that_move(example):
    spikes = Spikes(jnp.array([5.0, 1390.0]), jnp.array([3, 699], jnp.int16))
    line = example.delay_line(spikes)
    # Each channel and ten copies, 30 ms after one another; none after the end.
    assert line.times.shape == (22,)
    np.testing.assert_allclose(line.times[::2], 5 + 30 * np.arange(11))
    assert line.times[1] == 1390
    assert np.all(np.isinf(line.times[3::2]))
    np.testing.assert_array_equal(line.channels[::2], 3 + 700 * np.arange(11))
    assert line.channels[-1] == 7699
    moves = set()
    for key in jax.random.split(jax.random.PRNGKey(0), 40):
        moved = example.shifted(key, spikes, most=2)
        moves.add(int(moved.channels[0]) - 3)
        # What leaves the cochlea is lost.
        lost = int(moved.channels[0]) > 3
        assert np.isinf(moved.times[1]) == lost
    assert moves == {-2, -1, 0, 1, 2}


def test_blended_samples_are_of_both_and_as_long(example):
    rng = np.random.default_rng(0)
    one = Spikes(np.linspace(100, 300, 400), np.zeros(400, int))
    other = Spikes(np.linspace(0, 600, 300), np.ones(300, int))
    new = example.blended(rng, one, other)
    assert 250 < len(new.times) < 450
    for channel in (0, 1):  # both about their common mean, (200 + 300) / 2
        assert abs(new.times[new.channels == channel].mean() - 250) < 40
    labels = np.array([0, 1, 0, 1, 0, 2])
    pairs = example.partners(rng, labels)
    np.testing.assert_array_equal(labels[pairs], labels)
    assert np.all(pairs[:5] != np.arange(5))
    assert pairs[5] == 5


@pytest.mark.slow  # a compilation of its own
def test_files_of_shd(example, folder):
    h5py = pytest.importorskip("h5py")
    rng, files = np.random.default_rng(0), []
    for name in ("train", "test"):
        files.append(str(folder / f"{name}.h5"))
        with h5py.File(files[-1], "w") as file:
            for part, dtype in (("times", np.float16), ("units", np.uint16)):
                kind = h5py.vlen_dtype(dtype)
                file.create_dataset(f"spikes/{part}", (8,), dtype=kind)
            for k in range(8):
                file["spikes/times"][k] = np.sort(rng.uniform(0, 0.3, 20))
                file["spikes/units"][k] = rng.integers(0, 700, 20)
            file["labels"] = np.arange(8) % 2
    out = folder / "shd"
    summary = example.main(
        ["--hidden", "4", "--batch", "4", "--epochs", "1", "--no-plots", "--held-out",
         "1", "--out", str(out), "--shd", *files]
    )  # fmt: skip
    assert summary["test_samples"] == 8


@pytest.mark.parametrize(
    ("flag", "value", "rule"),
    [
        ("--noise", "-1", "must be finite and not negative"),
        ("--early", "0", "must be finite and positive"),
        ("--drop", "2", "must lie in 0..1"),
        ("--held-out", "-1", "must not be negative"),
    ],
)
def test_wrong_options_are_refused(example, flag, value, rule, capsys):
    with pytest.raises(SystemExit):
        example.main([flag, value])
    assert f"{flag} {rule}" in capsys.readouterr().err


def test_data_that_are_missing_are_named(example, monkeypatch):
    monkeypatch.setitem(sys.modules, "aeon.datasets", None)
    with pytest.raises(SystemExit, match=r"pip install eventax\[speech\]"):
        example.japanese_vowels(0, 0)
