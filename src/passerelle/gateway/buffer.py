"""What may go from a gateway folder, and when it is full: decided from values and the time, without looking at a disk.

A file may go when all of this holds; each reason why it may not is said in words:

- its dataset has ended: the session was closed, or, where nobody closed it, nothing in it has changed for `quiet_days`;
- since then `age_days` have passed;
- nothing goes on with it: no movie waits to be processed, no transfer is under way;
- so many zones as `copies` says have a verified copy of it, as it is now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

_DAY = 86400.0
_CLOCK_SECONDS = 120.0  # a change later than now by more than that is a clock that is wrong


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule of a facility."""

    age_days: float
    quiet_days: float
    copies: int

    @property
    def words(self) -> str:
        """The rule for the record of what was deleted."""
        copies = "1 verified copy" if self.copies == 1 else f"verified copies in {self.copies} zones"
        return f"{self.age_days:g} days after its end (closed, or quiet for {self.quiet_days:g} days), {copies}"


@dataclass(frozen=True, slots=True)
class Stay:
    """How a dataset lies in the gateway. changed_at: the latest change of any file in it. closed_at: None while it is open.

    busy: what still goes on with it, in sentences.
    """

    changed_at: float
    closed_at: float | None = None
    busy: tuple[str, ...] = ()


class Answer(NamedTuple):
    """Whether something may go, and why not. goes_at: when the time is reached, where only that is missing."""

    may_go: bool
    reasons: tuple[str, ...] = ()
    goes_at: float | None = None


def dataset_may_go(stay: Stay, rule: Rule, now: float) -> Answer:
    """Say whether the time of a dataset has come, whatever its copies."""
    if stay.changed_at > now + _CLOCK_SECONDS:
        return Answer(False, ("Its latest change lies in the future: a clock is wrong.", *stay.busy))
    ended_at = stay.changed_at if stay.closed_at is None else max(stay.closed_at, stay.changed_at)
    wait_days = max(rule.age_days, rule.quiet_days) if stay.closed_at is None else rule.age_days
    goes_at = ended_at + wait_days * _DAY
    reasons = list(stay.busy)
    if stay.closed_at is None and now < ended_at + rule.quiet_days * _DAY:
        reasons.append("Its session is open, and files have changed lately.")
    elif now < goes_at:
        reasons.append(f"Its age is not reached: {_days(goes_at - now)} to go.")
    return Answer(not reasons, tuple(reasons), None if stay.busy else goes_at)


def file_may_go(zones: frozenset[str], rule: Rule, *, changed: bool) -> Answer:
    """Say whether there are copies enough of a file. zones: those with a verified copy of it as it is now.

    changed: a copy has it with another size or time.
    """
    if len(zones) >= rule.copies:
        return Answer(True)
    if zones:
        return Answer(False, (f"Only {len(zones)} of {rule.copies} zones that are asked for have a verified copy.",))
    return Answer(False, ("It has changed since it was copied." if changed else "No verified copy of it is on record.",))


class Sample(NamedTuple):
    """The room on a disk at an instant."""

    at: float
    free_bytes: int
    total_bytes: int


def inflow(samples: Sequence[Sample], freed_bytes: int, now: float, seconds: float) -> float | None:
    """Return how many bytes a second have come in over the last `seconds`; None where too little was sampled to say.

    freed_bytes: what was purged in that time; without it there would be less room now.
    """
    recent = [sample for sample in samples if now - sample.at <= seconds]
    if len(recent) < 2 or recent[-1].at - recent[0].at < min(seconds / 4, 600.0):
        return None
    used = recent[0].free_bytes - recent[-1].free_bytes + freed_bytes
    return max(0.0, used / (recent[-1].at - recent[0].at))


def seconds_until(latest: Sample, percent: float, bytes_per_second: float | None) -> float | None:
    """Return when a disk is so full at this rate, 0 where it is already; None where it does not fill."""
    left = latest.free_bytes - latest.total_bytes * (1.0 - percent / 100.0)
    if left <= 0:
        return 0.0
    return left / bytes_per_second if bytes_per_second else None


def _days(seconds: float) -> str:
    if seconds >= _DAY:
        return f"{seconds / _DAY:.1f} days"
    return f"{max(1, round(seconds / 3600))} h"
