"""What the pages need of the service: protocols, so that pages are tested against a stand-in with the same face.

Reading calls return the values of `service.view`; every call may raise the errors of `core.errors`, which become pages in words.
Calls are plain functions; the web runs them in threads, several at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from passerelle.core.states import Verdict
from passerelle.processing.recipe import Recipe, Threshold
from passerelle.service.access import Actor
from passerelle.service.attempts import Attempt
from passerelle.service.view import AlertView, EventView, GridView, MovieRow, MovieView, SessionView


class Door(Protocol):
    """Who asks. `service.doorkeeper.Doorkeeper` is the real one."""

    @property
    def asks(self) -> bool:
        """Say whether people must log in."""
        ...

    @property
    def proxies(self) -> Sequence[str]:
        """Addresses of proxies whose word is taken."""
        ...

    def who(self, *, cookie: str = "", authorization: str = "", address: str = "") -> Actor:
        """Return who asks. Raises NotLoggedIn."""
        ...


class Attempts(Protocol):
    """Where what is refused at the door is written down. `service.attempts.Attempts` is the real one."""

    def note(self, attempt: Attempt, *, address: str, path: str, person: str = "", through: str = "page") -> None:
        """Write an attempt down, unless there are too many."""
        ...


class Facility(Protocol):
    """What every page needs; pages of a subject find its verbs beside it (`service.facility.Facility`, `deps.py`)."""

    @property
    def doorkeeper(self) -> Door:
        """Who asks."""
        ...

    @property
    def attempts(self) -> Attempts:
        """Where what is refused at the door is written down."""
        ...

    def live(self, actor: Actor) -> Status:
        """Return the sessions as `actor` may see and steer them."""
        ...

    def last_event_id(self) -> int:
        """Return the id of the newest event, 0 where there is none."""
        ...


class Status(Protocol):
    """Read what is; ask for what shall be.

    Recipe changes are given as {group: {field: value}}, only what differs; the service refuses unknown keys by BadConfiguration.
    """

    def sessions(self) -> Sequence[SessionView]:
        """Return all sessions of all instruments, in any order."""
        ...

    def session(self, session_id: int) -> SessionView:
        """Return one session. Raises NotFound."""
        ...

    def movies(self, session_id: int, *, ids: Sequence[int] | None = None) -> Sequence[MovieRow]:
        """Return the session's movies in the order they were found; only those of `ids`, where given. Raises NotFound."""
        ...

    def latest_movies(self, session_id: int, limit: int) -> Sequence[MovieRow]:
        """Return the movies finished last (done or failed), newest first."""
        ...

    def movie(self, movie_id: int) -> MovieView:
        """Return all that is known of a movie. Raises NotFound."""
        ...

    def grid(self, session_id: int) -> GridView | None:
        """Return the map of atlas, squares and holes; None where the program tells nothing."""
        ...

    def alerts(self, *, closed: int = 0) -> Sequence[AlertView]:
        """Return all open alerts that nobody muted, and up to `closed` of those closed last."""
        ...

    def last_event_id(self) -> int:
        """Return the id of the newest event, 0 where there is none."""
        ...

    def events_after(self, event_id: int, session_id: int | None, limit: int) -> Sequence[EventView]:
        """Return at most `limit` events with a greater id, oldest first, of one session or of all."""
        ...

    def session_recipe(self, session_id: int) -> Recipe:
        """Return the parameters in force for new movies of a session."""
        ...

    def set_thresholds(self, session_id: int, thresholds: Mapping[str, Threshold]) -> None:
        """Replace the session's thresholds and judge its movies anew."""
        ...

    def choose(self, movie_id: int, verdict: Verdict | None) -> None:
        """Record a person's verdict, which overrules the thresholds; None takes it back."""
        ...

    def process_again(self, movie_id: int, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Queue one movie again with other parameters; what does not depend on them is not redone."""
        ...

    def process_session_again(self, session_id: int, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Queue all movies of a session again with other parameters, which also hold for movies to come."""
        ...

    def close_session(self, session_id: int) -> None:
        """Close a session: what is found is still processed, its numbers stay."""
        ...

    def export_star(self, session_id: int) -> bytes:
        """Return the accepted micrographs as RELION reads them."""
        ...

    def output_path(self, movie_id: int, role: str) -> Path:
        """Return where an output of a movie lies, inside the folder of results. Raises NotFound for an unknown role."""
        ...

    def grid_picture(self, session_id: int, square_id: str | None) -> Path:
        """Return the picture of the atlas (None) or of a square. Raises NotFound."""
        ...

    def mute_alert(self, alert_id: int) -> None:
        """Show this alert no more; it closes by itself when its cause is gone."""
        ...

    def close_alert(self, alert_id: int) -> None:
        """Close an alert; the same cause may open another."""
        ...
