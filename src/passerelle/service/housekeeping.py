"""What goes on beside the work on movies: datasets are sent and people are told. Each in a thread of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from passerelle.service.notices import Notices
from passerelle.service.postman import Postman
from passerelle.service.wiring import Parts
from passerelle.service.wiring_transfers import transfer_runner


class Keeper(Protocol):
    """A thread that looks after something."""

    def start(self) -> None: ...

    def stop(self, timeout_seconds: float = 10.0) -> None: ...


class Housekeeping:
    """All of them."""

    def __init__(self, keepers: Sequence[Keeper]) -> None:
        self._keepers = tuple(keepers)

    def start(self) -> None:
        """Begin; returns at once."""
        for each in self._keepers:
            each.start()

    def stop(self) -> None:
        """End each after what it has in hand."""
        for each in reversed(self._keepers):
            each.stop()


def housekeeping(parts: Parts) -> Housekeeping:
    """Put together who looks after what. The caller starts and stops it."""
    outbox = Notices(parts.database, parts.settings)
    return Housekeeping([Postman(parts.database, outbox, parts.settings.notices), transfer_runner(parts, outbox)])
