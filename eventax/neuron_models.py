"""Neuron models, and the base class for models of your own."""

from ._neurons import LIF, QIF, NeuronModel

__all__ = ["LIF", "QIF", "NeuronModel"]
