"""`python -m eventax` tells what is installed and how fast it is."""

import re
import runpy
from importlib.metadata import version

import pytest

from eventax._native import _library


@pytest.fixture(autouse=True)
def fresh():
    _library._loaded.cache_clear()
    yield
    _library._loaded.cache_clear()


def lines(capsys):
    runpy.run_module("eventax", run_name="__main__")
    printed = capsys.readouterr().out.splitlines()
    return dict(line.split(": ", 1) for line in printed)


def test_versions_library_devices_and_timing(capsys):
    said = lines(capsys)
    assert list(said) == ["versions", "library", "devices", "timing"]
    for name in ("eventax", "jax", "jaxlib", "equinox", "numpy"):
        assert f"{name} {version(name)}" in said["versions"]
    library = _library.load()
    if library:
        assert said["library"] == f"{library.path}, by {library.how}"
    engines = ["native", "jax"] if library else ["jax"]
    assert "1 x cpu" in said["devices"]
    times = re.findall(r"(\w+) ([\d.]+) ms", said["timing"])
    assert [name for name, _ in times] == engines
    assert all(float(time) > 0 for _, time in times)


def test_why_there_is_no_library(capsys, monkeypatch):
    monkeypatch.setenv("EVENTAX_NATIVE", "0")
    said = lines(capsys)
    why = "none, eventax runs on JAX: EVENTAX_NATIVE=0 switches it off"
    assert said["library"] == why
