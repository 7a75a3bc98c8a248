from ._evnn import EvNN
from ._ffevnn import FFEvNN

__all__ = ["EvNN", "FFEvNN"]
