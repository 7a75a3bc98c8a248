from ._evnn import EvNN

__all__ = ["EvNN"]
