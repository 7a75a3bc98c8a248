"""Neuron models, and the base class for models of your own."""

from ._neurons import (
    ALIF,
    AMOS,
    EGRU,
    EIF,
    LI,
    LIF,
    PLIF,
    PQIF,
    QIF,
    Izhikevich,
    MultiNeuronModel,
    NeuronModel,
    Refractory,
    pIzhikevich,
)

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
