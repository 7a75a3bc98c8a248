"""The script behind `make demo`, with few steps."""

import importlib.util
import re
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "regression.py"
PICTURES = {"curve", "loss", "parameters", "raster", "traces"}
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("example_regression", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_prints_the_error_and_draws_the_pictures(example, tmp_path, capsys):
    out = tmp_path / "pictures"
    rmse = example.main(["--steps", "4", "--batch-size", "8", "--out", str(out)])

    printed = capsys.readouterr().out
    shown = re.search(r"Test RMSE: ([\d.]+) ms over 100 inputs \((\d+) silent", printed)
    assert float(shown[1]) == pytest.approx(rmse, abs=1e-3)
    assert {path.stem for path in out.iterdir()} == PICTURES
    for path in out.iterdir():
        assert path.read_bytes().startswith(PNG)
        assert str(path) in printed


def test_no_plots(example, tmp_path, capsys):
    out = tmp_path / "pictures"
    args = ["--steps", "1", "--batch-size", "4", "--no-plots", "--out", str(out)]
    assert np.isfinite(example.main(args))
    assert not out.exists()


def test_silent_outputs_are_counted(example, capsys):
    x = np.array([0.0, 10.0], dtype=np.float32)
    rmse = example.report(np.array([30.0, np.inf]), x)
    assert rmse == pytest.approx(40 / np.sqrt(2), rel=1e-5)  # targets: 30 and 40 ms
    assert "(1 silent" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flag", "value", "rule"),
    [
        ("--steps", "0", "must be at least 1"),
        ("--batch-size", "0", "must be at least 1"),
        ("--cooldown", "1.5", "must lie between 0 and 1"),
    ],
)
def test_wrong_options_are_refused(example, flag, value, rule, capsys):
    with pytest.raises(SystemExit):
        example.main([flag, value])
    assert f"{flag} {rule}" in capsys.readouterr().err


def test_learning_rate_is_constant_and_then_falls(example):
    assert example.learning_rates(0.1, 4, 0.0)(3) == pytest.approx(0.1)
    rates = example.learning_rates(0.1, 4, 0.5)
    assert [float(rates(step)) for step in range(4)] == pytest.approx(
        [0.1, 0.1, 0.1, 0.05]
    )


def test_same_data_as_the_notebook(example):
    key = jax.random.PRNGKey(0)
    x = example.training_inputs(key, 1562, 64)
    notebook_x = jax.random.uniform(key, shape=(100_000,)) * 30.0
    np.testing.assert_array_equal(x.ravel(), notebook_x[: 1562 * 64])
