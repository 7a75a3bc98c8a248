"""The script on Yin-Yang data, with a small network and few samples."""

import json
import sys
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest

from eventax.io import load_evnn

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PICTURES = {"regions", "latency", "curves"}
PNG = b"\x89PNG\r\n\x1a\n"
SMALL = ["--hidden", "16", "--samples", "96", "--batch", "32", "--lr", "0.02"]


@pytest.fixture(scope="module")
def example():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        import training
        import yin_yang

        patch.setattr(training, "PROBED", 50)
        patch.setattr(yin_yang, "N_HELD_OUT", 50)
        patch.setattr(yin_yang, "N_GRID", 12)
        yield yin_yang
    for name in ("training", "yin_yang", "results"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("yin_yang")


@pytest.fixture(scope="module")
def whole_run(example, folder):
    """Four epochs at a stretch, with pictures."""
    out = folder / "whole"
    return example.main([*SMALL, "--epochs", "4", "--out", str(out)]), out


def test_writes_summary_and_pictures(whole_run):
    summary, out = whole_run
    assert json.loads((out / "summary.json").read_text("utf-8")) == summary
    assert 0 <= summary["test_accuracy"] <= 1
    assert summary["test_samples"] == 50
    assert summary["epochs"] == 4
    assert summary["settings"]["seed"] == 0
    assert summary["versions"]["jax"] == jax.__version__
    assert {path.stem for path in out.glob("*.png")} == PICTURES
    for path in out.glob("*.png"):
        assert path.read_bytes().startswith(PNG)


def test_results_of_seeds_are_put_together(example, folder, whole_run):
    import results

    summary, out = whole_run
    other = folder / "other"
    other.mkdir()
    changed = summary | {"test_accuracy": summary["test_accuracy"] + 0.1}
    (other / "summary.json").write_text(json.dumps(changed), "utf-8")
    results.main([str(out), str(other), "--to", str(folder / "report" / "both")])
    mean = 100 * (summary["test_accuracy"] + 0.05)
    text = (folder / "report" / "both.md").read_text("utf-8")
    assert f"mean {mean:.2f} %" in text
    assert f"standard deviation {10 / 2**0.5:.2f} %" in text
    stored = json.loads((folder / "report" / "both.json").read_text("utf-8"))
    assert [s["epochs"] for s in stored] == [4, 4]
    assert (folder / "report" / "both.png").read_bytes().startswith(PNG)


def test_a_stopped_run_ends_with_the_same_numbers(example, folder, whole_run, capsys):
    summary, whole = whole_run
    out = folder / "stopped"
    common = [*SMALL, "--no-plots", "--out", str(out)]
    first = example.main([*common, "--epochs", "2"])
    assert first["epochs"] == 2
    capsys.readouterr()
    resumed = example.main([*common, "--epochs", "4", "--resume"])
    printed = capsys.readouterr().out
    assert f"Test accuracy: {100 * resumed['test_accuracy']:.2f} %" in printed
    assert str(out / "summary.json") in printed
    assert without_seconds(resumed) == without_seconds(summary)
    assert not list(out.glob("*.png"))
    network = "network.eventax"
    assert (out / network).read_bytes() == (whole / network).read_bytes()
    # Without --resume it starts anew.
    assert without_seconds(example.main([*common, "--epochs", "2"])) == (
        without_seconds(first)
    )


def without_seconds(summary):
    return {k: v for k, v in summary.items() if not k.startswith("seconds")}


def test_other_settings_cannot_go_on(example, whole_run):
    _, out = whole_run
    args = [*SMALL, "--epochs", "5", "--resume", "--seed", "3", "--out", str(out)]
    with pytest.raises(SystemExit, match="was made with --seed 0, and this is a run"):
        example.main(args)


def test_the_loss_falls_and_biases_stay(example, whole_run):
    _, out = whole_run
    splits = example.make_samples(0, 96)
    task = example.make_task(16)
    keywords = example.network_keywords(16, None)
    losses = []
    trained, _ = load_evnn(out / "network.eventax", jax.random.PRNGKey(0))
    for network in (example.make_network(0, keywords), trained):
        outputs, _ = example.probe(task, network, splits.train.data)
        losses.append(np.mean(task.loss(network, outputs, splits.train.labels)))
    assert losses[1] < losses[0]
    np.testing.assert_array_equal(trained.neuron_model.ic, 0)


def test_inputs_are_those_of_the_paper(example):
    times = example.input_spikes(np.array([0.1, 0.6, 0.9, 0.4], np.float32))
    assert times.shape == (5, 1)
    np.testing.assert_allclose(times[:, 0], [3.0, 18.0, 27.0, 12.0, 0.0], atol=1e-5)


def test_samples_of_the_three_parts_differ(example):
    splits = example.make_samples(0, 50)
    first = [part.data[0, 0] for part in splits]
    assert len(set(first)) == 3


def test_a_silent_output_is_woken_and_silences_no_other(example):
    """Its weights shall grow; all that the others could learn is to be late."""
    network = example.make_network(0, example.network_keywords(4, None))
    loss = example.make_task(4).loss
    labels = np.array([0, 1])
    outputs = np.array([[np.inf, 20.0, 25.0], [20.0, 21.0, np.inf]], np.float32)

    by_outputs = jax.grad(lambda o: loss(network, o, labels).sum())(outputs)
    np.testing.assert_array_equal(by_outputs[0], 0)
    assert by_outputs[1, 1] > 0 > by_outputs[1, 0]
    by_network = eqx.filter_grad(lambda n: loss(n, outputs, labels).sum())(network)
    expected = np.zeros(network.neuron_model.weights.shape)
    expected[:4, 4] = -1
    np.testing.assert_array_equal(by_network.neuron_model.weights, expected)


@pytest.mark.slow  # two compilations of its own
def test_delays_are_trained(example, folder):
    out = folder / "delays"
    args = [*SMALL, "--epochs", "1", "--delays", "--no-plots", "--out", str(out)]
    example.main(args)
    trained, config = load_evnn(out / "network.eventax", jax.random.PRNGKey(0))
    assert config["dlim"] == 5.0
    before = example.make_network(0, example.network_keywords(16, 5.0)).delays
    connected = np.asarray(trained.get_wmask()) > 0
    moved = np.asarray(trained.delays != before)
    assert moved[connected].mean() > 0.5
    assert not moved[~connected].any()


@pytest.mark.parametrize(
    ("flag", "value", "rule"),
    [
        ("--hidden", "0", "must be at least 1"),
        ("--epochs", "0", "must be at least 1"),
        ("--batch", "0", "must be at least 1"),
        ("--samples", "0", "must be at least 1"),
        ("--lr", "0", "must be finite and positive"),
        ("--lr", "inf", "must be finite and positive"),
        ("--seed", "-1", "must not be negative"),
        ("--decay", "1.5", "must lie above 0 and not above 1"),
        ("--delays", "-1", "must be finite and not negative"),
    ],
)
def test_wrong_options_are_refused(example, flag, value, rule, capsys):
    with pytest.raises(SystemExit):
        example.main([flag, value])
    assert f"{flag} {rule}" in capsys.readouterr().err


def test_a_batch_needs_enough_samples(example, tmp_path):
    args = ["--samples", "8", "--batch", "16", "--out", str(tmp_path)]
    with pytest.raises(SystemExit, match="--batch 16 is more than the 8 samples"):
        example.main(args)
