"""To find out whether gradients are right."""

from ._gradient import check_gradient
from ._report import GradientCheck, GradientRow

__all__ = ["GradientCheck", "GradientRow", "check_gradient"]
