"""Random networks through an engine, against the oracle: `make fuzz`.

Prints how many agreed, and every kind of network that tells nothing and why. `--out`
stores that too: each file under `docs/results/random_networks` is part of the table in
`random_networks.md` beside it.
"""

import argparse
import collections
import json
import pathlib
import platform
import sys
import time
import traceback
from importlib.metadata import version

import jax
import numpy as np
import random_networks as rn

from eventax._native import load

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "benchmarks"))
from harness import machine  # benchmarks/harness/machine.py


def choose(rng: np.random.Generator) -> rn.Draw:
    """A random network: the same choices as hypothesis makes, but evenly."""
    pick = lambda values: values[rng.integers(len(values))]  # noqa: E731
    return rn.Draw(
        model=pick(rn.MODELS),
        wrapper=pick(rn.WRAPPERS),
        n=pick([1, 2, 5]),
        m=pick([0, 1, 3]),
        per_input=pick([0, 1, 4]),
        connections=pick(rn.CONNECTIONS),
        delays=bool(rng.random() < 0.3),
        axonal=bool(rng.random() < 0.3),
        t0=pick([0.0, 0.0, -25.0, 12.5]),
        grid=bool(rng.random() < 0.3),
        spread=bool(rng.random() < 0.5),
        seed=int(rng.integers(2**20)),
    )


def about(engine: str) -> dict[str, str | int]:
    """What a result depends on besides the networks."""
    packages = {name: version(name) for name in ("jax", "jaxlib", "numpy")}
    library = load() if engine == "native" else None
    how = {"library": library.instructions} if library else {}
    return machine.describe() | how | {"python": platform.python_version()} | packages


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--engine", default="native", choices=["native", "jax"])
    parser.add_argument("--single", action="store_true", help="float32")
    parser.add_argument("--gradients", action="store_true", help="in place of values")
    parser.add_argument(
        "--several", type=int, default=1, help="networks that are one program"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, help="a JSON file for the result")
    given = parser.parse_args()
    # Not when this is imported: other tests run as most users do.
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(given.seed)
    dtype = np.float32 if given.single else np.float64
    what = "gradients" if given.gradients else dtype.__name__
    counts: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    several = 1 if given.gradients else given.several
    told = {"engine": given.engine, "of": what, "seed": given.seed, "several": several}
    told["about"], start = about(given.engine), time.time()

    def store() -> None:
        if given.out:
            found = {"counts": counts, "wrong": wrong}
            given.out.write_text(json.dumps(told | found, indent=1) + "\n")

    def run(draw: rn.Draw) -> list[str | Exception]:
        if draw.n == 1 and ", " in draw.model:
            return ["one neuron, two models"] * several
        try:
            if given.gradients:
                return [rn.compare_gradient(draw, given.engine)]
            if several == 1:
                return [rn.compare(draw, given.engine, dtype)]
            return rn.compare_several(draw, given.engine, dtype, several)
        except Exception as error:
            return [error]

    for k in range(several, given.examples + several, several):
        draw = choose(rng)
        for number, one in enumerate(run(draw)):
            counts[one if isinstance(one, str) else "WRONG"] += 1
            if isinstance(one, Exception):
                wrong.append(f"{draw}, {number}")
                text = traceback.format_exception_only(one)[-1].strip().splitlines()
                print(draw, number, *text[:6], sep="\n  ", flush=True)
        if k % 100 < several:
            print(k, dict(counts), f"{time.time() - start:.0f} s", flush=True)
            store()  # so that what was interrupted has told something
            # Thousands of programs would take all memory mappings of a process.
            jax.clear_caches()
    print(given.engine, what, dict(counts))
    store()
    return len(wrong) > 0


if __name__ == "__main__":
    sys.exit(main())
