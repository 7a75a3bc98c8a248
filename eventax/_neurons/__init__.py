from ._alif import ALIF
from ._amos import AMOS
from ._base import NeuronModel
from ._egru import EGRU
from ._eif import EIF
from ._izhikevich import Izhikevich
from ._li import LI
from ._lif import LIF
from ._multi import MultiNeuronModel
from ._pizhikevich import pIzhikevich
from ._plif import PLIF
from ._pqif import PQIF
from ._qif import QIF
from ._refractory import Refractory

__all__ = [
    "ALIF",
    "AMOS",
    "EGRU",
    "EIF",
    "LI",
    "LIF",
    "PLIF",
    "PQIF",
    "QIF",
    "Izhikevich",
    "MultiNeuronModel",
    "NeuronModel",
    "Refractory",
    "pIzhikevich",
]
