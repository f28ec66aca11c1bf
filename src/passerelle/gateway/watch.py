"""The watch over all instruments' folders: one thread an instrument, so that a share that hangs holds up no other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self

from passerelle.core.errors import PasserelleError, Retry
from passerelle.core.log import logger
from passerelle.gateway.change import Change, FolderChange, FolderState, InstrumentFolder, KnownFiles, Sink
from passerelle.gateway.pace import Pace
from passerelle.gateway.patrol import Patrol
from passerelle.gateway.settle import SettleRules

_BATCH = 1000
_LONGEST_BACKOFF_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class FolderStatus:
    """How one instrument's folder is doing now.

    present: files known and there; awaited: of these, not whole yet. listed: everything in it was seen at least once.
    """

    state: FolderState
    reason: str
    present: int
    awaited: int
    listed: bool = False


class Watch:
    """Watches instruments' folders and hands every change to the sink, each file exactly once a content.

    known: asked once an instrument when its thread starts. The sink's return is the acknowledgement: what it did not record is
    found again after a restart. While the sink refuses (a locked database), nothing is lost: the batch is offered again.
    """

    def __init__(
        self,
        folders: Sequence[InstrumentFolder],
        known: KnownFiles,
        sink: Sink,
        *,
        rules: SettleRules | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._known, self._sink = known, sink
        self._rules, self._pace = rules or SettleRules(), pace or Pace()
        self._stop = Event()
        self._sink_lock = Lock()
        self._waits_for = ""
        self._rounds = [_Round(folder, self) for folder in folders]
        self._guard = Thread(target=self._watch_over, name="gateway-guard", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        for each in self._rounds:
            each.thread.start()
        self._guard.start()

    def stop(self, timeout_seconds: float = 10.0) -> bool:
        """Stop, and say whether all threads have ended: one that hangs in a dead mount cannot be ended."""
        self._stop.set()
        deadline = time.monotonic() + timeout_seconds
        for each in self._rounds:
            if each.thread.ident is not None:
                each.thread.join(max(0.0, deadline - time.monotonic()))
        return not any(each.thread.is_alive() for each in self._rounds)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def statuses(self) -> dict[str, FolderStatus]:
        """Say how each instrument's folder is doing."""
        return {each.folder.name: each.status() for each in self._rounds}

    @property
    def error(self) -> PasserelleError | None:
        """What ended an instrument's thread, None while all is well."""
        return next((each.error for each in self._rounds if each.error is not None), None)

    @property
    def waits_for(self) -> str:
        """Why what was found cannot be handed on now; empty while it can."""
        return self._waits_for

    def _deliver(self, changes: Sequence[Change], alive: _Round) -> bool:
        """Offer changes until they are taken; False when the watch was stopped before."""
        for first in range(0, len(changes), _BATCH):
            batch = tuple(changes[first : first + _BATCH])
            backoff = 0.1
            while True:
                try:
                    with self._sink_lock:
                        self._sink.take(batch)
                    self._waits_for = ""
                    break
                except PasserelleError as error:
                    if error.retry is Retry.NEVER:
                        raise
                    self._waits_for = str(error)
                    logger.warning("gateway_sink_busy", error=str(error), changes=len(batch))
                alive.beat()
                if self._stop.wait(backoff):
                    return False
                backoff = min(2 * backoff, _LONGEST_BACKOFF_SECONDS)
        return True

    def _watch_over(self) -> None:
        """Tell of folders that do not answer, and of those that answer again."""
        while not self._stop.wait(min(1.0, self._pace.hangs_seconds / 2)):
            for each in self._rounds:
                if (change := each.check_pulse()) is None:
                    continue
                try:
                    self._deliver([change], each)
                except PasserelleError as error:
                    each.error = error


class _Round:
    """One instrument's thread."""

    def __init__(self, folder: InstrumentFolder, watch: Watch) -> None:
        self.folder = folder
        self.error: PasserelleError | None = None
        self.thread = Thread(target=self._run, name=f"gateway-{folder.name}", daemon=True)
        self._watch = watch
        self._patrol: Patrol | None = None
        self._delivering = False
        self._started_at = time.monotonic()
        self._hangs = False

    def beat(self) -> None:
        if self._patrol is not None:
            self._patrol.beat = time.monotonic()

    def status(self) -> FolderStatus:
        patrol = self._patrol
        if self.error is not None:
            return FolderStatus(FolderState.UNREACHABLE, str(self.error), 0, 0)
        if patrol is None or self._hangs:
            return FolderStatus(FolderState.UNREACHABLE, "It does not answer." if self._hangs else "Not looked at yet.", 0, 0)
        return FolderStatus(patrol.state, patrol.reason, patrol.present, patrol.awaited, patrol.listed)

    def check_pulse(self) -> FolderChange | None:
        """Return a change when the folder has stopped answering, or answers again."""
        patrol = self._patrol
        if not self.thread.is_alive() or self._delivering:
            return None
        beat = patrol.beat if patrol is not None else self._started_at
        limit = self._watch._pace.hangs_seconds
        hangs = time.monotonic() - beat > limit
        if hangs == self._hangs:
            return None
        self._hangs = hangs
        now = time.time()
        if hangs:
            reason = f"It has not answered for {limit:.0f} s. Is its server up?"
            return FolderChange(instrument=self.folder.name, state=FolderState.UNREACHABLE, reason=reason, at=now)
        state, reason = (patrol.state, patrol.reason) if patrol is not None else (FolderState.UNREACHABLE, "")
        return FolderChange(instrument=self.folder.name, state=state, reason=reason, at=now)

    def _run(self) -> None:
        watch = self._watch
        self._started_at = time.monotonic()
        rules = watch._rules
        if self.folder.quiet_seconds != rules.quiet_seconds:
            rules = replace(rules, quiet_seconds=self.folder.quiet_seconds)
        ended = False
        try:
            patrol = Patrol(self.folder, watch._known(self.folder.name), rules, watch._pace)
            self._patrol = patrol
            try:
                while not watch._stop.is_set():
                    changes = patrol.step(watch._stop.wait)
                    if changes:
                        self._delivering = True
                        watch._deliver(changes, self)
                        patrol.acknowledged(changes)
                        self._delivering = False
                        patrol.beat = time.monotonic()
                ended = True
            finally:
                patrol.close()
        except PasserelleError as error:
            self.error = error
            logger.error("gateway_watch_ended", instrument=self.folder.name, error=str(error))
        finally:
            if not ended and self.error is None:
                self.error = PasserelleError(f"The watch of {self.folder.name} ended by an unforeseen error; the log has it.")
