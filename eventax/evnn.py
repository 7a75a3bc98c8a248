"""Event-driven networks."""

from ._networks import EvNN, FFEvNN

__all__ = ["EvNN", "FFEvNN"]
