"""Counts, rates and instants of movies, in few queries whatever the number of movies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, func, select

from passerelle.core.states import MovieState
from passerelle.store.tables import movies


@dataclass(frozen=True, slots=True)
class Totals:
    """Of one session. count: by state and verdict in force (None where there is none)."""

    count: dict[tuple[MovieState, str | None], int]
    found_lately: int
    done_lately: int
    last_found_at: float | None
    oldest_waiting_at: float | None


def totals(connection: Connection, *, since: float, session_id: int | None = None) -> dict[int, Totals]:
    """Return the totals of one or all sessions. since: "lately" begins here."""
    verdict = func.coalesce(movies.c.chosen, movies.c.verdict)
    waiting = movies.c.state.in_((MovieState.QUEUED, MovieState.RUNNING))
    query = select(
        movies.c.session_id,
        movies.c.state,
        verdict.label("verdict"),
        func.count().label("count"),
        func.sum(case((movies.c.found_at > since, 1), else_=0)).label("found"),
        func.sum(case((movies.c.finished_at > since, 1), else_=0)).label("finished"),
        func.max(movies.c.found_at).label("last_found"),
        func.min(case((waiting, movies.c.whole_at))).label("oldest"),
    ).group_by(movies.c.session_id, movies.c.state, verdict)
    if session_id is not None:
        query = query.where(movies.c.session_id == session_id)
    rows: dict[int, list[Any]] = {}
    for row in connection.execute(query):
        rows.setdefault(row.session_id, []).append(row)
    return {number: _totals(group) for number, group in rows.items()}


def _totals(rows: list[Any]) -> Totals:
    count: dict[tuple[MovieState, str | None], int] = {}
    for row in rows:
        state = MovieState(row.state)
        key = (state, row.verdict if state is MovieState.DONE else None)
        count[key] = count.get(key, 0) + row.count
    oldest = [row.oldest for row in rows if row.oldest is not None]
    return Totals(
        count=count,
        found_lately=sum(row.found for row in rows),
        done_lately=sum(row.finished for row in rows if row.state == MovieState.DONE),
        last_found_at=max(row.last_found for row in rows),
        oldest_waiting_at=min(oldest) if oldest else None,
    )


@dataclass(frozen=True, slots=True)
class Delays:
    """Of one movie: from whole to result, and from closed to start; None where it was not taken up as it came."""

    to_result: float | None
    to_start: float | None


def delays(connection: Connection, session_id: int, *, limit: int, at_once: float) -> list[Delays]:
    """Return the delays of the movies done last. Movies queued more than `at_once` seconds after they were whole do not count:
    they were done again, or lay in the folder before anybody looked."""
    query = (
        select(movies.c.closed_at, movies.c.whole_at, movies.c.queued_at, movies.c.started_at, movies.c.finished_at)
        .where(movies.c.session_id == session_id, movies.c.state == MovieState.DONE, movies.c.whole_at.is_not(None))
        .order_by(movies.c.finished_at.desc())
        .limit(limit)
    )
    found: list[Delays] = []
    for closed, whole, queued, started, finished in connection.execute(query):
        if queued is None or queued - whole > at_once:
            continue
        fresh = closed is not None and whole - closed <= at_once
        to_start = started - closed if fresh and started is not None and closed is not None else None
        found.append(Delays(finished - whole if finished is not None else None, to_start))
    return found
