from .evnn import EvNN

__all__ = ["EvNN"]
