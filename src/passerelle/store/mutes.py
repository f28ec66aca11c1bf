"""Mutes: what nobody is to be told of, until when, and who said so. An alert that is muted stands all the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from passerelle.core.errors import NotFound
from passerelle.store import events
from passerelle.store.paths import storable
from passerelle.store.tables_care import mutes
from passerelle.store.values import Alert


@dataclass(frozen=True, slots=True)
class Mute:
    """Quiet about one alert, a session, an instrument, or, where none of them is named, all of the facility.

    until: its end; without one it lasts until the alert is over.
    """

    id: int
    alert_id: int | None
    session_id: int | None
    instrument: str | None
    until: float | None
    person: str
    why: str
    made_at: float
    ended_at: float | None

    def covers(self, alert: Alert) -> bool:
        """Say whether this alert is meant."""
        if self.alert_id is not None:
            return self.alert_id == alert.id
        if self.session_id is not None:
            return self.session_id == alert.session_id
        return self.instrument is None or self.instrument == alert.instrument


def add(
    connection: Connection,
    *,
    alert_id: int | None = None,
    session_id: int | None = None,
    instrument: str | None = None,
    until: float | None,
    person: str,
    why: str = "",
    at: float,
) -> Mute:
    """Write a mute, with its event."""
    row = {
        "alert_id": alert_id,
        "session_id": session_id,
        "instrument": instrument,
        "until": until,
        "person": storable(person),
        "why": storable(why),
        "made_at": at,
    }
    mute_id = connection.execute(insert(mutes).values(row).returning(mutes.c.id)).scalar_one()
    data = {"mute": mute_id, "alert_id": alert_id, "instrument": instrument, "until": until, "person": person}
    events.add(connection, "alert_muted", at=at, session_id=session_id, data=data)
    return get(connection, mute_id)


def get(connection: Connection, mute_id: int) -> Mute:
    """Return a mute.

    Raises:
        NotFound: there is none with this id.
    """
    found = connection.execute(select(mutes).where(mutes.c.id == mute_id)).one_or_none()
    if found is None:
        raise NotFound(f"There is no mute {mute_id}.")
    return Mute(**found._mapping)


def end(connection: Connection, mute_id: int, *, at: float) -> Mute:
    """Take a mute back before its time, with its event; one that is over stays as it is.

    Raises:
        NotFound: there is none with this id.
    """
    found = get(connection, mute_id)
    connection.execute(update(mutes).where(mutes.c.id == mute_id, mutes.c.ended_at.is_(None)).values(ended_at=at))
    events.add(connection, "alert_unmuted", at=at, session_id=found.session_id, data={"mute": mute_id})
    return get(connection, mute_id)


def standing(connection: Connection, *, at: float) -> list[Mute]:
    """Return the mutes in force at an instant, latest first; those of alerts that are over say nothing any more."""
    lasting = mutes.c.until.is_(None) | (mutes.c.until > at)
    query = select(mutes).where(mutes.c.ended_at.is_(None), lasting).order_by(mutes.c.id.desc())
    return [Mute(**found._mapping) for found in connection.execute(query)]


def covering(alert: Alert, known: Sequence[Mute]) -> Mute | None:
    """Return the mute that keeps an alert quiet for longest; None where there is none."""
    found = [mute for mute in known if mute.covers(alert)]
    return max(found, key=lambda mute: float("inf") if mute.until is None else mute.until, default=None)
