"""Sends what lies in the outbox, in a thread of its own: a mail server that hangs holds up nothing else.

A notice is marked as sent after its server took it. Killed in that very moment, it is sent once more: rather twice than never.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from passerelle.core.errors import BadConfiguration, NotFound, PasserelleError
from passerelle.core.log import logger
from passerelle.service.notices import Notices
from passerelle.service.receivers import Receiver, deliver
from passerelle.service.settings_care import NoticeSettings
from passerelle.store import Database, notices, people
from passerelle.store.notices import Notice, NoticeState

_LOOK_SECONDS = 10.0
_AT_ONCE = 50
_FIRST_WAIT_SECONDS = 30.0
_LONGEST_WAIT_SECONDS = 3600.0
_KEEP_SECONDS = 90 * 24 * 3600.0


def wait_seconds(tries: int) -> float:
    """Return how long to wait after so many tries that failed: 30 s, then twice as long each time, an hour at most."""
    return min(_FIRST_WAIT_SECONDS * 2.0 ** min(tries - 1, 20), _LONGEST_WAIT_SECONDS)


class Postman:
    """A thread of its own; `step` is one round of it."""

    def __init__(
        self,
        database: Database,
        outbox: Notices,
        rules: NoticeSettings,
        *,
        send: Callable[..., None] = deliver,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database, self._outbox, self._rules = database, outbox, rules
        self._send, self._clock = send, clock
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="postman", daemon=True)
        outbox.wake = self._wake.set

    def start(self) -> None:
        """Begin, if there is anybody to send to."""
        if self._rules.urls_file is not None:
            self._thread.start()

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """End after the notice in hand."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def step(self) -> int:
        """Take up new alerts and send what is due; return how many were sent.

        Raises:
            Busy, StorageError: the database cannot be used now.
            PasserelleError: the file of receivers cannot be read.
        """
        self._outbox.collect(self._clock())
        known = self._outbox.receivers()
        with self._database.read() as connection:
            waiting = notices.due(connection, at=self._clock(), limit=_AT_ONCE)
        sent = 0
        for notice in waiting:
            if self._stop.is_set():
                break
            sent += self._deliver(notice, known.get(notice.receiver))
        return sent

    def _deliver(self, notice: Notice, receiver: Receiver | None) -> bool:
        problem: PasserelleError | None = None
        if receiver is None:
            problem = NotFound(f"There is no receiver `{notice.receiver}` any more.", advice="See notices.urls_file.")
        else:
            try:
                self._send(receiver, title=notice.title, body=notice.body, level=notice.level, mail=self._mail(notice.person))
            except PasserelleError as error:
                problem = error
        now = self._clock()
        with self._database.write() as connection:
            if problem is None:
                notices.ended(connection, notice.id, NoticeState.SENT, at=now)
            elif isinstance(problem, NotFound | BadConfiguration) or now - notice.made_at >= self._rules.give_up_hours * 3600:
                notices.ended(connection, notice.id, NoticeState.GIVEN_UP, problem=str(problem), at=now)
            else:
                notices.later(connection, notice.id, problem=str(problem), next_at=now + wait_seconds(notice.tries + 1))
            notices.clear_before(connection, now - _KEEP_SECONDS)
        if problem is not None:
            logger.warning("notice_not_sent", notice=notice.id, receiver=notice.receiver, why=str(problem))
        return problem is None

    def _mail(self, person: str) -> str:
        if not person:
            return ""
        with self._database.read() as connection:
            found = people.find(connection, person)
        return found.mail if found is not None else ""

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            try:
                self.step()
            except PasserelleError as problem:
                logger.warning("notices_wait", why=str(problem))
            self._wake.wait(_LOOK_SECONDS)
