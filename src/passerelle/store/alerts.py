"""Alerts: one open at most of each kind in a session; raising it again refreshes its words."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from passerelle.core.errors import NotFound
from passerelle.store import events
from passerelle.store.paths import storable
from passerelle.store.tables import alerts
from passerelle.store.values import Alert, value


def raise_(
    connection: Connection, kind: str, *, level: str, message: str, advice: str = "", session_id: int | None = None, at: float
) -> None:
    """Open an alert, or change the words of the open one of this kind; an event tells of what is new."""
    words = {"level": level, "message": storable(message), "advice": storable(advice)}
    open_one = connection.execute(select(alerts).where(_of(kind, session_id), alerts.c.closed_at.is_(None))).first()
    if open_one is None:
        connection.execute(insert(alerts).values(kind=kind, session_id=session_id, opened_at=at, muted=False, **words))
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


def mute(connection: Connection, alert_id: int, *, at: float) -> Alert:
    """Take an alert off the pages without saying that its cause is gone.

    Raises:
        NotFound: there is no such alert.
    """
    if not connection.execute(update(alerts).where(alerts.c.id == alert_id).values(muted=True)).rowcount:
        raise NotFound(f"There is no alert {alert_id}.")
    found = value(Alert, connection.execute(select(alerts).where(alerts.c.id == alert_id)).one())
    events.add(connection, "alert_muted", at=at, session_id=found.session_id, data={"alert": found.kind})
    return found


def standing(connection: Connection, *, session_id: int | None = None, muted: bool = False) -> list[Alert]:
    """Return the open alerts, latest first: of one session, or of all and of the machine; `muted`: also those that were muted."""
    query = select(alerts).where(alerts.c.closed_at.is_(None)).order_by(alerts.c.opened_at.desc(), alerts.c.id.desc())
    if not muted:
        query = query.where(alerts.c.muted.is_(False))
    if session_id is not None:
        query = query.where(alerts.c.session_id == session_id)
    return [value(Alert, found) for found in connection.execute(query)]


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
