"""Ways to take gradients, as `adjoint=` of a network."""

from ._flows import EventPropAdjoint

__all__ = ["EventPropAdjoint"]
