"""A batch over several devices: each simulates its own samples."""

from ._axes import with_auto_axes
from ._lowering import ask_for_devices
from ._parts import lower_in_parts
from ._python import call_python

__all__ = ["ask_for_devices", "call_python", "lower_in_parts", "with_auto_axes"]
