"""In which order queued work is started."""

from __future__ import annotations

from enum import StrEnum


class Order(StrEnum):
    """Newest first shows the state of the microscope now; oldest first is fair; alternating does a little of both."""

    NEWEST_FIRST = "newest_first"
    OLDEST_FIRST = "oldest_first"
    ALTERNATING = "alternating"


class Turns:
    """Say, start after start, from which end of the queue to take."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self._started = 0

    @property
    def newest(self) -> bool:
        """Whether the next start takes the newest."""
        if self.order is Order.ALTERNATING:
            return self._started % 2 == 0
        return self.order is Order.NEWEST_FIRST

    def taken(self) -> None:
        """Count a start."""
        self._started += 1
