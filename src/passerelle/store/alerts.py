"""Alerts: one open at most of each kind in a session; raising it again refreshes its words."""

from __future__ import annotations

import time

from sqlalchemy import Connection, insert, select, update

from passerelle.core.errors import NotFound
from passerelle.store import events, mutes
from passerelle.store.paths import storable
from passerelle.store.tables import alerts, sessions
from passerelle.store.values import Alert, value


def raise_(
    connection: Connection,
    kind: str,
    *,
    level: str,
    message: str,
    advice: str = "",
    session_id: int | None = None,
    instrument: str | None = None,
    at: float,
) -> None:
    """Open an alert, or change the words of the open one of this kind; an event tells of what is new.

    instrument: which one it is about; of an alert of a session it is known.
    """
    words = {"level": level, "message": storable(message), "advice": storable(advice)}
    open_one = connection.execute(select(alerts).where(_of(kind, session_id), alerts.c.closed_at.is_(None))).first()
    if open_one is None:
        if instrument is None and session_id is not None:
            instrument = connection.execute(select(sessions.c.instrument).where(sessions.c.id == session_id)).scalar()
        row = {"kind": kind, "session_id": session_id, "instrument": instrument, "opened_at": at}
        connection.execute(insert(alerts).values(**row, **words))
    elif (open_one.level, open_one.message, open_one.advice) != tuple(words.values()):
        connection.execute(update(alerts).where(alerts.c.id == open_one.id).values(**words))
        if open_one.level == level:
            return  # a number in the words changed; no need to wake anybody
    else:
        return
    events.add(connection, "alert_open", at=at, session_id=session_id, data={"alert": kind, **words})


def clear(connection: Connection, kind: str, *, session_id: int | None = None, at: float) -> None:
    """Close the open alert of this kind, if there is one."""
    changed = connection.execute(
        update(alerts).where(_of(kind, session_id), alerts.c.closed_at.is_(None)).values(closed_at=at)
    ).rowcount
    if changed:
        events.add(connection, "alert_closed", at=at, session_id=session_id, data={"alert": kind})


def get(connection: Connection, alert_id: int) -> Alert:
    """Return an alert.

    Raises:
        NotFound: there is none with this id.
    """
    found = connection.execute(select(alerts).where(alerts.c.id == alert_id)).one_or_none()
    if found is None:
        raise NotFound(f"There is no alert {alert_id}.")
    return value(Alert, found)


def standing(
    connection: Connection, *, session_id: int | None = None, muted: bool = False, at: float | None = None
) -> list[Alert]:
    """Return the open alerts, latest first: of one session, or of all and of the machine; `muted`: also those that are muted.

    at: the instant that counts for mutes; now, if left out.
    """
    query = select(alerts).where(alerts.c.closed_at.is_(None)).order_by(alerts.c.opened_at.desc(), alerts.c.id.desc())
    if session_id is not None:
        query = query.where(alerts.c.session_id == session_id)
    found = [value(Alert, row) for row in connection.execute(query)]
    if muted or not found:
        return found
    quiet = mutes.standing(connection, at=time.time() if at is None else at)
    return [alert for alert in found if mutes.covering(alert, quiet) is None]


def closed(connection: Connection, *, limit: int) -> list[Alert]:
    """Return the alerts closed last, latest first."""
    query = select(alerts).where(alerts.c.closed_at.is_not(None)).order_by(alerts.c.closed_at.desc()).limit(limit)
    return [value(Alert, found) for found in connection.execute(query)]


def close(connection: Connection, alert_id: int, *, at: float) -> None:
    """Close an alert by hand; the same cause may open another.

    Raises:
        NotFound: there is no such open alert.
    """
    found = connection.execute(select(alerts).where(alerts.c.id == alert_id, alerts.c.closed_at.is_(None))).one_or_none()
    if found is None:
        raise NotFound(f"There is no open alert {alert_id}.")
    clear(connection, found.kind, session_id=found.session_id, at=at)


def _of(kind: str, session_id: int | None):
    same = alerts.c.session_id.is_(None) if session_id is None else alerts.c.session_id == session_id
    return (alerts.c.kind == kind) & same
