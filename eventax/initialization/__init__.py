"""Initial weights with which a network can learn: drawn, or scaled until it fires."""

from ._firing import scale_to_fire
from ._normal import RECIPES, Recipe, normal_weights
from ._projections import projection_weights
from ._waking import wake_silent

__all__ = [
    "RECIPES",
    "Recipe",
    "normal_weights",
    "projection_weights",
    "scale_to_fire",
    "wake_silent",
]
