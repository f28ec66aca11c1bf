"""The verbs on sessions: close, open again, other thresholds, other parameters."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

from passerelle.core.errors import BadInput
from passerelle.core.states import MovieState, SessionState
from passerelle.processing import BY_NAME, Threshold
from passerelle.processing.quality import judge
from passerelle.service.former_references import made_with_former
from passerelle.service.instruments import Instrument
from passerelle.service.movies import Changes, again, changed_recipe, never_whole
from passerelle.service.raw_movies import gone_raw
from passerelle.store import Database, Movie, alerts, events, movies, sessions


def close_session(database: Database, session_id: int, *, at: float | None = None) -> None:
    """Close a session: what was found is still processed, its numbers stay, its alerts end. It opens again when a movie comes.

    Raises:
        NotFound: no such session. IllegalMove: it is closed.
    """
    now = time.time() if at is None else at
    with database.write() as connection:
        sessions.change_state(connection, session_id, SessionState.CLOSED, at=now)
        for alert in alerts.standing(connection, session_id=session_id, muted=True):
            alerts.clear(connection, alert.kind, session_id=session_id, at=now)


def set_thresholds(database: Database, session_id: int, thresholds: Mapping[str, Threshold], *, at: float | None = None) -> int:
    """Replace a session's thresholds and judge its micrographs anew by their stored metrics. Return how many verdicts changed.

    Raises:
        NotFound: no such session. BadInput: a threshold of a metric that there is not.
    """
    now = time.time() if at is None else at
    for name in thresholds:
        if name not in BY_NAME:
            raise BadInput(f"No metric is called {name!r}.")
    plain = {name: each.model_dump(mode="json", exclude_none=True) for name, each in thresholds.items()}
    with database.write() as connection:
        sessions.change(connection, session_id, "thresholds", at=now, thresholds=plain)
        changes: list[tuple[Movie, Mapping[str, Any]]] = []
        for movie in movies.of_session(connection, session_id):
            if movie.state is not MovieState.DONE or not movie.metrics:
                continue
            verdict, reasons = judge(movie.metrics, thresholds)
            if verdict != movie.verdict or tuple(reasons) != movie.reasons:
                changes.append((movie, {"verdict": verdict, "reasons": list(reasons)}))
        movies.change_all(connection, changes)
        moved = sum(values["verdict"] != movie.verdict for movie, values in changes)
        events.add(connection, "session_judged", at=now, session_id=session_id, data={"changed": moved})
    return moved


def made_with_former_references(database: Database, instruments: Mapping[str, Instrument], session_id: int) -> set[int]:
    """Return the finished movies of a session that were made with another gain or defect map than is configured now.

    Raises:
        NotFound: no such session.
    """
    with database.read() as connection:
        session = sessions.get(connection, session_id)
        instrument = instruments.get(session.instrument)
        return set() if instrument is None else set(made_with_former(connection, session, instrument))


def process_session_again(
    database: Database,
    session_id: int,
    changes: Changes,
    *,
    also: Collection[int] = (),
    failed: bool = True,
    at: float | None = None,
) -> int:
    """Give a session other parameters and queue those of its movies whose recipe they change, and those that failed.

    also: movies to queue whatever their recipe; failed: whether those that failed are tried again.

    Return how many were queued. What a movie's steps do not depend on is not redone; movies whose raw files were purged stay.

    Raises:
        NotFound: no such session. BadConfiguration: no such parameter, or a value of the wrong kind.
    """
    now = time.time() if at is None else at
    story = {"why": "the session is processed again", "changes": {group: dict(fields) for group, fields in changes.items()}}
    queued = 0
    with database.write() as connection:
        session = sessions.get(connection, session_id)
        recipe = changed_recipe(session.recipe, changes).model_dump(mode="json")
        sessions.change(connection, session_id, "recipe", at=now, recipe=recipe)
        known = movies.of_session(connection, session_id)
        gone = gone_raw(connection, session, known)  # they keep the result that they have
        for movie in known:
            values: dict[str, Any] = {}
            if movie.recipe is not None:
                own = changed_recipe(movie.recipe, changes).model_dump(mode="json")
                values = {"recipe": None if own == recipe else own}
                differs = own != movie.recipe
            else:
                differs = recipe != session.recipe
            differs = differs or movie.id in also or (failed and movie.state is MovieState.FAILED)
            if differs and not never_whole(movie) and movie.id not in gone:
                again(connection, movie, values, story, now)
                queued += movie.state in {MovieState.DONE, MovieState.FAILED, MovieState.RUNNING}
            elif values:
                movies.change_all(connection, [(movie, values)])
    return queued
