"""How often instruments' folders are looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the poll looks, in seconds. It slows down by itself so that it never takes more than about 5 % of a core.

    watched_seconds: folders in use, where events come. polled_seconds: the same, where none come. sweep_seconds: every file.
    """

    watched_seconds: float = 5.0
    polled_seconds: float = 2.0
    sweep_seconds: float = 60.0
    active_seconds: float = 60.0  # a folder counts as in use so long after its last change
    idle_seconds: float = 0.25  # longest wait for an event, so that a stop is heard
    hangs_seconds: float = 30.0  # a folder that has not answered for so long is shown as unreachable
