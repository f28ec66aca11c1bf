"""The verbs on mutes: be quiet about an alert, a session, an instrument or the whole facility, until when, and who said so."""

from __future__ import annotations

import time

from pydantic import BaseModel

from passerelle.core.errors import BadInput
from passerelle.service.access import Actor, Power, require
from passerelle.service.audit import acting
from passerelle.service.instruments import Instrument
from passerelle.store import Database, alerts, mutes, sessions
from passerelle.store.mutes import Mute

LONGEST_HOURS = 31 * 24.0


class MuteView(BaseModel):
    """A mute as faces show it. what: alert, session, instrument or facility; subject: which one."""

    id: int
    what: str
    subject: str
    until: float | None
    person: str
    why: str
    made_at: float


class Mutes:
    """What nobody is told of for a while. It stands on the alerts page all the same, as muted."""

    def __init__(self, database: Database, instruments: dict[str, Instrument]) -> None:
        self._database, self._instruments = database, instruments

    def standing(self, actor: Actor, *, at: float | None = None) -> list[MuteView]:
        """Return the mutes in force, latest first; of alerts that are over none.

        Raises:
            NotAllowed: only who steers may look.
        """
        require(actor, Power.STEER)
        now = time.time() if at is None else at
        with self._database.read() as connection:
            open_ones = {alert.id: alert.message for alert in alerts.standing(connection, muted=True)}
            names = {session.id: session.name for session in sessions.every(connection)}
            found = mutes.standing(connection, at=now)
        return [_view(each, open_ones, names) for each in found if each.alert_id is None or each.alert_id in open_ones]

    def open_sessions(self, actor: Actor) -> list[tuple[int, str]]:
        """Return number and name of the open sessions, the one with the latest file first: what may be muted beside instruments.

        Raises:
            NotAllowed: only who steers may look.
        """
        require(actor, Power.STEER)
        with self._database.read() as connection:
            return [(each.id, each.name) for each in sessions.opened(connection)]

    def mute(
        self,
        actor: Actor,
        *,
        alert_id: int | None = None,
        session_id: int | None = None,
        instrument: str | None = None,
        hours: float | None,
        why: str = "",
        at: float | None = None,
    ) -> int:
        """Be quiet about one alert, a session or an instrument; about everything, where none is named. Return the mute's id.

        hours: for so long. Only the mute of one alert may go without: it lasts until the alert is over.

        Raises:
            NotAllowed: only who steers may. NotFound: there is no such alert or session.
            BadInput: no end, one too far away, or no such instrument.
        """
        now = time.time() if at is None else at
        with acting(self._database, actor, "mute", _subject(alert_id, session_id, instrument), at=now) as deed:
            require(actor, Power.STEER)
            self._check(alert_id, session_id, instrument, hours)
            with self._database.write() as connection:
                if alert_id is not None:
                    alerts.get(connection, alert_id)
                if session_id is not None:
                    sessions.get(connection, session_id)
                made = mutes.add(
                    connection,
                    alert_id=alert_id,
                    session_id=session_id,
                    instrument=instrument,
                    until=None if hours is None else now + hours * 3600,
                    person=actor.audit_name,
                    why=why[:500],
                    at=now,
                )
                deed.done(connection, hours=hours, why=why[:500])
        return made.id

    def unmute(self, actor: Actor, mute_id: int, *, at: float | None = None) -> None:
        """Take a mute back before its time.

        Raises:
            NotAllowed: only who steers may. NotFound: there is none with this id.
        """
        now = time.time() if at is None else at
        with acting(self._database, actor, "unmute", f"mute {mute_id}", at=now) as deed, self._database.write() as connection:
            require(actor, Power.STEER)
            mutes.end(connection, mute_id, at=now)
            deed.done(connection)

    def _check(self, alert_id: int | None, session_id: int | None, instrument: str | None, hours: float | None) -> None:
        if sum(each is not None for each in (alert_id, session_id, instrument)) > 1:
            raise BadInput("One thing is muted at a time.", advice="Name an alert, a session or an instrument.")
        if hours is None and alert_id is None:
            raise BadInput("A mute has an end.", advice="Say for how many hours.")
        if hours is not None and not 0 < hours <= LONGEST_HOURS:
            raise BadInput("A mute lasts more than 0 and at most 744 hours.", advice="Mute again when it is over.")
        if instrument is not None and instrument not in self._instruments:
            raise BadInput("There is no such instrument.", advice=f"Known: {', '.join(self._instruments) or 'none'}.")


def _subject(alert_id: int | None, session_id: int | None, instrument: str | None) -> str:
    if alert_id is not None:
        return f"alert {alert_id}"
    if session_id is not None:
        return f"session {session_id}"
    return "facility" if instrument is None else f"instrument {instrument}"


def _view(mute: Mute, open_ones: dict[int, str], names: dict[int, str]) -> MuteView:
    what, subject = "facility", ""
    if mute.alert_id is not None:
        what, subject = "alert", open_ones.get(mute.alert_id, "")
    elif mute.session_id is not None:
        what, subject = "session", names.get(mute.session_id, "")
    elif mute.instrument is not None:
        what, subject = "instrument", mute.instrument
    return MuteView(
        id=mute.id, what=what, subject=subject, until=mute.until, person=mute.person, why=mute.why, made_at=mute.made_at
    )
