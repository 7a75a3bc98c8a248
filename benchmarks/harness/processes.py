"""Run a measurement in a fresh process of one of the environments."""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .environments import BENCHMARKS, Environment

TIME_LIMIT = 600.0


@dataclass(frozen=True)
class Measurement:
    """What a worker returned; `error` says why it returned nothing."""

    figures: dict[str, float] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    error: str = ""


def run_worker(
    environment: Environment,
    module: str,
    options: Mapping[str, Any],
    function: str = "measure",
) -> Measurement:
    """Call `module.function(options)` in `environment` and collect its result."""
    with tempfile.TemporaryDirectory() as folder:
        command = [environment.python, BENCHMARKS / "worker.py", module, function]
        try:
            done = subprocess.run(
                [*command, json.dumps(options), folder],
                env=environment.process_variables(),
                capture_output=True,
                text=True,
                timeout=TIME_LIMIT,
            )
        except subprocess.TimeoutExpired:
            return Measurement(error=f"no result within {TIME_LIMIT:.0f} s")
        if done.returncode:
            return Measurement(error=_last_error(done.stderr))
        return _read(Path(folder))


def _read(folder: Path) -> Measurement:
    written = json.loads((folder / "figures.json").read_text())
    with np.load(folder / "arrays.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    return Measurement(written["figures"], arrays, written["versions"])


def _last_error(stderr: str) -> str:
    """The last line that names an error; hints may follow it."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    named = [line for line in lines if "Error: " in line.split(" ", 2)[0] + " "]
    return (named or lines or ["no message"])[-1]
