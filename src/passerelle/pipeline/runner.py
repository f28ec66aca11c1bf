"""Keep an executor full with queued work, record each end, and after a restart take up what was left."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from passerelle.core.errors import PasserelleError, storage_errors
from passerelle.core.log import logger
from passerelle.pipeline.executor import Ended, Executor
from passerelle.pipeline.machine import (
    Event,
    Expired,
    Failed,
    Instruction,
    Interrupted,
    Launch,
    Lost,
    Phase,
    Policy,
    Started,
    Stop,
    Succeeded,
    Work,
    advance,
)
from passerelle.pipeline.order import Order, Turns


@dataclass(frozen=True, slots=True)
class Result:
    """What a task left: its JSON, and the error if it says that it could not do its work."""

    content: Mapping[str, Any]
    failed: Failed | None = None


class Ledger(Protocol):
    """Where work is written down, durably. The runner's memory is nothing; this is the truth."""

    def startable(self, *, now: float, newest: bool, but_not: Iterable[int]) -> Work | None:
        """Return the queued work that is next in this order, if any may start now."""
        ...

    def running(self) -> Sequence[Work]:
        """Return all work that is marked as running."""
        ...

    def token(self, work: Work, *, at: float) -> str:
        """Name a run that starts at `at`: usable as a file name, and to be had again from `running` after a restart."""
        ...

    def task(self, work: Work) -> tuple[str, Mapping[str, Any]]:
        """Return the name of the task and its specification.

        Raises:
            PasserelleError: it cannot be done, and why; it is set aside or retried as the error says.
        """
        ...

    def read(self, work: Work, content: Mapping[str, Any], *, at: float) -> Result:
        """Say whether a task's outcome is a result or an error."""
        ...

    def record(
        self,
        before: Work,
        after: Work,
        instructions: tuple[Instruction, ...],
        *,
        at: float,
        result: Result | None = None,
    ) -> bool:
        """Write the new state and the result in one transaction. False: it is not `before` any more, nothing was written."""
        ...


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass of the runner did."""

    started: int = 0
    ended: int = 0
    running: int = 0

    @property
    def idle(self) -> bool:
        """Whether nothing happened and nothing runs."""
        return not (self.started or self.ended or self.running)


class Runner:
    """Moves work between a ledger and an executor; one thread calls it, pass after pass.

    outcomes: the folder where tasks leave their outcomes, one file a run, named by its token.
    """

    def __init__(
        self, ledger: Ledger, executor: Executor, outcomes: Path, *, policy: Policy, order: Order = Order.NEWEST_FIRST
    ) -> None:
        self.ledger = ledger
        self.executor = executor
        self.outcomes = outcomes
        self.policy = policy
        self.turns = Turns(order)
        self._live: dict[str, Work] = {}  # handle -> work as it was recorded when it started
        self._ended: dict[str, Ended] = {}  # reported by the executor, not yet recorded
        self._hold: tuple[float, str] | None = None  # until when nothing is started, and why

    @property
    def waits_for(self) -> str:
        """Say why nothing is started, though there is work: what the last run met would meet all. Empty while all is well."""
        return "" if self._hold is None else self._hold[1]

    def reconcile(self, now: float, *, sweep: bool = True) -> None:
        """After a restart: take results that are on the disk, queue again what was running, sweep what nobody waits for.

        Also after the ledger failed in the middle of a pass, then with `sweep=False`: live workers are writing.
        """
        with storage_errors(self.outcomes):
            self.outcomes.mkdir(parents=True, exist_ok=True)
        kept: set[str] = set()
        for work in self.ledger.running():
            if any(work.token == live.token for live in self._live.values()):
                kept.add(self._outcome(work).name)
            elif self._outcome(work).exists():
                self._take(work, now)
            else:
                self._apply(work, Interrupted(now, work.token, began=sweep), now)
        if not sweep:
            return
        with storage_errors(self.outcomes):
            for path in self.outcomes.iterdir():
                if path.name not in kept:
                    path.unlink(missing_ok=True)

    def step(self, now: float, *, start: bool = True) -> Pass:
        """Make one pass: record what ended, stop what hangs, start what there is room for (`start=False`: only the first two).

        Raises:
            Busy, StorageError: the ledger cannot be written now; the next pass goes on from what is recorded.
        """
        ended = self._collect(now)
        self._expire(now)
        started = self._fill(now) if start else 0
        return Pass(started=started, ended=ended, running=len(self._live))

    def _collect(self, now: float) -> int:
        ended = 0
        self._ended.update({end.handle: end for end in self.executor.poll() if end.handle in self._live})
        for handle, end in list(self._ended.items()):
            work = self._live[handle]
            if self._outcome(work).exists():
                self._take(work, now)
            elif end.unwritten is not None:
                failed = Failed(now, str(work.token), end.unwritten, counts=False, holds=True)
                self._apply(work, failed, now, Result({}, failed))
            else:
                words = end.lost or "Its worker ended without leaving a result."
                self._apply(work, Lost(now, str(work.token), words), now)
            # forgotten only now: where the ledger could not be written, the next pass takes it again
            del self._ended[handle], self._live[handle]
            ended += 1
        return ended

    def _take(self, work: Work, now: float) -> None:
        path = self._outcome(work)
        content = _read(path)
        token = str(work.token)
        if content is None:
            self._apply(work, Lost(now, token, "Its result on the disk is damaged."), now)
        else:
            result = self.ledger.read(work, content, at=now)
            self._apply(work, result.failed or Succeeded(now, token), now, result)
        with storage_errors(path):
            path.unlink(missing_ok=True)

    def _expire(self, now: float) -> None:
        for handle, work in list(self._live.items()):
            after, instructions = advance(work, Expired(now), self.policy)
            if after is work:
                continue
            self.ledger.record(work, after, instructions, at=now)
            del self._live[handle]
            if any(isinstance(each, Stop) for each in instructions):
                self.executor.cancel(handle)
            logger.warning("work_expired", key=work.key, token=work.token)

    def _fill(self, now: float) -> int:
        started = 0
        # a piece of work that was queued anew while it runs waits for the old run to end: both would write to one place
        refused = [work.key for work in self._live.values()]
        while len(self._live) < self._room(now):
            work = self.ledger.startable(now=now, newest=self.turns.newest, but_not=refused)
            if work is None:
                break
            if self._start(work, now):
                started += 1
            else:
                refused.append(work.key)
        return started

    def _room(self, now: float) -> int:
        """Return how many may run now: while the place is at fault none, and after a while one, to see whether it is mended."""
        if self._hold is None:
            return self.executor.capacity
        return 1 if now >= self._hold[0] else 0

    def _start(self, work: Work, now: float) -> bool:
        running, instructions = advance(work, Started(now, self.ledger.token(work, at=now)), self.policy)
        try:
            task, spec = self.ledger.task(work)
        except PasserelleError as error:
            if self.ledger.record(work, running, instructions, at=now):
                failed = Failed(now, str(running.token), error.message, error.advice, error.retry)
                self._apply(running, failed, now)
            return False
        if not self.ledger.record(work, running, instructions, at=now):
            return False
        self.turns.taken()
        launch = next(each for each in instructions if isinstance(each, Launch))
        outcome = self.outcomes / f"{launch.token}.json"
        try:
            handle = self.executor.submit(task, spec, outcome)
        except PasserelleError as error:
            self._apply(running, Interrupted(now, running.token, began=False), now)
            logger.warning("work_not_started", key=work.key, error=str(error))
            return False
        self._live[handle] = running
        return True

    def _apply(self, work: Work, event: Event, now: float, result: Result | None = None) -> None:
        after, instructions = advance(work, event, self.policy)
        if after is work:
            return
        if isinstance(event, Failed) and event.holds:
            self._hold = now + self.policy.hold_seconds, event.words
        elif isinstance(event, Succeeded) or (isinstance(event, Failed) and event.counts):
            self._hold = None
        taken = result if after.phase is Phase.DONE or isinstance(event, Failed) else None
        if not self.ledger.record(work, after, instructions, at=now, result=taken):
            logger.info("result_dropped", key=work.key, token=work.token, why="it was changed meanwhile")

    def _outcome(self, work: Work) -> Path:
        return self.outcomes / f"{work.token}.json"


def _read(path: Path) -> Mapping[str, Any] | None:
    with storage_errors(path):
        content = path.read_bytes()
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
