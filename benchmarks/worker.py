"""One measurement in a process of its own: `worker.py MODULE FUNCTION OPTIONS OUT`.

`MODULE.FUNCTION(options)` returns figures and arrays; they are written as
`OUT/figures.json` and `OUT/arrays.npz`, together with the versions in use.
"""

import importlib
import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

PACKAGES = (
    *("eventax", "jaxsnn", "jax", "jaxlib", "equinox", "diffrax", "optax"),
    *("nir", "norse", "snntorch", "torch"),
)


def versions() -> dict[str, str]:
    """Versions of Python and of packages that decide about speed, and the device."""
    found = {"python": platform.python_version()}
    if (jax := sys.modules.get("jax")) is not None:
        found["device"] = jax.devices()[0].device_kind
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            if name in sys.modules:
                found[name] = "working tree"
    return found


def main(module: str, function: str, options: str, out: str) -> None:
    """Run the measurement and write what it returns."""
    measure = getattr(importlib.import_module(module), function)
    figures, arrays = measure(json.loads(options))
    folder = Path(out)
    np.savez(folder / "arrays.npz", **arrays)
    written = {"figures": figures, "versions": versions()}
    (folder / "figures.json").write_text(json.dumps(written))


if __name__ == "__main__":
    main(*sys.argv[1:])
