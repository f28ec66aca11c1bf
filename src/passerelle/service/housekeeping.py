"""What goes on beside the work on movies: datasets are sent, people are told, buffer and health are looked after."""

from __future__ import annotations

from passerelle.service.access import Actor, Power, require
from passerelle.service.audit_sender import AuditSender
from passerelle.service.buffer import Buffer
from passerelle.service.buffer_view import RunView
from passerelle.service.caretaker import Caretaker
from passerelle.service.checks import Check
from passerelle.service.checks_service import Stand
from passerelle.service.dispatcher import Dispatcher
from passerelle.service.health import care, health
from passerelle.service.mutes import Mutes
from passerelle.service.notices import Notices
from passerelle.service.postman import Postman
from passerelle.service.purger import Purger
from passerelle.service.samba_writers import samba_writers
from passerelle.service.wiring import Parts
from passerelle.service.wiring_transfers import transfer_runner


def buffer_of(parts: Parts) -> Buffer:
    """Return the verbs on the buffer."""
    asked = samba_writers(parts.settings)
    return Buffer(parts.database, parts.instruments, parts.settings.buffer, parts.places.state, elsewhere=asked)


class Housekeeping:
    """All of it. Verbs may be called whether the threads run or not."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.buffer = buffer_of(parts)
        self.mutes = Mutes(parts.database, parts.instruments)
        self.notices = Notices(parts.database, parts.settings)
        self.purger = Purger(self.buffer)
        self._loop: Dispatcher | None = None
        self._seen: dict[int, Stand] = {}  # how far transfers were
        self._postman = Postman(parts.database, self.notices, parts.settings.notices)
        self._sender = transfer_runner(parts, self.notices)
        syslog = parts.settings.audit.syslog
        self._audit = [AuditSender(parts.database, syslog, parts.places.state / "audit-sent")] if syslog else []
        self._caretaker = Caretaker(parts.database, self.buffer, lambda: care(parts, self.buffer, self._loop, self._seen))

    @property
    def loop(self) -> Dispatcher | None:
        """The loop of the service, where it runs."""
        return self._loop

    def start(self, loop: Dispatcher | None = None) -> None:
        """Begin to look after everything; returns at once. loop: of the service that runs."""
        self._loop = loop
        for each in (self._postman, self._sender, self._caretaker, self.purger, *self._audit):
            each.start()

    def stop(self) -> None:
        """End each after what it has in hand."""
        for each in (*self._audit, self.purger, self._caretaker, self._sender, self._postman):
            each.stop()

    def checks(self, actor: Actor) -> list[Check]:
        """Return how everything is now; what takes long to find out, as it was at the latest look.

        Raises:
            NotAllowed: only who steers sees it.
        """
        require(actor, Power.STEER)
        slow = self._caretaker.checks or care(self.parts, self.buffer, self._loop)
        quick = health(self.parts, self._loop)
        names = {check.name for check in quick}
        return [*quick, *(check for check in slow if check.name not in names)]

    def purge_under_way(self) -> RunView | None:
        """Return the purge that runs now, or ran last."""
        return self.purger.run
