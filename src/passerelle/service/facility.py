"""All that a face may ask of the service, in one object: it reads from `status` and changes by the verbs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from passerelle.core.errors import storage_errors
from passerelle.core.states import Verdict
from passerelle.processing import Recipe, Threshold
from passerelle.service import export, grid, movies, sessions
from passerelle.service.view import AlertView, EventView, GridView, MovieRow, MovieView, SessionView
from passerelle.service.wiring import Parts
from passerelle.store import alerts, mutes


class Facility:
    """One facility. Every method may be called from any thread. `wake` is called when there is new work."""

    def __init__(self, parts: Parts, *, wake: Callable[[], None] = lambda: None) -> None:
        self.parts = parts
        self.wake = wake
        self._database = parts.database
        self._status = parts.status
        self._grids = grid.Grids(parts.database, parts.instruments)

    # -- read --

    def sessions(self) -> Sequence[SessionView]:
        """Return all sessions, the one with the latest file first."""
        return self._status.sessions()

    def session(self, session_id: int) -> SessionView:
        """Return one session. Raises NotFound."""
        return self._status.session(session_id)

    def movies(self, session_id: int, *, ids: Sequence[int] | None = None) -> Sequence[MovieRow]:
        """Return the session's movies in the order they were found; only those of `ids`, where given. Raises NotFound."""
        return self._status.movies(session_id, ids=ids)

    def latest_movies(self, session_id: int, limit: int) -> Sequence[MovieRow]:
        """Return the movies finished last (done or failed), newest first. Raises NotFound."""
        return self._status.latest_movies(session_id, limit)

    def movie(self, movie_id: int) -> MovieView:
        """Return all that is known of a movie. Raises NotFound."""
        return self._status.movie(movie_id)

    def grid(self, session_id: int) -> GridView | None:
        """Return the map of atlas, squares and holes; None where the program tells nothing. Raises NotFound."""
        return self._grids.view(session_id)

    def grid_picture(self, session_id: int, square_id: str | None) -> Path:
        """Return the picture of the atlas (None) or of a square. Raises NotFound."""
        return self._grids.picture(session_id, square_id)

    def alerts(self, *, closed: int = 0) -> Sequence[AlertView]:
        """Return all open alerts that nobody muted, and up to `closed` of those closed last."""
        return self._status.alerts(closed=closed)

    def last_event_id(self) -> int:
        """Return the id of the newest event, 0 where there is none."""
        return self._status.last_event_id()

    def events_after(self, event_id: int, session_id: int | None, limit: int) -> Sequence[EventView]:
        """Return at most `limit` events with a greater id, oldest first, of one session or of all."""
        return self._status.events_after(event_id, session_id, limit)

    def session_recipe(self, session_id: int) -> Recipe:
        """Return the parameters in force for new movies of a session. Raises NotFound."""
        return self._status.session_recipe(session_id)

    def output_path(self, movie_id: int, role: str) -> Path:
        """Return where an output of a movie lies. Raises NotFound for an unknown role."""
        return self._status.output_path(movie_id, role)

    # -- change --

    def set_thresholds(self, session_id: int, thresholds: Mapping[str, Threshold]) -> None:
        """Replace the session's thresholds and judge its movies anew."""
        sessions.set_thresholds(self._database, session_id, thresholds)

    def choose(self, movie_id: int, verdict: Verdict | None) -> None:
        """Record a person's verdict, which overrules the thresholds; None takes it back."""
        movies.choose(self._database, movie_id, verdict)

    def process_again(self, movie_id: int, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Queue one movie again with other parameters; what does not depend on them is not redone."""
        self.parts.programs.check(changes)
        session_id = self._status.movie(movie_id).session_id
        movies.hear_again(self._database, self.parts.instruments, session_id, ids=[movie_id])
        movies.process_again(self._database, movie_id, changes)
        self.wake()

    def process_session_again(self, session_id: int, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Queue the movies of a session again with other parameters, which also hold for movies to come."""
        self.parts.programs.check(changes)
        heard = movies.hear_again(self._database, self.parts.instruments, session_id)
        former = sessions.made_with_former_references(self._database, self.parts.instruments, session_id)
        sessions.process_session_again(self._database, session_id, changes, also=heard | former)
        self.wake()

    def close_session(self, session_id: int) -> None:
        """Close a session: what is found is still processed, its numbers stay."""
        sessions.close_session(self._database, session_id)

    def export_star(self, session_id: int) -> bytes:
        """Return the accepted micrographs as RELION reads them; the file is also kept with the results."""
        path = export.export_star(self._database, self.parts.places, session_id)
        with storage_errors(path):
            return path.read_bytes()

    def mute_alert(self, alert_id: int) -> None:
        """Show this alert no more; it closes by itself when its cause is gone."""
        with self._database.write() as connection:
            alerts.get(connection, alert_id)
            mutes.add(connection, alert_id=alert_id, until=None, person="", at=time.time())

    def close_alert(self, alert_id: int) -> None:
        """Close an alert; the same cause may open another."""
        with self._database.write() as connection:
            alerts.close(connection, alert_id, at=time.time())
