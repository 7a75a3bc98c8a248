"""A batch in blocks, one after the other, of no more lanes than suit the processor.

What is done for all samples at once goes through memory, not the cache, and all of
them go in step: each waits for the one with most to do. So a batch is cut, and a block
is of samples that have about as much to do.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

# Of a block, at most (measured: docs/more/measurements.md). For CPUs: accelerators do
# all lanes at once.
LANES = 4096


def samples_of_a_block(batch: int, lanes: int) -> int:
    """How many samples, of `lanes` each, are done at once; as even as can be."""
    if jax.default_backend() != "cpu":
        return batch
    most = max(LANES // lanes, 1)
    n_blocks = max(-(-batch // most), 1)
    return -(-batch // n_blocks)


class Blocks(NamedTuple):
    """Which samples of a batch are in which block.

    The last one is filled up with the last sample again.
    """

    samples: Int[Array, "blocks samples"]
    place: Int[Array, " batch"]  # of each sample among those of all blocks

    @classmethod
    def by(cls, work: Int[Array, " batch"], size: int) -> Blocks:
        """Blocks of so many samples, in order of the work to be done for each."""
        order = jnp.argsort(work, stable=True)
        rest = jnp.repeat(order[-1:], -len(order) % size)
        samples = jnp.concatenate([order, rest]).reshape(-1, size)
        return cls(samples, jnp.argsort(order))

    def cut(self, x: Array) -> Array:
        """Of each sample, to blocks."""
        return x[self.samples]

    def cut_once(self, x: Array) -> Array:
        """The same, but 0 for what fills up."""
        flat = x[self.samples.reshape(-1)]
        flat = flat.at[len(self.place) :].set(0)
        return flat.reshape(*self.samples.shape, *x.shape[1:])

    def join(self, x: Array) -> Array:
        """The inverse of `cut`."""
        return x.reshape(-1, *x.shape[2:])[self.place]
