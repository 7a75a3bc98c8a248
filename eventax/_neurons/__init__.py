from ._base import NeuronModel
from ._lif import LIF
from ._qif import QIF

__all__ = ["LIF", "QIF", "NeuronModel"]
