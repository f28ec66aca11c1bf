"""What happened, in order: written in the transaction of the change that it tells of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, select

from passerelle.store.paths import storable
from passerelle.store.tables import events
from passerelle.store.values import Event, value


def add(
    connection: Connection,
    kind: str,
    *,
    at: float,
    session_id: int | None = None,
    movie_id: int | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Write one event."""
    add_all(connection, [row(kind, at=at, session_id=session_id, movie_id=movie_id, data=data)])


def row(
    kind: str,
    *,
    at: float,
    session_id: int | None = None,
    movie_id: int | None = None,
    data: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Make the row of an event for `add_all`."""
    safe = {name: storable(inner) if isinstance(inner, str) else inner for name, inner in (data or {}).items()}
    return {"kind": kind, "at": at, "session_id": session_id, "movie_id": movie_id, "data": safe}


def add_all(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write many events, in their order."""
    if batch := list(rows):
        connection.execute(insert(events), batch)


def after(
    connection: Connection,
    event_id: int,
    *,
    session_id: int | None = None,
    among: Collection[int] | None = None,
    limit: int = 500,
) -> list[Event]:
    """Return the events with a larger id than `event_id`, oldest first: of one session, of those `among`, or all."""
    query = select(events).where(events.c.id > event_id).order_by(events.c.id).limit(limit)
    if session_id is not None:
        query = query.where(events.c.session_id == session_id)
    if among is not None:
        query = query.where(events.c.session_id.in_(among))
    return [value(Event, found) for found in connection.execute(query)]


def latest(connection: Connection, *, limit: int, session_id: int | None = None) -> list[Event]:
    """Return the latest events, oldest first."""
    query = select(events).order_by(events.c.id.desc()).limit(limit)
    if session_id is not None:
        query = query.where(events.c.session_id == session_id)
    return [value(Event, found) for found in connection.execute(query)][::-1]


def of_movie(connection: Connection, movie_id: int, *, limit: int = 200) -> list[Event]:
    """Return the latest events of a movie, oldest first."""
    query = select(events).where(events.c.movie_id == movie_id).order_by(events.c.id.desc()).limit(limit)
    return [value(Event, found) for found in connection.execute(query)][::-1]


def last_id(connection: Connection) -> int:
    """Return the id of the latest event, 0 if there is none."""
    return connection.execute(select(func.max(events.c.id))).scalar() or 0
