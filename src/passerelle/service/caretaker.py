"""Looks after what goes wrong slowly: samples how disks fill, looks at what may go, and raises and ends alerts by the checks.

In a thread of its own: a smbd that does not answer, or a zone whose server is away, must not hold up the work on movies.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from passerelle.core.errors import PasserelleError
from passerelle.core.log import logger
from passerelle.service.buffer import Buffer
from passerelle.service.checks import Check, Level
from passerelle.store import Database, alerts

_LOOK_SECONDS = 60.0
_SAMPLE_SECONDS = 300.0
_OVERVIEW_SECONDS = 1800.0
# kinds of alerts that the checks raise; what another rule has raised is that one's to end
OURS = (
    "backup",
    "buffer_",
    "certificate_",
    "clock",
    "database",
    "directory",
    "notices",
    "shares",
    "smbd",
    "transfer_",
    "watch_",
    "work",
)


class Caretaker:
    """A thread of its own; `step` is one round of it. look: makes the checks."""

    def __init__(
        self, database: Database, buffer: Buffer, look: Callable[[], list[Check]], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._database, self._buffer, self._look, self._clock = database, buffer, look, clock
        self._checks: list[Check] = []
        self._next_sample = self._next_overview = self._looked_at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="caretaker", daemon=True)

    @property
    def checks(self) -> Sequence[Check]:
        """What the latest look said; empty before the first."""
        return self._checks

    @property
    def looked_at(self) -> float:
        """When that was; 0 before the first."""
        return self._looked_at

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """End after the look in hand."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def step(self) -> None:
        """Sample, look, raise and end alerts.

        Raises:
            Busy, StorageError: the database cannot be used now.
        """
        now = self._clock()
        if now >= self._next_sample:
            self._buffer.sample()
            self._next_sample = now + _SAMPLE_SECONDS
        checks = self._look()
        self._record(checks, now)
        self._checks, self._looked_at = checks, now
        if now >= self._next_overview:
            self._next_overview = now + _OVERVIEW_SECONDS
            self._buffer.look()

    def _record(self, checks: Sequence[Check], now: float) -> None:
        bad = {check.kind[:40]: check for check in checks if check.kind and check.level is not Level.WELL}
        with self._database.read() as connection:
            standing = {alert.kind for alert in alerts.standing(connection, muted=True) if alert.session_id is None}
        over = [kind for kind in standing if kind.startswith(OURS) and kind not in bad]
        if not bad and not over:
            return
        with self._database.write() as connection:
            for kind, check in bad.items():
                alerts.raise_(
                    connection,
                    kind,
                    level=check.level,
                    message=check.words,
                    advice=check.advice,
                    instrument=check.instrument,
                    at=now,
                )
            for kind in over:
                alerts.clear(connection, kind, at=now)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.step()
            except PasserelleError as problem:
                logger.warning("care_waits", why=str(problem))
            self._stop.wait(_LOOK_SECONDS)
