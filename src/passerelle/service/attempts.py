"""Attempts to get around what holds the pages are written down: refused at the door, before any verb knows of them.

A stranger chooses how many there are, so they are bounded: what comes again within a minute is counted, and
told with the next line.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum

from passerelle.core.errors import PasserelleError
from passerelle.core.log import logger
from passerelle.store import Database, audit

EACH_SECONDS = 60.0
MOST_LINES = 20  # of all kinds and addresses, within that time
_UNKNOWN = "unknown"


class Attempt(StrEnum):
    """What was refused."""

    HOST = "foreign_host"  # a name that is none of this service's
    ORIGIN = "foreign_origin"  # a change asked for by a page of another site
    FORM = "forged_form"  # a change without the token of the page, or with a wrong one
    TOKEN = "forged_token"  # of a program
    SIZE = "too_large"
    BODY = "malformed_body"


class Attempts:
    """Writes attempts to the audit log, not many. May be called from any thread."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = database, clock
        self._lock = threading.Lock()
        self._written: dict[tuple[Attempt, str], float] = {}
        self._left_out = 0

    def note(self, attempt: Attempt, *, address: str, path: str, person: str = "", through: str = "page") -> None:
        """Write an attempt down, unless its like was within the last minute. person: who was logged in, where that is known."""
        now = self._clock()
        with self._lock:
            self._written = {key: at for key, at in self._written.items() if 0 <= now - at < EACH_SECONDS}
            if (attempt, address) in self._written or len(self._written) >= MOST_LINES:
                self._left_out += 1
                return
            self._written[attempt, address] = now
            left_out, self._left_out = self._left_out, 0
        data = {"left_out_before": left_out} if left_out else {}
        subject = f"page:{path}"
        try:
            with self._database.write() as connection:
                audit.add(
                    connection,
                    at=now,
                    person=person or _UNKNOWN,
                    through=through,
                    address=address,
                    act="attempt",
                    subject=subject,
                    result="refused",
                    words=attempt,
                    data=data,
                )
        except PasserelleError as problem:
            logger.error("audit_not_written", act="attempt", result="refused", why=str(problem))
