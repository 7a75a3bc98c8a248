"""The user's notebook runs as it was given, with fewer training samples."""

import hashlib
import json

import nbformat
from execution import ROOT, execute, pictures_in

NOTEBOOK = ROOT / "examples" / "regression.ipynb"
CODE_HASH = "9f5b711521152a4d69ebde1be26da06e237d8b836cc43d0510a85fdaa06c8c75"
N_SAMPLES = "n_samples = 100_000\n"
N_SAMPLES_HERE = "n_samples = 640\n"

# Runs after the notebook's own cells. After ten steps `y_pred` still is the prediction
# made after the first one.
REPORT = """
import json
def _test_loss(prediction):
    return float(jnp.mean((jnp.minimum(prediction, 80) - y_test) ** 2))
print(json.dumps({
    "steps": num_steps,
    "first": _test_loss(y_pred),
    "last": _test_loss(batched_ttfs(snn, X_test_in)),
    "train_loss": float(loss),
    "weights": bool(np.isfinite(W_hist).all()),
    "bias": bool(np.isfinite(IC_hist).all()),
}))
"""


def code_of(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def test_notebook_code_is_as_given():
    code = "\0".join(code_of(nbformat.read(NOTEBOOK, as_version=4)))
    assert hashlib.sha256(code.encode()).hexdigest() == CODE_HASH


def test_notebook_runs(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert sum(source.count(N_SAMPLES) for source in code_of(notebook)) == 1
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = cell.source.replace(N_SAMPLES, N_SAMPLES_HERE)
    notebook.cells.append(nbformat.v4.new_code_cell(REPORT))

    execute(notebook, tmp_path)

    *_, training_cell, report_cell = notebook.cells
    assert pictures_in(training_cell) >= 2  # weights and bias currents
    report = json.loads(report_cell.outputs[0].text)
    assert report["steps"] == 10
    assert report["weights"]
    assert report["bias"]
    assert report["train_loss"] < 1.0
    assert report["last"] < report["first"]
