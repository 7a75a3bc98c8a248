"""The README's example runs, and its table is that of the stored results."""

import importlib.util
import re
from pathlib import Path

import jax.numpy as jnp

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
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


def test_table_is_that_of_the_stored_results():
    path = ROOT / "benchmarks" / "peers.py"
    spec = importlib.util.spec_from_file_location("peers", path)
    peers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peers)
    assert peers.table() in TEXT, "python benchmarks/peers.py prints the newest"


def test_files_it_leads_to_exist():
    links = re.findall(r"\]\(([^)\s]+)\)", TEXT)
    inside = [link.split("#")[0] for link in links if "://" not in link]
    assert len(inside) > 15
    for link in inside:
        assert (ROOT / link).is_file(), link
