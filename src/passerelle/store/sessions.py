"""Sessions: found once by instrument and root, opened, closed, and the recipe and thresholds in force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select, update

from passerelle.core.errors import NotFound
from passerelle.core.states import SessionState, move
from passerelle.store import events
from passerelle.store.tables import sessions
from passerelle.store.values import Session, value


def find(connection: Connection, instrument: str, root: str) -> Session | None:
    """Return the session of an instrument that lies in `root`, if it is known."""
    query = select(sessions).where(sessions.c.instrument == instrument, sessions.c.root == root)
    found = connection.execute(query).one_or_none()
    return None if found is None else value(Session, found)


def create(
    connection: Connection,
    *,
    instrument: str,
    root: str,
    name: str,
    program: str,
    recipe: Mapping[str, Any],
    thresholds: Mapping[str, Any],
    at: float,
) -> Session:
    """Write a new, open session.

    Raises:
        Conflict: there is one in this place already.
    """
    row = {
        "instrument": instrument,
        "root": root,
        "name": name,
        "program": program,
        "state": SessionState.OPEN,
        "opened_at": at,
        "recipe": dict(recipe),
        "thresholds": dict(thresholds),
    }
    session_id = connection.execute(insert(sessions).values(row).returning(sessions.c.id)).scalar_one()
    events.add(connection, "session_open", at=at, session_id=session_id, data={"name": name, "root": root, "program": program})
    return get(connection, session_id)


def get(connection: Connection, session_id: int) -> Session:
    """Return a session.

    Raises:
        NotFound: there is none with this id.
    """
    found = connection.execute(select(sessions).where(sessions.c.id == session_id)).one_or_none()
    if found is None:
        raise NotFound(f"There is no session {session_id}.")
    return value(Session, found)


def every(connection: Connection) -> list[Session]:
    """Return all sessions, the one with the latest file first."""
    latest = sessions.c.last_file_at
    query = select(sessions).order_by((latest.is_(None)), latest.desc(), sessions.c.id.desc())
    return [value(Session, found) for found in connection.execute(query)]


def opened(connection: Connection) -> list[Session]:
    """Return the sessions that nobody has closed, in the order of `every`."""
    return [session for session in every(connection) if session.state is SessionState.OPEN]


def change_state(connection: Connection, session_id: int, target: SessionState, *, at: float) -> Session:
    """Open or close a session, with its event.

    Raises:
        IllegalMove: it is in that state already.
    """
    session = get(connection, session_id)
    move(session.state, target, what=f"session {session.name}")
    closed_at = at if target is SessionState.CLOSED else None
    connection.execute(update(sessions).where(sessions.c.id == session_id).values(state=target, closed_at=closed_at))
    events.add(connection, f"session_{target.value}", at=at, session_id=session_id)
    return get(connection, session_id)


def change(connection: Connection, session_id: int, kind: str, *, at: float, **values: Any) -> Session:
    """Change values that are not a state (recipe, thresholds, expected_frames), with an event that says what they became."""
    connection.execute(update(sessions).where(sessions.c.id == session_id).values(**values))
    events.add(connection, kind, at=at, session_id=session_id, data=values)
    return get(connection, session_id)


def touch(connection: Connection, session_id: int, *, last_file_at: float) -> None:
    """Note when the latest file came; no event, since the file has its own."""
    later = (sessions.c.last_file_at.is_(None)) | (sessions.c.last_file_at < last_file_at)
    connection.execute(update(sessions).where(sessions.c.id == session_id, later).values(last_file_at=last_file_at))
