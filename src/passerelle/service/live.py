"""Sessions as one person sees and steers them: each verb decides by who asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from passerelle.core.errors import NotFound, storage_errors
from passerelle.core.states import Verdict
from passerelle.processing import Recipe, Threshold
from passerelle.service import export, movies, sessions
from passerelle.service.access import Actor, Power, require
from passerelle.service.audit import Deed, acting
from passerelle.service.grid import Grids
from passerelle.service.instrument_access import Sight, sight
from passerelle.service.mutes import Mutes
from passerelle.service.view import AlertView, EventView, GridView, MovieRow, MovieView, SessionView
from passerelle.service.wiring import Parts
from passerelle.service.zone_view import zone_of
from passerelle.store import alerts, zones
from passerelle.store import movies as movie_rows
from passerelle.store import sessions as session_rows


class Live:
    """What `actor` may see and change of sessions. Any method may be called from any thread, and may raise NotAllowed.

    What lies on an instrument that the person may not see is not found. wake: called when there is new work.
    """

    def __init__(
        self, parts: Parts, actor: Actor, *, grids: Grids | None = None, wake: Callable[[], None] = lambda: None
    ) -> None:
        self._parts, self._actor, self._wake = parts, actor, wake
        self._database, self._status = parts.database, parts.status
        self._grids = grids or Grids(parts.database, parts.instruments)
        self._known_sight: Sight | None = None

    # -- read --

    def sessions(self) -> Sequence[SessionView]:
        """Return the sessions that the person may see, the one with the latest file first."""
        seen = self._sight()
        return [view for view in self._status.sessions() if seen.has(view.instrument)]

    def session(self, session_id: int) -> SessionView:
        """Return one session. Raises NotFound."""
        self._see_session(session_id)
        return self._status.session(session_id)

    def movies(self, session_id: int, *, ids: Sequence[int] | None = None) -> Sequence[MovieRow]:
        """Return the session's movies in the order they were found; only those of `ids`, where given. Raises NotFound."""
        self._see_session(session_id)
        return self._status.movies(session_id, ids=ids)

    def latest_movies(self, session_id: int, limit: int) -> Sequence[MovieRow]:
        """Return the movies finished last (done or failed), newest first. Raises NotFound."""
        self._see_session(session_id)
        return self._status.latest_movies(session_id, limit)

    def movie(self, movie_id: int) -> MovieView:
        """Return all that is known of a movie. Raises NotFound."""
        self._see_movie(movie_id)
        return self._status.movie(movie_id)

    def grid(self, session_id: int) -> GridView | None:
        """Return the map of atlas, squares and holes; None where the program tells nothing. Raises NotFound."""
        self._see_session(session_id)
        return self._grids.view(session_id)

    def grid_picture(self, session_id: int, square_id: str | None) -> Path:
        """Return the picture of the atlas (None) or of a square. Raises NotFound."""
        self._see_session(session_id)
        return self._grids.picture(session_id, square_id)

    def alerts(self, *, closed: int = 0) -> Sequence[AlertView]:
        """Return the open alerts that nobody muted, and up to `closed` of those closed last, of the sessions that are seen.

        Alerts of the machine itself are for who sees everything.
        """
        seen = self._sight()
        found = self._status.alerts(closed=closed)
        if seen.everything:
            return found
        own = self._seen_sessions(seen)
        return [alert for alert in found if alert.session_id in own]

    def last_event_id(self) -> int:
        """Return the id of the newest event, 0 where there is none."""
        return self._status.last_event_id()

    def events_after(self, event_id: int, session_id: int | None, limit: int) -> Sequence[EventView]:
        """Return at most `limit` events with a greater id, oldest first, of one session or of all that are seen."""
        if session_id is not None:
            self._see_session(session_id)
        seen = self._sight()
        if seen.everything or session_id is not None:
            return self._status.events_after(event_id, session_id, limit)
        return self._status.events_after(event_id, None, limit, among=self._seen_sessions(seen))

    def session_recipe(self, session_id: int) -> Recipe:
        """Return the parameters in force for new movies of a session. Raises NotFound."""
        self._see_session(session_id)
        return self._status.session_recipe(session_id)

    def output_path(self, movie_id: int, role: str) -> Path:
        """Return where an output of a movie lies. Raises NotFound for an unknown role."""
        self._see_movie(movie_id)
        return self._status.output_path(movie_id, role)

    def export_star(self, session_id: int) -> bytes:
        """Return the accepted micrographs as RELION reads them; the file is also kept with the results."""
        self._see_session(session_id)
        path = export.export_star(self._database, self._parts.places, session_id)
        with storage_errors(path):
            return path.read_bytes()

    # -- change --

    def set_thresholds(self, session_id: int, thresholds: Mapping[str, Threshold]) -> None:
        """Replace the session's thresholds and judge its movies anew."""
        with self._steering("session_thresholds", f"session:{session_id}") as deed:
            deed.data = {"thresholds": {name: each.model_dump(exclude_none=True) for name, each in thresholds.items()}}
            sessions.set_thresholds(self._database, session_id, thresholds)

    def choose(self, movie_id: int, verdict: Verdict | None) -> None:
        """Record a person's verdict, which overrules the thresholds; None takes it back."""
        with self._steering("movie_choose", f"movie:{movie_id}") as deed:
            deed.data = {"verdict": None if verdict is None else verdict.value}
            movies.choose(self._database, movie_id, verdict)

    def process_again(self, movie_id: int, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Queue one movie again with other parameters; what does not depend on them is not redone."""
        with self._steering("movie_again", f"movie:{movie_id}") as deed:
            deed.data = {"changes": {group: dict(fields) for group, fields in changes.items()}}
            self._parts.programs.check(changes)
            session_id = self._status.movie(movie_id).session_id
            movies.hear_again(self._database, self._parts.instruments, session_id, ids=[movie_id])
            movies.process_again(self._database, movie_id, changes)
        self._wake()

    def process_session_again(self, session_id: int, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Queue the movies of a session again with other parameters, which also hold for movies to come."""
        with self._steering("session_again", f"session:{session_id}") as deed:
            deed.data = {"changes": {group: dict(fields) for group, fields in changes.items()}}
            self._parts.programs.check(changes)
            heard = movies.hear_again(self._database, self._parts.instruments, session_id)
            former = sessions.made_with_former_references(self._database, self._parts.instruments, session_id)
            sessions.process_session_again(self._database, session_id, changes, also=heard | former)
        self._wake()

    def close_session(self, session_id: int) -> None:
        """Close a session: what is found is still processed, its numbers stay."""
        with self._steering("session_close", f"session:{session_id}"):
            sessions.close_session(self._database, session_id)

    def mute_alert(self, alert_id: int) -> None:
        """Show this alert no more; it closes by itself when its cause is gone."""
        Mutes(self._database, self._parts.instruments).mute(self._actor, alert_id=alert_id, hours=None)

    def close_alert(self, alert_id: int) -> None:
        """Close an alert; the same cause may open another."""
        with self._steering("alert_close", f"alert:{alert_id}") as deed, self._database.write() as connection:
            alerts.close(connection, alert_id, at=time.time())
            deed.done(connection)

    # -- within --

    @contextmanager
    def _steering(self, act: str, subject: str) -> Generator[Deed]:
        with acting(self._database, self._actor, act, subject) as deed:
            require(self._actor, Power.STEER)
            yield deed

    def _sight(self) -> Sight:
        """What the person sees; asked once, since this object lives as long as a request."""
        require(self._actor, Power.LOOK)
        if self._known_sight is None:
            folders = {name: each.folder for name, each in self._parts.instruments.items()}
            with self._database.read() as connection:
                self._known_sight = sight(self._actor, folders, [zone_of(row) for row in zones.every(connection)])
        return self._known_sight

    def _see_session(self, session_id: int) -> None:
        seen = self._sight()
        with self._database.read() as connection:
            if not seen.has(session_rows.get(connection, session_id).instrument):
                raise NotFound(f"There is no session {session_id}.")

    def _see_movie(self, movie_id: int) -> None:
        seen = self._sight()
        if seen.everything:
            return
        with self._database.read() as connection:
            movie = movie_rows.get(connection, movie_id)
            if not seen.has(session_rows.get(connection, movie.session_id).instrument):
                raise NotFound(f"There is no movie {movie_id}.")

    def _seen_sessions(self, seen: Sight) -> set[int]:
        with self._database.read() as connection:
            return {each.id for each in session_rows.every(connection) if seen.has(each.instrument)}
