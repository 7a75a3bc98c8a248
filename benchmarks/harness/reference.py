"""Reference results, computed once and stored with a hash of what they depend on."""

import hashlib
import importlib
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .environments import ROOT

Arrays = Mapping[str, np.ndarray]


def cached(path: Path, inputs: Arrays, compute: Callable[[], Arrays]) -> Arrays:
    """The arrays stored at `path`, computed anew if `inputs` are not those stored."""
    key = fingerprint(inputs)
    if path.exists():
        with np.load(path) as stored:
            if str(stored["fingerprint"]) == key:
                return {name: stored[name] for name in stored.files}
    arrays = {**compute(), "fingerprint": np.asarray(key)}
    np.savez_compressed(path, **arrays)  # pyright: ignore[reportArgumentType]
    return arrays


def oracle(name: str) -> ModuleType:
    """A module of `tests/oracle`."""
    sys.path.insert(0, str(ROOT))
    return importlib.import_module(f"tests.oracle.{name}")


def slope(
    loss: Callable[[dict[str, np.ndarray], Any], tuple[float, Hashable]],
    samples: Iterable[Any],
    leaves: Arrays,
    noise: float,
) -> Arrays:
    """Derivative of the mean of `loss` along a fixed random direction.

    Args:
        loss: leaves and a sample -> a scalar and the order of events.
        samples: what the mean is over, differentiated each for itself.
        leaves: by name, float64. What is 0 is left out of the direction.
        noise: absolute precision of `loss`.

    Returns:
        `slope`, and `direction`, the leaves' directions as one vector. As these are
        standard normal, a gradient's error in that direction is about as large as its
        norm.
    """
    differences = oracle("finite_differences")
    rng = np.random.default_rng(2)
    direction = {k: rng.normal(size=x.shape) * (x != 0) for k, x in leaves.items()}
    found = [
        differences.directional(
            lambda moved, sample=sample: loss(moved, sample),
            leaves,
            direction,
            scale=0.01,
            noise=noise,
            rtol=1e-6,
        ).value
        for sample in samples
    ]
    flat = np.concatenate([x.ravel() for x in direction.values()])
    return {"slope": np.asarray(np.mean(found)), "direction": flat}


def fingerprint(inputs: Arrays) -> str:
    """SHA-256 over names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(inputs):
        value = np.ascontiguousarray(inputs[name])
        digest.update(f"{name} {value.dtype} {value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
