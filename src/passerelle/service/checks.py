"""What a look at one thing says: well, or a warning or an error with words and advice."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How it is with something that was looked at."""

    WELL = "well"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; words say what was found, advice what to do.

    kind: of the alert that it raises while the service runs; "" where another rule raises one. instrument: which it is about.
    """

    name: str
    level: Level
    words: str
    advice: str = ""
    kind: str = ""
    instrument: str | None = None

    @property
    def well(self) -> bool:
        return self.level is Level.WELL


def worst(checks: list[Check]) -> Level:
    """Return the gravest level of all."""
    order = list(Level)
    return max((check.level for check in checks), key=order.index, default=Level.WELL)
