"""The outbox of notices: written with their cause, sent later by a thread, so that none is lost by a restart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from passerelle.store.paths import storable
from passerelle.store.tables_care import notices


class NoticeState(StrEnum):
    """A notice on its way to one receiver."""

    WAITING = "waiting"  # to be sent at `next_at`
    SENT = "sent"
    GIVEN_UP = "given_up"  # tried for too long; `problem` says why


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice to one receiver. person: whose address is meant, where the receiver is one that writes to people."""

    id: int
    cause: str
    receiver: str
    person: str
    kind: str
    level: str
    title: str
    body: str
    state: NoticeState
    made_at: float
    tries: int
    next_at: float
    ended_at: float | None
    problem: str


def add(
    connection: Connection,
    receivers: Iterable[str],
    *,
    cause: str,
    kind: str,
    level: str,
    title: str,
    body: str,
    person: str = "",
    at: float,
) -> int:
    """Put a notice into the outbox, once a cause and receiver; return to how many receivers it is new."""
    known = set(
        connection.execute(select(notices.c.receiver).where(notices.c.cause == cause, notices.c.person == person)).scalars()
    )
    words = {"kind": kind, "level": level, "title": storable(title), "body": storable(body)}
    rows = [
        {"cause": cause, "receiver": each, "person": person, "state": NoticeState.WAITING, "made_at": at, "next_at": at, **words}
        for each in dict.fromkeys(receivers)
        if each not in known
    ]
    if rows:
        connection.execute(insert(notices), rows)
    return len(rows)


def due(connection: Connection, *, at: float, limit: int) -> list[Notice]:
    """Return the notices to be sent now, those that wait longest first."""
    query = (
        select(notices)
        .where(notices.c.state == NoticeState.WAITING, notices.c.next_at <= at)
        .order_by(notices.c.next_at, notices.c.id)
        .limit(limit)
    )
    return [_notice(found) for found in connection.execute(query)]


def last_told(connection: Connection, beginning: str) -> tuple[int, float] | None:
    """Return how often somebody was told of causes that begin so, and when last; None where never."""
    query = select(func.count(notices.c.cause.distinct()), func.max(notices.c.made_at)).where(
        notices.c.cause.startswith(beginning, autoescape=True)
    )
    count, at = connection.execute(query).one()
    return (count, at) if count else None


def ended(connection: Connection, notice_id: int, state: NoticeState, *, problem: str = "", at: float) -> None:
    """Write down that a notice was sent or given up."""
    values = {"state": state, "problem": storable(problem), "ended_at": at, "tries": notices.c.tries + 1}
    connection.execute(update(notices).where(notices.c.id == notice_id).values(values))


def later(connection: Connection, notice_id: int, *, problem: str, next_at: float) -> None:
    """Write down that a notice could not be sent, and when it is tried again."""
    values = {"problem": storable(problem), "next_at": next_at, "tries": notices.c.tries + 1}
    connection.execute(update(notices).where(notices.c.id == notice_id).values(values))


def latest(connection: Connection, *, limit: int) -> list[Notice]:
    """Return the latest notices, newest first."""
    query = select(notices).order_by(notices.c.id.desc()).limit(limit)
    return [_notice(found) for found in connection.execute(query)]


def troubled(connection: Connection, *, since: float) -> list[Notice]:
    """Return the notices that could not be sent so far, and those given up since an instant."""
    tried = (notices.c.state == NoticeState.WAITING) & (notices.c.problem != "")
    lost = (notices.c.state == NoticeState.GIVEN_UP) & (notices.c.ended_at > since)
    return [_notice(found) for found in connection.execute(select(notices).where(tried | lost).order_by(notices.c.id))]


def counts(connection: Connection) -> dict[NoticeState, int]:
    """Return how many notices are in each state."""
    query = select(notices.c.state, func.count()).group_by(notices.c.state)
    return {NoticeState(state): count for state, count in connection.execute(query)}


def clear_before(connection: Connection, instant: float) -> None:
    """Forget notices that ended before an instant: the outbox has bounds."""
    connection.execute(delete(notices).where(notices.c.ended_at < instant))


def _notice(row: Row[Any]) -> Notice:
    return Notice(**{**row._mapping, "state": NoticeState(row.state)})
