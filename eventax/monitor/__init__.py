"""What a network does with samples of the data: who fires how much."""

from ._activity import Activity, ActivityRow, activity

__all__ = ["Activity", "ActivityRow", "activity"]
