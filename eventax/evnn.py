"""Event-driven networks."""

from ._networks import EvNN

__all__ = ["EvNN"]
