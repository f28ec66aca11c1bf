"""All that a face may ask of the service, in one object: verbs by subject, each of which takes who asks."""

from __future__ import annotations

from collections.abc import Callable

from passerelle.service.access import Actor
from passerelle.service.attempts import Attempts
from passerelle.service.audit import AuditLog
from passerelle.service.doorkeeper import Doorkeeper
from passerelle.service.grid import Grids
from passerelle.service.housekeeping import Housekeeping
from passerelle.service.live import Live
from passerelle.service.passwords import Passwords
from passerelle.service.tokens import Tokens
from passerelle.service.wiring import Parts
from passerelle.service.wiring_people import files_of, log_ins_of, people_of, shares_of, zones_of
from passerelle.service.wiring_transfers import datasets_of, transfers_of


class Facility:
    """One facility. Every method of what it holds may be called from any thread. wake: called when there is new work.

    Raises:
        BadConfiguration: who checks passwords is configured wrongly, or a library for it is not installed.
    """

    def __init__(self, parts: Parts, *, wake: Callable[[], None] = lambda: None, passwords: Passwords | None = None) -> None:
        self.parts = parts
        self.wake = wake
        passwords = passwords or Passwords()
        self.log_ins = log_ins_of(parts, passwords)
        self.doorkeeper = Doorkeeper(parts.database, parts.settings.people, self.log_ins)
        self.people = people_of(parts, passwords)
        self.tokens = Tokens(parts.database, parts.settings.people)
        self.audit = AuditLog(parts.database)
        self.attempts = Attempts(parts.database)
        self.shares = shares_of(parts)
        self.zones = zones_of(parts)
        self.datasets = datasets_of(parts)
        self.transfers = transfers_of(parts)
        self.keeping = Housekeeping(parts)
        self.files = files_of(parts, self.zones)
        self._grids = Grids(parts.database, parts.instruments)

    def close(self) -> None:
        """End the processes that make previews."""
        self.files.close()

    def live(self, actor: Actor) -> Live:
        """Return the sessions as `actor` may see and steer them."""
        return Live(self.parts, actor, grids=self._grids, wake=self.wake)

    def last_event_id(self) -> int:
        """Return the id of the newest event, 0 where there is none: whether there is news, and nothing of what."""
        return self.parts.status.last_event_id()
