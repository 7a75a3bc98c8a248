"""Data sets: drawn on the spot, or read from files that you have.

Nothing is downloaded.
"""

from ._idx import idx_images, idx_labels
from ._mnist import fashion_mnist, mnist
from ._shd import shd
from ._yin_yang import yin_yang

__all__ = ["fashion_mnist", "idx_images", "idx_labels", "mnist", "shd", "yin_yang"]
