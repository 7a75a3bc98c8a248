"""The README's examples run."""

import re
from pathlib import Path

import jax.numpy as jnp

README = Path(__file__).resolve().parents[1] / "README.md"
TEXT = README.read_text("utf-8")


def code_blocks():
    for match in re.finditer(r"```python\n(.*?)```", TEXT, re.DOTALL):
        line = TEXT.count("\n", 0, match.start(1))
        yield "\n" * line + match[1]  # a traceback then names the README's own lines


def test_first_network_runs(capsys):
    (block,) = code_blocks()
    names = {}
    exec(compile(block, str(README), "exec"), names)  # our own text
    assert "inf" not in capsys.readouterr().out
    gradient = names["gradient"].neuron_model.weights
    assert gradient.shape == (13, 11)
    assert jnp.all(jnp.isfinite(gradient))
    assert jnp.any(gradient != 0)
