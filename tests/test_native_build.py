"""Compiling the native core where it cannot be: one sentence, and `make` goes on."""

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))
from native import build
from native.targets import here

pytestmark = pytest.mark.skipif(not here(), reason="not written for this machine")


def test_nothing_can_be_written(monkeypatch, tmp_path, capsys):
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):  # root may write everywhere, but not into a file
        tmp_path = tmp_path / "file"
        tmp_path.touch()
    monkeypatch.setattr(build, "find_compiler", lambda: "a compiler")
    monkeypatch.setattr(build, "BESIDE", tmp_path / "folder")
    build._build_beside()
    said = capsys.readouterr().out
    assert said.startswith("No native core: nothing can be written to ")
    assert said.endswith("eventax runs on JAX, slower on CPUs.\n")
    assert said.count("\n") == 1


def test_no_compiler(monkeypatch, capsys):
    monkeypatch.setattr(build, "find_compiler", lambda: None)
    build._build_beside()
    said = capsys.readouterr().out
    assert said == (
        "No native core: there is no compiler of C++17. "
        "eventax runs on JAX, slower on CPUs.\n"
    )


@pytest.mark.parametrize("works", [True, False])
def test_a_compiler_is_asked_for_only_where_there_is_none(monkeypatch, works):
    monkeypatch.delenv("EVENTAX_NATIVE", raising=False)
    monkeypatch.setattr(build, "find_compiler", lambda: "a compiler" if works else None)
    asked = build.compiler_requirements()
    assert [r.split(">")[0] for r in asked] == ([] if works else ["ziglang"])
    monkeypatch.setenv("EVENTAX_NATIVE", "0")
    assert build.compiler_requirements() == []
