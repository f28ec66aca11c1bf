"""Numbers for monitoring: what is where in all of the facility, in few queries whatever the number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, func, select

from passerelle.core.states import MovieState
from passerelle.store.tables import alerts, files, movies, sessions
from passerelle.store.tables_transfers import transfers

_AT_ONCE_SECONDS = 300.0  # movies queued later than that after they were whole were done again: no latency of theirs counts


@dataclass(frozen=True, slots=True)
class Latency:
    """Of an instrument's movies, from whole to result. counts: how many took at most each of the bounds."""

    counts: tuple[int, ...]
    total: int
    seconds: float


def movies_by_state(connection: Connection) -> dict[tuple[str, str], int]:
    """Return how many movies there are, by instrument and state."""
    query = select(sessions.c.instrument, movies.c.state, func.count()).join_from(movies, sessions)
    return {
        (name, state): count for name, state, count in connection.execute(query.group_by(sessions.c.instrument, movies.c.state))
    }


def files_by_state(connection: Connection) -> dict[tuple[str, str], int]:
    """Return how many files there are, by instrument and state."""
    query = select(sessions.c.instrument, files.c.state, func.count()).join_from(files, sessions)
    return {
        (name, state): count for name, state, count in connection.execute(query.group_by(sessions.c.instrument, files.c.state))
    }


def oldest_waiting(connection: Connection) -> dict[str, float]:
    """Return since when the oldest movie of each instrument waits for its result, or is at work; of those that have any."""
    waiting = movies.c.state.in_((MovieState.QUEUED, MovieState.RUNNING))
    query = select(sessions.c.instrument, func.min(movies.c.whole_at)).join_from(movies, sessions).where(waiting)
    return {name: at for name, at in connection.execute(query.group_by(sessions.c.instrument)) if at is not None}


def latest_files(connection: Connection) -> dict[str, float]:
    """Return when the latest file of each instrument came; of those that have any."""
    query = select(sessions.c.instrument, func.max(sessions.c.last_file_at)).group_by(sessions.c.instrument)
    return {name: at for name, at in connection.execute(query) if at is not None}


def latencies(connection: Connection, bounds: Sequence[float]) -> dict[str, Latency]:
    """Return how long movies took from whole to result, by instrument. bounds: seconds, growing."""
    took = movies.c.finished_at - movies.c.whole_at
    columns: list[Any] = [func.sum(case((took <= bound, 1), else_=0)) for bound in bounds]
    query = (
        select(sessions.c.instrument, func.count(), func.sum(took), *columns)
        .join_from(movies, sessions)
        .where(movies.c.state == MovieState.DONE, movies.c.whole_at.is_not(None), movies.c.finished_at.is_not(None))
        .where(movies.c.queued_at - movies.c.whole_at <= _AT_ONCE_SECONDS)
        .group_by(sessions.c.instrument)
    )
    return {row[0]: Latency(tuple(int(each) for each in row[3:]), row[1], row[2]) for row in connection.execute(query)}


def alerts_by_level(connection: Connection) -> dict[str, int]:
    """Return how many alerts stand, by level; muted ones count."""
    query = select(alerts.c.level, func.count()).where(alerts.c.closed_at.is_(None)).group_by(alerts.c.level)
    return {row[0]: row[1] for row in connection.execute(query)}


def transfers_by_state(connection: Connection) -> dict[str, int]:
    """Return how many transfers there are, by state."""
    query = select(transfers.c.state, func.count()).group_by(transfers.c.state)
    return {row[0]: row[1] for row in connection.execute(query)}


def copied_bytes(connection: Connection) -> int:
    """Return how many bytes all transfers have copied."""
    return int(connection.execute(select(func.sum(transfers.c.moved_bytes))).scalar() or 0)
