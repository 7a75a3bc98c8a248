"""Who hears whom: masks of networks, built of populations and patterns.

`connect`, `layers` and `excitatory_inhibitory` return a `Connectivity`, which holds
what a network asks for: `EvNN(LIF, **layers([256, 20], in_size=700), ...)`. The other
functions make patterns, boolean arrays (senders, receivers) from which `connect` puts a
network together. See `docs/connectivity.md`.
"""

from ._balance import excitatory_inhibitory
from ._connect import connect
from ._connectivity import Connectivity
from ._distance import by_distance, grid
from ._images import conv2d, image_size, pool2d
from ._layers import layers
from ._random import fixed_in_degree, one_to_one, random

__all__ = [
    "Connectivity",
    "by_distance",
    "connect",
    "conv2d",
    "excitatory_inhibitory",
    "fixed_in_degree",
    "grid",
    "image_size",
    "layers",
    "one_to_one",
    "pool2d",
    "random",
]
