"""Notices: alerts and ends of transfers go to people by mail and chat. One a cause, and not again until it is over.

What is to be sent is written down first, with its cause; the postman (service/postman.py) sends it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel
from sqlalchemy import Connection

from passerelle.core.errors import BadInput, PasserelleError
from passerelle.service.access import Actor, Power, require
from passerelle.service.audit import acting
from passerelle.service.receivers import LEVELS, Receiver, chosen, deliver, read_receivers
from passerelle.service.settings import Settings
from passerelle.service.settings_care import NoticeSettings
from passerelle.store import Alert, Database, Session, alerts, notices, people, sessions

_MOST_LETTERS = 200


class NoticeView(BaseModel):
    """A notice as faces show it."""

    id: int
    receiver: str
    person: str
    kind: str
    level: str
    title: str
    state: str
    made_at: float
    ended_at: float | None
    tries: int
    problem: str


class TestView(BaseModel):
    """What came of a notice that was sent to try a receiver."""

    receiver: str
    sent: bool
    words: str


@dataclass(frozen=True, slots=True)
class Words:
    """What is told of a cause."""

    cause: str
    kind: str
    level: str
    title: str
    body: str


class Notices:
    """The notices of a facility. `wake` is called when there is something to send."""

    def __init__(self, database: Database, settings: Settings, *, wake: Callable[[], None] = lambda: None) -> None:
        self._database, self._settings = database, settings.notices
        self._facility = settings.facility
        self.wake = wake

    def receivers(self) -> dict[str, Receiver]:
        """Return who gets notices, by name, as the file says now.

        Raises:
            PasserelleError: the file cannot be read, or is wrong.
        """
        return read_receivers(self._settings.urls_file)

    def notify(
        self, person: str | None, title: str, body: str, *, cause: str, kind: str = "transfer", level: str = "info"
    ) -> int:
        """Put a notice into the outbox: to a person, or (None) to all receivers that want this kind and level.

        cause: what it is about, as `transfer:17:done`; a second notice of the same cause is not sent.
        Return to how many receivers it goes. Never raises what concerns receivers: who ends a transfer is not held up by a mail.

        Raises:
            Busy, StorageError: the database cannot be used now.
        """
        with self._database.write() as connection:
            count = self.put(connection, person, title, body, cause=cause, kind=kind, level=level)
        if count:
            self.wake()
        return count

    def put(
        self,
        connection: Connection,
        person: str | None,
        title: str,
        body: str,
        *,
        cause: str,
        kind: str = "transfer",
        level: str = "info",
        at: float | None = None,
    ) -> int:
        """Do as `notify`, within the transaction that records the cause; call `wake` after it."""
        if level not in LEVELS:
            raise BadInput(f"There is no level {level!r}.", advice=f"Choose of {', '.join(LEVELS)}.")
        try:
            known = self.receivers()
        except PasserelleError:  # the health page says it
            return 0
        names = chosen(known, self._settings.to, kind=kind, level=level, personal=person is not None)
        return notices.add(
            connection,
            names,
            cause=cause,
            kind=kind,
            level=level,
            title=f"{self._facility}: {title}"[:_MOST_LETTERS],
            body=body,
            person=person or "",
            at=time.time() if at is None else at,
        )

    def collect(self, now: float) -> int:
        """Put alerts that nobody was told of into the outbox; return how many notices that makes.

        Raises:
            Busy, StorageError: the database cannot be used now.
        """
        if self._settings.urls_file is None:
            return 0
        with self._database.read() as connection:
            standing = alerts.standing(connection, at=now)
            known = {session.id: session for session in sessions.every(connection)} if standing else {}
            new = list(_to_tell(connection, standing, known, self._settings, now))
        if not new:
            return 0
        with self._database.write() as connection:
            return sum(
                self.put(connection, None, each.title, each.body, cause=each.cause, kind=each.kind, level=each.level, at=now)
                for each in new
            )

    def latest(self, actor: Actor, *, limit: int = 100) -> list[NoticeView]:
        """Return the latest notices, newest first.

        Raises:
            NotAllowed: only who steers may see them.
        """
        require(actor, Power.STEER)
        with self._database.read() as connection:
            return [_view(each) for each in notices.latest(connection, limit=min(limit, 1000))]

    def send_test(self, actor: Actor, receiver: str | None = None) -> list[TestView]:
        """Send a notice to one receiver, or to all, now; return what came of each. One that writes to people writes to the actor.

        Raises:
            NotAllowed: only who steers may. BadInput: there is no such receiver. PasserelleError: the file cannot be read.
        """
        require(actor, Power.STEER)
        known = self.receivers()
        if receiver is not None and receiver not in known:
            raise BadInput(f"There is no receiver {receiver!r}.", advice=f"Known: {', '.join(known) or 'none'}.")
        wanted = [each for name, each in known.items() if receiver in (None, name)]
        with acting(self._database, actor, "notice_test", receiver or "all"):
            with self._database.read() as connection:
                mail = _mail(connection, actor.name)
            return [self._try(each, actor, mail) for each in wanted]

    def _try(self, receiver: Receiver, actor: Actor, mail: str) -> TestView:
        title = f"{self._facility}: a notice to try the way"
        body = f"{actor.name} sent this to see whether notices of passerelle arrive here. They do."
        try:
            deliver(receiver, title=title, body=body, level="info", mail=mail)
        except PasserelleError as problem:
            return TestView(receiver=receiver.name, sent=False, words=str(problem))
        return TestView(receiver=receiver.name, sent=True, words="sent")


def _to_tell(
    connection: Connection, standing: Sequence[Alert], known: Mapping[int, Session], rules: NoticeSettings, now: float
) -> Iterator[Words]:
    """Yield what is to be told of: new alerts, graver ones, and those that have stood for long."""
    for alert in standing:
        session = known.get(alert.session_id or 0)
        like = f"{alert.kind}/{alert.session_id or ''}/{alert.instrument or ''}/{alert.level}/"
        of_this = notices.last_told(connection, f"{like}{alert.id}/")
        of_like = notices.last_told(connection, like)
        number = 0 if of_this is None else of_this[0]
        if is_due(None if of_this is None else of_this[1], None if of_like is None else of_like[1], rules, now):
            yield _words(alert, session, f"{like}{alert.id}/{number}", rules.link, again=number > 0)


def is_due(of_this: float | None, of_like: float | None, rules: NoticeSettings, now: float) -> bool:
    """Say whether an open alert is to be told of. of_this, of_like: when it, or one like it, was last told of."""
    if of_this is not None:
        return bool(rules.again_hours) and now - of_this >= rules.again_hours * 3600
    return of_like is None or now - of_like >= rules.not_again_minutes * 60


def _words(alert: Alert, session: Session | None, cause: str, link: str, *, again: bool) -> Words:
    where = " · ".join(filter(None, (alert.instrument, session.name if session else None)))
    title = f"{'still ' if again else ''}{alert.level}{f' · {where}' if where else ''}: {alert.message}"
    page = f"{link.rstrip('/')}/alerts" if link else ""
    return Words(cause, alert.kind, alert.level, title, "\n\n".join(filter(None, (alert.message, alert.advice, page))))


def _mail(connection: Connection, name: str) -> str:
    found = people.find(connection, name)
    return found.mail if found is not None else ""


def _view(each: notices.Notice) -> NoticeView:
    return NoticeView(
        id=each.id,
        receiver=each.receiver,
        person=each.person,
        kind=each.kind,
        level=each.level,
        title=each.title,
        state=each.state,
        made_at=each.made_at,
        ended_at=each.ended_at,
        tries=each.tries,
        problem=each.problem,
    )
