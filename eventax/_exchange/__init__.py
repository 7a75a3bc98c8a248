"""Networks in the format of other tools: the Neuromorphic Intermediate Representation.

From a network to a graph: `_populations` groups neurons, `_write` makes nodes and
edges. Back: `_load` gets nodes and edges, `_trace` follows spikes (`_signals`) through
nodes that are linear (`_maps`), and `_build` makes the network of `_models` and
`_synapses`. Both ways share `_kinds`, what a node of neurons means, `_conventions`, on
what files disagree, and `_notes`, what is written beside the equations so that a
network comes back as it was.
"""

from ._read import from_nir
from ._write import to_nir

__all__ = ["from_nir", "to_nir"]
