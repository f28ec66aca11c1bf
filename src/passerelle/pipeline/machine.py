"""Decide what becomes of one piece of work when something happens to it. Pure: no clock, no disk, no threads.

    QUEUED ──Started──▶ RUNNING ──Succeeded──▶ DONE
      ▲                   │ │
      │   Lost, Expired,  │ │  Failed, and no try is left
      ├── Failed ◀────────┘ └──────────────────▶ FAILED
      └── Requeued, from DONE and FAILED

A run has a token. What another run than the present one reports is dropped, so that no piece of work is done twice over: a worker
that outlived its service, or a result that comes after its lease, cannot overwrite what is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from passerelle.core.errors import IllegalMove
from passerelle.core.errors import Retry as MayRetry


class Phase(StrEnum):
    """Where a piece of work stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Work:
    """A piece of work. attempts: runs that ended badly or still run, since it was queued anew. token: of the present run."""

    key: int
    phase: Phase = Phase.QUEUED
    attempts: int = 0
    not_before: float | None = None
    token: str | None = None
    lease_until: float | None = None
    error: str | None = None
    advice: str | None = None
    interruptions: int = 0  # how often in a row the service went down while it ran


@dataclass(frozen=True, slots=True)
class Policy:
    """How often and how patiently to try. The wait doubles with each attempt, up to `longest_wait_seconds`."""

    max_attempts: int = 3
    retry_seconds: float = 5.0
    longest_wait_seconds: float = 600.0
    place_wait_seconds: float = 30.0  # after a failure that was not the work's fault
    hold_seconds: float = 10.0  # after one that would meet all work alike: then one piece is tried
    max_interruptions: int = 25  # the service went down so often in a row with this work running: it may be the work's doing
    lease_seconds: float = 3600.0

    def wait_seconds(self, attempts: int) -> float:
        """Return how long to wait after the attempt number `attempts` (from 1) failed."""
        return min(self.retry_seconds * 2.0 ** min(max(attempts - 1, 0), 60), self.longest_wait_seconds)


# -- what may happen ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """A run is about to begin; `token` names it."""

    at: float
    token: str


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The run ended and left its result."""

    at: float
    token: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The run ended with an error, in words."""

    at: float
    token: str
    words: str
    advice: str = ""
    retry: MayRetry = MayRetry.LATER
    counts: bool = True  # False: not the work's fault (its input is away, the disk is full), so that this try does not count
    holds: bool = False  # the place is at fault: whatever else would start now would meet the same


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker died; `words` say what is known of how."""

    at: float
    token: str
    words: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The service itself went down during the run, or (`began` False) the run never began: no attempt is counted.

    Work that takes the service down with it, as when memory runs out and the system ends all, must end, too: interruptions in a
    row are counted, and after `Policy.max_interruptions` the work is set aside.
    """

    at: float
    token: str | None
    began: bool = True


@dataclass(frozen=True, slots=True)
class Expired:
    """Time has passed: is the lease over?"""

    at: float


@dataclass(frozen=True, slots=True)
class Requeued:
    """A person, or a change of what the work depends on, asks for it to be done again."""

    at: float


Event = Started | Succeeded | Failed | Lost | Interrupted | Expired | Requeued

# -- what is to be done about it ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Launch:
    """Hand the work to the executor, once the new state is on the disk."""

    token: str


@dataclass(frozen=True, slots=True)
class TakeResult:
    """Record the result of this run together with the new state."""

    token: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Tell that it will be tried again at `at`."""

    at: float
    words: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """Tell a person that this piece of work was given up, and why; the rest goes on."""

    words: str
    advice: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End a run whose result is no longer wanted."""

    token: str


Instruction = Launch | TakeResult | Retry | SetAside | Stop
Answer = tuple[Work, tuple[Instruction, ...]]


def advance(work: Work, event: Event, policy: Policy) -> Answer:
    """Return the work as it stands after `event`, and what is to be done.

    A report of another run than the present one changes nothing.

    Raises:
        IllegalMove: this cannot happen to work in this phase; the message tells the whole story.
    """
    handler = _HANDLERS.get((work.phase, type(event)))
    if handler is not None:
        return handler(work, event, policy)
    if isinstance(event, Succeeded | Failed | Lost | Interrupted | Expired):
        return work, ()  # a late report about a run that is over
    raise IllegalMove(f"work {work.key} is {work.phase.value} (attempt {work.attempts}) and cannot take {event!r}.")


def _start(work: Work, event: Started, policy: Policy) -> Answer:
    if work.not_before is not None and event.at < work.not_before:
        raise IllegalMove(f"work {work.key} waits until {work.not_before} and cannot start at {event.at}.")
    running = replace(
        work,
        phase=Phase.RUNNING,
        attempts=work.attempts + 1,
        not_before=None,
        token=event.token,
        lease_until=event.at + policy.lease_seconds,
    )
    return running, (Launch(event.token),)


def _succeed(work: Work, event: Succeeded, policy: Policy) -> Answer:
    if event.token != work.token:
        return work, ()
    done = replace(_ended(work), phase=Phase.DONE, attempts=0, error=None, advice=None, interruptions=0)
    return done, (TakeResult(event.token),)


def _fail(work: Work, event: Failed, policy: Policy) -> Answer:
    if event.token != work.token:
        return work, ()
    if not event.counts:
        at = event.at + (policy.hold_seconds if event.holds else policy.place_wait_seconds)
        again = replace(_ended(work), phase=Phase.QUEUED, attempts=max(work.attempts - 1, 0), not_before=at, interruptions=0)
        return replace(again, error=event.words, advice=event.advice), (Retry(at, event.words),)
    return _try_again(work, event.at, event.words, event.advice, event.retry, policy)


def _lose(work: Work, event: Lost, policy: Policy) -> Answer:
    if event.token != work.token:
        return work, ()
    return _try_again(work, event.at, event.words, "", MayRetry.NOW, policy)


def _interrupt(work: Work, event: Interrupted, policy: Policy) -> Answer:
    if event.token != work.token:
        return work, ()
    count = work.interruptions + event.began
    if count >= policy.max_interruptions:
        words = f"The service ended {count} times in a row while it worked on this."
        advice = "See the system's log: does memory run out? Then use fewer workers, and have it done again."
        aside = replace(_ended(work), phase=Phase.FAILED, error=words, advice=advice, interruptions=0)
        return aside, (SetAside(words, advice),)
    return replace(_ended(work), phase=Phase.QUEUED, attempts=max(work.attempts - 1, 0), interruptions=count), ()


def _expire(work: Work, event: Expired, policy: Policy) -> Answer:
    if work.lease_until is None or event.at < work.lease_until or work.token is None:
        return work, ()
    words = f"It was not done within {policy.lease_seconds:.0f} s and was stopped."
    after, instructions = _try_again(work, event.at, words, "", MayRetry.LATER, policy)
    return after, (Stop(work.token), *instructions)


def _requeue(work: Work, event: Requeued, policy: Policy) -> Answer:
    return replace(_ended(work), phase=Phase.QUEUED, attempts=0, error=None, advice=None, interruptions=0), ()


def _try_again(work: Work, at: float, words: str, advice: str, retry: MayRetry, policy: Policy) -> Answer:
    if retry is MayRetry.NEVER or work.attempts >= policy.max_attempts:
        told = f"{words.rstrip('.')}. It was tried {work.attempts} times." if work.attempts > 1 else words
        return replace(_ended(work), phase=Phase.FAILED, error=told, advice=advice), (SetAside(told, advice),)
    work = replace(work, interruptions=0)
    wait = 0.0 if retry is MayRetry.NOW and work.attempts == 1 else policy.wait_seconds(work.attempts)
    again = replace(_ended(work), phase=Phase.QUEUED, not_before=at + wait if wait else None, error=words, advice=advice)
    return again, (Retry(at + wait, words),)


def _ended(work: Work) -> Work:
    return replace(work, token=None, lease_until=None, not_before=None)


_HANDLERS: dict[tuple[Phase, type], Callable[[Work, Any, Policy], Answer]] = {
    (Phase.QUEUED, Started): _start,
    (Phase.RUNNING, Succeeded): _succeed,
    (Phase.RUNNING, Failed): _fail,
    (Phase.RUNNING, Lost): _lose,
    (Phase.RUNNING, Interrupted): _interrupt,
    (Phase.RUNNING, Expired): _expire,
    (Phase.DONE, Requeued): _requeue,
    (Phase.FAILED, Requeued): _requeue,
}
