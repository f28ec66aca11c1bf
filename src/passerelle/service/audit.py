"""Every act is written down: done, refused or failed. What is done is recorded in the transaction that did it."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection

from passerelle.core.errors import NotAllowed, NotFound, PasserelleError
from passerelle.core.log import logger
from passerelle.service.access import Actor, Power, require
from passerelle.store import Database, audit


class AuditEntry(BaseModel):
    """A line of the audit log as faces show it."""

    id: int
    at: float
    person: str
    through: str
    address: str
    act: str
    subject: str
    result: str
    words: str
    data: dict[str, Any]


class Deed:
    """An act in the doing. Call `done` within the transaction that records its effect."""

    def __init__(self, actor: Actor, act: str, subject: str, at: float) -> None:
        self.actor, self.act, self.subject, self.at = actor, act, subject, at
        self.data: dict[str, Any] = {}
        self.recorded = False

    def done(self, connection: Connection, **data: Any) -> None:
        """Write down that the act was done; `data` says with what values."""
        self.write(connection, "done", data=self.data | data)
        self.recorded = True

    def write(self, connection: Connection, result: str, *, words: str = "", data: Mapping[str, Any] | None = None) -> None:
        """Write the act down with any result."""
        audit.add(
            connection,
            at=self.at,
            person=self.actor.audit_name,
            through=self.actor.through,
            address=self.actor.address,
            act=self.act,
            subject=self.subject,
            result=result,
            words=words,
            data=data or {},
        )


@contextmanager
def acting(database: Database, actor: Actor, act: str, subject: str = "", *, at: float | None = None) -> Generator[Deed]:
    """Do something that the audit log tells of, whether it is done, refused (the person may not) or failed.

    Raises:
        PasserelleError: whatever the block raises, once it is written down.
    """
    deed = Deed(actor, act, subject, time.time() if at is None else at)
    try:
        yield deed
    except PasserelleError as problem:
        refused = isinstance(problem, NotAllowed | NotFound)
        _tell(database, deed, "refused" if refused else "failed", str(problem))
        raise
    if not deed.recorded:
        with database.write() as connection:
            deed.done(connection)


def _tell(database: Database, deed: Deed, result: str, words: str) -> None:
    try:
        with database.write() as connection:
            deed.write(connection, result, words=words, data=deed.data)
    except PasserelleError as problem:  # the first error is the one to be told
        logger.error("audit_not_written", act=deed.act, result=result, why=str(problem))


def read_audit(
    database: Database,
    actor: Actor,
    *,
    limit: int = 100,
    before: int | None = None,
    person: str | None = None,
    subject: str | None = None,
    act: str | None = None,
) -> list[AuditEntry]:
    """Return the latest acts, newest first.

    Raises:
        NotAllowed: the person may not read the audit log.
    """
    require(actor, Power.AUDIT)
    with database.read() as connection:
        found = audit.latest(connection, limit=min(limit, 1000), before=before, person=person, subject=subject, act=act)
    return [_view(entry) for entry in found]


def check_audit(database: Database, actor: Actor) -> int | None:
    """Return the first line of the audit log that is not as it was written, or None where all are.

    Raises:
        NotAllowed: the person may not read the audit log.
    """
    require(actor, Power.AUDIT)
    with database.read() as connection:
        return audit.broken_at(connection)


class AuditLog:
    """The audit log of one facility, as faces read it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(
        self,
        actor: Actor,
        *,
        limit: int = 100,
        before: int | None = None,
        person: str | None = None,
        subject: str | None = None,
        act: str | None = None,
    ) -> list[AuditEntry]:
        """Return the latest acts, as `read_audit`."""
        return read_audit(self._database, actor, limit=limit, before=before, person=person, subject=subject, act=act)

    def every(
        self, actor: Actor, *, person: str | None = None, subject: str | None = None, act: str | None = None
    ) -> Iterator[AuditEntry]:
        """Return all acts, newest first, a thousand at a time from the database.

        Raises:
            NotAllowed: at once, before anything is read.
        """
        require(actor, Power.AUDIT)
        return self._pages(actor, person, subject, act)

    def _pages(self, actor: Actor, person: str | None, subject: str | None, act: str | None) -> Iterator[AuditEntry]:
        before: int | None = None
        while found := self.read(actor, limit=1000, before=before, person=person, subject=subject, act=act):
            yield from found
            before = found[-1].id

    def check(self, actor: Actor) -> int | None:
        """Return the first line that is not as it was written, as `check_audit`."""
        return check_audit(self._database, actor)


def _view(entry: audit.Entry) -> AuditEntry:
    return AuditEntry(
        id=entry.id,
        at=entry.at,
        person=entry.person,
        through=entry.through,
        address=entry.address,
        act=entry.act,
        subject=entry.subject,
        result=entry.result,
        words=entry.words,
        data=dict(entry.data),
    )
