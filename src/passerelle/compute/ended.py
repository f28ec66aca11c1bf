"""The word by which an executor says that a run is over (`pipeline.Ended`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ended:
    """A run is over. lost: None when the task returned; else, in words, how its worker was lost.

    unwritten: the task returned, and the place would not take its outcome: why, in words.
    """

    handle: str
    lost: str | None = None
    unwritten: str | None = None
