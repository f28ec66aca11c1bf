"""Runs purges beside the rest of the service: one that a person asked for, and those by rule."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from passerelle.core.errors import Busy, PasserelleError
from passerelle.core.log import logger
from passerelle.service.access import Actor, Through, this_account
from passerelle.service.buffer import Buffer, purge_view
from passerelle.service.buffer_view import PurgeView, RunView
from passerelle.service.purge import Report

_EVERY_SECONDS = 1800.0
_FIRST_SECONDS = 60.0
_NOTHING = PurgeView(files=0, bytes=0, folders=0, kept_files=0, kept=[], stopped=False)


class Purger:
    """A thread of its own that waits for what a person asks, and looks every half hour what goes by rule."""

    def __init__(self, buffer: Buffer, *, clock: Callable[[], float] = time.time) -> None:
        self._buffer, self._clock = buffer, clock
        self._asked: tuple[Actor, str, str | None, str | None] | None = None
        self._run_view: RunView | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="purger", daemon=True)

    @property
    def run(self) -> RunView | None:
        """The purge that runs now, or ran last; None where none has."""
        return self._run_view

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """End after the files in hand."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def ask(self, actor: Actor, digest: str, *, instrument: str | None = None, dataset: str | None = None) -> None:
        """Have what was shown purged; returns at once, `run` tells how far it is.

        Raises:
            NotAllowed, Conflict: as `Buffer.may_purge`. Busy: another purge runs or waits.
        """
        self._buffer.may_purge(actor, digest)
        with self._lock:
            if self._asked is not None or (self._run_view is not None and self._run_view.ended_at is None):
                raise Busy("Another purge runs.", advice="Wait until it has ended.")
            self._asked = (actor, digest, instrument, dataset)
            self._run_view = RunView(person=actor.audit_name, began_at=self._clock(), ended_at=None, done=_NOTHING)
        self._wake.set()

    def step(self) -> None:
        """Do what was asked for, else what goes by rule."""
        with self._lock:
            asked, self._asked = self._asked, None
        if asked is not None:
            actor, digest, instrument, dataset = asked
            self._watched(
                actor,
                lambda told: self._buffer.purge(
                    actor, digest, instrument=instrument, dataset=dataset, stop=self._stop, told=told
                ),
            )
        else:
            actor = this_account(Through.SERVICE)
            self._watched(actor, lambda _: self._buffer.purge_by_rule(actor, stop=self._stop), quiet=True)

    def _watched(
        self, actor: Actor, verb: Callable[[Callable[[Report], None]], PurgeView | None], *, quiet: bool = False
    ) -> None:
        began = self._clock()

        def told(report: Report) -> None:
            self._run_view = RunView(person=actor.audit_name, began_at=began, ended_at=None, done=purge_view(report))

        error, done = "", None
        try:
            done = verb(told)
        except PasserelleError as problem:
            logger.warning("purge_ended", why=str(problem))
            error = str(problem)
        if quiet and not error and (done is None or not (done.files or done.kept_files)):
            return
        last = self._run_view.done if self._run_view is not None and not quiet else _NOTHING
        self._run_view = RunView(person=actor.audit_name, began_at=began, ended_at=self._clock(), done=done or last, error=error)

    def _run(self) -> None:
        wait = _FIRST_SECONDS
        try:
            self._buffer.recover(this_account(Through.SERVICE))
        except PasserelleError as problem:  # another purge runs: it clears up itself
            logger.warning("purge_not_cleared_up", why=str(problem))
        while not self._stop.is_set():
            asked = self._wake.wait(wait)
            self._wake.clear()
            if self._stop.is_set():
                return
            if asked and self._asked is None:
                continue
            self.step()
            wait = _EVERY_SECONDS
