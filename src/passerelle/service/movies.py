"""The verbs on movies: do again with other parameters, choose a verdict by hand."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

from passerelle.core.config import parse_config
from passerelle.core.errors import Conflict
from passerelle.core.states import MovieState, Verdict
from passerelle.processing import Recipe
from passerelle.service.hearsay import Sidecars, tell
from passerelle.service.instruments import Instrument
from passerelle.service.raw_movies import raw_note
from passerelle.service.stored import readable
from passerelle.store import Database, Movie, events, movies, sessions

Changes = Mapping[str, Mapping[str, Any]]
_AGAIN = frozenset({MovieState.DONE, MovieState.FAILED, MovieState.RUNNING})


def changed_recipe(recipe: Mapping[str, Any], changes: Changes) -> Recipe:
    """Return a recipe with some of its fields changed: {group: {field: value}}; what of `recipe` cannot be read is the default.

    Raises:
        BadConfiguration: no such group or field, or a value of the wrong kind.
    """
    merged: dict[str, dict[str, Any]] = readable(Recipe, recipe).model_dump(mode="json")
    for group, fields in changes.items():
        merged[group] = merged.get(group, {}) | dict(fields)
    return parse_config(merged, Recipe, source="the recipe")


def process_again(database: Database, movie_id: int, changes: Changes, *, at: float | None = None) -> None:
    """Queue one movie again, with other parameters where given; what does not depend on them is not redone.

    Raises:
        NotFound: no such movie.
        Conflict: its file is gone.
        BadConfiguration: no such parameter, or a value of the wrong kind.
    """
    now = time.time() if at is None else at
    with database.write() as connection:
        movie = movies.get(connection, movie_id)
        session = sessions.get(connection, movie.session_id)
        if where := raw_note(connection, session, movie):
            raise Conflict(where, advice="Put it back into the gateway; then it can be done again.", path=movie.path)
        if movie.state is MovieState.GONE:
            raise Conflict("Its file is gone.", advice="Put it back; it is then taken up by itself.", path=movie.path)
        if never_whole(movie):
            raise Conflict(f"Its file cannot be used: {movie.error}", advice="It is taken up when it changes.", path=movie.path)
        values: dict[str, Any] = {}
        if changes:
            before = movie.recipe if movie.recipe is not None else session.recipe
            values["recipe"] = changed_recipe(before, changes).model_dump(mode="json")
        again(
            connection, movie, values, {"why": "asked for by a person", "changes": {g: dict(f) for g, f in changes.items()}}, now
        )


def hear_again(
    database: Database, instruments: Mapping[str, Instrument], session_id: int, *, ids: Collection[int] | None = None
) -> set[int]:
    """Compare anew what files, sidecars and the configuration of now say of a session's movies (of `ids`, where given).

    Return those of which a value changed that their processing uses; they are not queued by this.

    Raises:
        NotFound: no such session.
    """
    with database.write() as connection:
        session = sessions.get(connection, session_id)
        instrument = instruments.get(session.instrument)
        if instrument is None:
            return set()
        known = movies.of_session(connection, session_id) if ids is None else movies.by_id(connection, ids)
        # sidecars were heard when they came: what they said is kept with the movie
        mattering, _ = tell(connection, instrument, known, {}, {}, Sidecars())
    return {movie_id for movie_id, names in mattering.items() if names}


def never_whole(movie: Movie) -> bool:
    """Say whether a movie was set aside because its file is bad: only another content of the file can help."""
    return movie.state is MovieState.FAILED and movie.whole_at is None


def again(connection: Any, movie: Movie, values: Mapping[str, Any], story: Mapping[str, Any], at: float) -> None:
    """Change values of a movie and queue it again if it has a result, an error or a worker; a result under way is dropped."""
    if movie.state in _AGAIN:
        fresh = {"queued_at": at, "attempts": 0, "interruptions": 0, "not_before": None, "error": None, "advice": None}
        movies.move_all(connection, [movies.Step(movie, MovieState.QUEUED, dict(values) | fresh, story)], at=at)
    else:
        movies.change_all(connection, [(movie, values)])


def choose(database: Database, movie_id: int, verdict: Verdict | None, *, at: float | None = None) -> None:
    """Record a person's verdict, which overrules the thresholds; None takes it back.

    Raises:
        NotFound: no such movie.
    """
    now = time.time() if at is None else at
    with database.write() as connection:
        movie = movies.get(connection, movie_id)
        movies.change_all(connection, [(movie, {"chosen": verdict})])
        data = {"chosen": None if verdict is None else verdict.value}
        events.add(connection, "movie_chosen", at=now, session_id=movie.session_id, movie_id=movie_id, data=data)
