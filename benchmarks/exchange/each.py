"""Worker: several runs of one client in one process, which has to start only once."""

import importlib
from typing import Any

from harness.reference import Arrays


def each(options: dict[str, Any]) -> tuple[dict[str, float], Arrays]:
    """Call `function` of `client` with each of `runs`: arrays "run/neuron"."""
    module = importlib.import_module(f"exchange.{options['client']}")
    function = getattr(module, options["function"])
    found = {}
    for number, run in enumerate(options["runs"]):
        _, arrays = function(run)
        found |= {f"{number}/{name}": array for name, array in arrays.items()}
    return {}, found
