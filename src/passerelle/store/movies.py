"""Movies: found once by session and key, moved through their states, judged. Every move writes its event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, insert, or_, select, update

from passerelle.core.errors import NotFound
from passerelle.core.states import MovieState, SessionState, Verdict, move
from passerelle.store import events
from passerelle.store.paths import storable
from passerelle.store.tables import movies, sessions
from passerelle.store.values import Movie, value

_CHUNK = 500
_SHORT = 100  # columns that hold at most so many characters


def find_or_create(
    connection: Connection, session_id: int, wanted: Mapping[str, str], *, at: float
) -> tuple[dict[str, Movie], set[str]]:
    """Return the movies with these keys (key -> path of movie or first frame), making those that are new; and the new keys."""
    known = by_key(connection, session_id, wanted)
    new = [key for key in wanted if key not in known]
    if new:
        rows = [
            {"session_id": session_id, "key": key, "path": wanted[key], "state": MovieState.FOUND, "found_at": at} for key in new
        ]
        connection.execute(insert(movies), rows)
        made = by_key(connection, session_id, new)
        events.add_all(
            connection,
            [
                events.row("movie_found", at=at, session_id=session_id, movie_id=movie.id, data={"path": movie.path})
                for movie in made.values()
            ],
        )
        known |= made
    return known, set(new)


def by_key(connection: Connection, session_id: int, keys: Iterable[str]) -> dict[str, Movie]:
    """Return the movies of a session that have these keys."""
    wanted = sorted(set(keys))
    found: dict[str, Movie] = {}
    for start in range(0, len(wanted), _CHUNK):
        query = select(movies).where(movies.c.session_id == session_id, movies.c.key.in_(wanted[start : start + _CHUNK]))
        found |= {row.key: value(Movie, row) for row in connection.execute(query.order_by(movies.c.id))}
    return found


def get(connection: Connection, movie_id: int) -> Movie:
    """Return a movie.

    Raises:
        NotFound: there is none with this id.
    """
    found = connection.execute(select(movies).where(movies.c.id == movie_id)).one_or_none()
    if found is None:
        raise NotFound(f"There is no movie {movie_id}.")
    return value(Movie, found)


def by_id(connection: Connection, ids: Iterable[int]) -> list[Movie]:
    """Return those of these movies that exist, oldest first."""
    wanted = sorted(set(ids))
    found: list[Movie] = []
    for start in range(0, len(wanted), _CHUNK):
        query = select(movies).where(movies.c.id.in_(wanted[start : start + _CHUNK])).order_by(movies.c.id)
        found += _all(connection, query)
    return found


def change(connection: Connection, movie: Movie, **values: Any) -> Movie:
    """Change values that are not the state; no event of its own."""
    change_all(connection, [(movie, values)])
    return get(connection, movie.id)


def change_all(connection: Connection, changes: Sequence[tuple[Movie, Mapping[str, Any]]]) -> None:
    """Change values of many movies, each group with the same columns in one statement."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for movie, values in changes:
        if values:
            names = tuple(sorted(values))
            groups.setdefault(names, []).append({"b_id": movie.id} | {name: _fit(name, values[name]) for name in names})
    for names, rows in groups.items():
        statement = update(movies).where(movies.c.id == bindparam("b_id")).values({name: bindparam(name) for name in names})
        connection.execute(statement, rows)


@dataclass(frozen=True, slots=True)
class Step:
    """A move of one movie. values: columns that change with it. data: what the event tells."""

    movie: Movie
    target: MovieState
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


def move_all(connection: Connection, steps: Iterable[Step], *, at: float) -> None:
    """Move many movies that were read in this very transaction, change values with each, and write the events.

    Raises:
        IllegalMove: the table of moves forbids one of them; none is then to be committed.
    """
    changes: list[tuple[Movie, Mapping[str, Any]]] = []
    log: list[dict[str, Any]] = []
    for step in steps:
        movie, target = step.movie, step.target
        move(movie.state, target, what=f"movie {movie.key}")
        changes.append((movie, dict(step.values) | {"state": target}))
        story = {"from": movie.state.value, "generation": step.values.get("generation", movie.generation)} | dict(step.data)
        log.append(events.row(f"movie_{target.value}", at=at, session_id=movie.session_id, movie_id=movie.id, data=story))
    change_all(connection, changes)
    events.add_all(connection, log)


def _fit(name: str, inner: Any) -> Any:
    if isinstance(inner, str) and name in {"error", "advice"}:
        return storable(inner)
    if isinstance(inner, str) and name in {"grid_square", "foil_hole"}:
        return storable(inner)[:_SHORT]
    return inner


@dataclass(frozen=True, slots=True)
class Row:
    """What lists and plots show of a movie."""

    id: int
    key: str
    state: MovieState
    verdict: Verdict | None
    chosen: Verdict | None
    found_at: float
    finished_at: float | None
    acquired_at: float | None
    metrics: Mapping[str, float | None]
    grid_square: str | None
    foil_hole: str | None
    error: str | None
    advice: str | None
    reasons: tuple[str, ...] = ()


_ROW = tuple(movies.c[each.name] for each in fields(Row))


def rows(connection: Connection, session_id: int, *, ids: Iterable[int] | None = None) -> list[Row]:
    """Return the rows of a session's movies in the order they were found; only those of `ids`, where given."""
    if ids is None:
        return _rows(connection, select(*_ROW).where(movies.c.session_id == session_id).order_by(movies.c.id))
    wanted = sorted(set(ids))
    found: list[Row] = []
    for start in range(0, len(wanted), _CHUNK):
        own = (movies.c.session_id == session_id) & movies.c.id.in_(wanted[start : start + _CHUNK])
        found += _rows(connection, select(*_ROW).where(own).order_by(movies.c.id))
    return found


def latest_rows(connection: Connection, session_id: int, *, limit: int) -> list[Row]:
    """Return the rows of the movies that ended last, done or failed, newest first."""
    ended = movies.c.state.in_((MovieState.DONE, MovieState.FAILED))
    query = select(*_ROW).where(movies.c.session_id == session_id, ended)
    return _rows(connection, query.order_by(movies.c.finished_at.desc(), movies.c.id.desc()).limit(limit))


def _rows(connection: Connection, query: Select[Any]) -> list[Row]:
    return [
        Row(
            row.id,
            row.key,
            MovieState(row.state),
            None if row.verdict is None else Verdict(row.verdict),
            None if row.chosen is None else Verdict(row.chosen),
            row.found_at,
            row.finished_at,
            row.acquired_at,
            row.metrics,
            row.grid_square,
            row.foil_hole,
            row.error,
            row.advice,
            tuple(row.reasons),
        )
        for row in connection.execute(query)
    ]


def neighbours(connection: Connection, movie: Movie) -> tuple[int | None, int | None]:
    """Return the ids of the movies found before and after this one in its session."""
    own = movies.c.session_id == movie.session_id
    before = connection.execute(select(func.max(movies.c.id)).where(own, movies.c.id < movie.id)).scalar()
    after = connection.execute(select(func.min(movies.c.id)).where(own, movies.c.id > movie.id)).scalar()
    return before, after


def latest_told(connection: Connection, session_id: int) -> Movie | None:
    """Return the latest movie of a session of which a sidecar or its own file says something."""
    query = select(movies).where(movies.c.session_id == session_id).order_by(movies.c.id.desc()).limit(20)
    return next((movie for movie in _all(connection, query) if movie.metadata), None)


def latest_admitted(connection: Connection, session_id: int) -> Movie | None:
    """Return the movie of a session that was queued last, whatever became of it."""
    query = select(movies).where(movies.c.session_id == session_id, movies.c.queued_at.is_not(None))
    return next(iter(_all(connection, query.order_by(movies.c.queued_at.desc(), movies.c.id.desc()).limit(1))), None)


def startable(
    connection: Connection,
    *,
    now: float,
    newest: bool,
    limit: int,
    but_not: Iterable[int] = (),
    but_not_of: Iterable[str] = (),
) -> list[Movie]:
    """Return queued movies that may start now: the newest or the oldest exposures first, of open and closed sessions alike.

    but_not: ids of movies, but_not_of: names of instruments to pass over.
    """
    taken, away = list(but_not), list(but_not_of)
    query = select(movies).where(
        movies.c.state == MovieState.QUEUED,
        or_(movies.c.not_before.is_(None), movies.c.not_before <= now),
        movies.c.id.not_in(taken),
    )
    if away:
        query = query.where(movies.c.session_id.not_in(select(sessions.c.id).where(sessions.c.instrument.in_(away))))
    when = func.coalesce(movies.c.acquired_at, movies.c.closed_at, movies.c.found_at)
    order = (when.desc(), movies.c.id.desc()) if newest else (when, movies.c.id)
    return _all(connection, query.order_by(*order).limit(limit))


def in_state(connection: Connection, *states: MovieState, session_id: int | None = None) -> list[Movie]:
    """Return the movies in any of these states, oldest first."""
    query = select(movies).where(movies.c.state.in_(states)).order_by(movies.c.id)
    return _all(connection, query if session_id is None else query.where(movies.c.session_id == session_id))


def ids_in_state(connection: Connection, session_id: int, state: MovieState) -> list[int]:
    """Return the ids of a session's movies in a state, oldest first; cheap, for who looks often."""
    query = select(movies.c.id).where(movies.c.session_id == session_id, movies.c.state == state.value).order_by(movies.c.id)
    return list(connection.execute(query).scalars())


def of_session(connection: Connection, session_id: int) -> list[Movie]:
    """Return all movies of a session, oldest first."""
    return _all(connection, select(movies).where(movies.c.session_id == session_id).order_by(movies.c.id))


def count_states(connection: Connection) -> dict[MovieState, int]:
    """Return how many movies of all sessions are in each state."""
    query = select(movies.c.state, func.count()).group_by(movies.c.state)
    return {MovieState(state): count for state, count in connection.execute(query)}


def unprocessed(connection: Connection) -> int:
    """Return how many movies wait for a worker or have one."""
    active = movies.c.state.in_((MovieState.QUEUED, MovieState.RUNNING))
    return connection.execute(select(func.count()).where(active)).scalar() or 0


def rank(connection: Connection, movie: Movie) -> int:
    """Return how many movies of the session were found before this one."""
    query = select(func.count()).where(movies.c.session_id == movie.session_id, movies.c.id < movie.id)
    return connection.execute(query).scalar() or 0


def failed_in_a_row(connection: Connection, session_id: int, *, limit: int = 50) -> int:
    """Return how many of the movies that ended last have failed, up to the first that has not."""
    ended = movies.c.state.in_((MovieState.DONE, MovieState.FAILED))
    query = (
        select(movies.c.state)
        .where(movies.c.session_id == session_id, ended)
        .order_by(movies.c.finished_at.desc(), movies.c.id.desc())
        .limit(limit)
    )
    states = [MovieState(row.state) for row in connection.execute(query)]
    return next((count for count, state in enumerate(states) if state is not MovieState.FAILED), len(states))


def latest_metrics(connection: Connection, session_id: int, *, limit: int) -> list[dict[str, float]]:
    """Return the metrics of the movies done last, latest first; a metric that is not a number is left out."""
    query = (
        select(movies.c.metrics)
        .where(movies.c.session_id == session_id, movies.c.state == MovieState.DONE)
        .order_by(movies.c.finished_at.desc())
        .limit(limit)
    )
    return [{name: inner for name, inner in row.metrics.items() if inner is not None} for row in connection.execute(query)]


def inputs_of_done(connection: Connection, session_id: int) -> list[tuple[int, dict[str, Any]]]:
    """Return the ids of a session's finished movies with what each was made from, beside recipe and metadata."""
    done = (movies.c.session_id == session_id) & (movies.c.state == MovieState.DONE)
    return [(row.id, dict(row.inputs)) for row in connection.execute(select(movies.c.id, movies.c.inputs).where(done))]


def next_wake(connection: Connection, *, now: float) -> float | None:
    """Return when the next queued movie that waits for its retry may start."""
    waiting = (movies.c.state == MovieState.QUEUED) & (movies.c.not_before > now)
    return connection.execute(select(func.min(movies.c.not_before)).where(waiting)).scalar()


def held_up(connection: Connection, *, now: float) -> Movie | None:
    """Return the queued movie that waits longest yet for its next try, with the reason as its error."""
    waiting = (movies.c.state == MovieState.QUEUED) & (movies.c.not_before > now) & movies.c.error.is_not(None)
    query = select(movies).where(waiting).order_by(movies.c.not_before.desc(), movies.c.id).limit(1)
    return next(iter(_all(connection, query)), None)


def wait_no_longer(connection: Connection, instrument: str) -> None:
    """Let those queued movies of an instrument start at once that wait through no fault of their own."""
    own = movies.c.session_id.in_(select(sessions.c.id).where(sessions.c.instrument == instrument))
    blameless = (movies.c.state == MovieState.QUEUED) & (movies.c.attempts == 0) & movies.c.not_before.is_not(None)
    connection.execute(update(movies).where(own, blameless).values(not_before=None))


def late(connection: Connection, *, whole_before: float) -> list[tuple[int, int]]:
    """Return (session id, count) of movies that were whole before an instant and have neither result nor error yet."""
    stuck: ColumnElement[bool] = movies.c.state.in_((MovieState.FOUND, MovieState.QUEUED, MovieState.RUNNING)) & (
        movies.c.whole_at < whole_before
    )
    query = (
        select(movies.c.session_id, func.count())
        .join(sessions, sessions.c.id == movies.c.session_id)
        .where(stuck, sessions.c.state == SessionState.OPEN)
        .group_by(movies.c.session_id)
    )
    return [(session_id, count) for session_id, count in connection.execute(query)]


def _all(connection: Connection, query: Select[Any]) -> list[Movie]:
    return [value(Movie, found) for found in connection.execute(query)]
