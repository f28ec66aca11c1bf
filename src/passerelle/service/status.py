"""What faces show, made from the store. Reads only; few queries, whatever the number of movies."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from passerelle.acquisition import Role
from passerelle.core.errors import NotFound, storage_errors
from passerelle.core.states import MovieState, Verdict
from passerelle.processing import Recipe
from passerelle.service import former_references
from passerelle.service.alerts import disk_use
from passerelle.service.instruments import Instrument
from passerelle.service.places import Places
from passerelle.service.raw_movies import raw_note
from passerelle.service.stored import readable, readable_thresholds
from passerelle.service.view import AlertView, Counters, Disk, EventView, Flow, MovieRow, MovieView, SessionView
from passerelle.store import Alert, Database, Event, Movie, Session, alerts, events, files, movies, sessions, statistics

_LATELY_SECONDS = 3600.0
_LATENCIES = 500
_AT_ONCE_SECONDS = 300.0
_DISK_SAMPLES = 60
_DISK_EVERY_SECONDS = 60.0
_LARGEST_CURVES = 32 << 20
_GRID_ROLES = (Role.GRID_SQUARE, Role.SESSION_METADATA)


class StatusReader:
    """Reads views. One for the whole service: it remembers how fast disks fill. Safe to use from several threads."""

    def __init__(
        self,
        database: Database,
        instruments: Mapping[str, Instrument],
        places: Places,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.database = database
        self.instruments = instruments
        self.places = places
        self._clock = clock
        self._fill: dict[Path, deque[tuple[float, int]]] = {}

    # -- sessions --------------------------------------------------------------------------------------------------

    def sessions(self) -> list[SessionView]:
        """Return all sessions that have movies, the one with the latest file first."""
        with self.database.read() as connection:
            totals = statistics.totals(connection, since=self._clock() - _LATELY_SECONDS)
            # an atlas, or a folder of gains, is no session that anybody looks for
            known = [session for session in sessions.every(connection) if session.id in totals]
            return [self._session(connection, session, totals[session.id]) for session in known]

    def session(self, session_id: int) -> SessionView:
        """Return one session.

        Raises:
            NotFound: there is none with this id.
        """
        with self.database.read() as connection:
            session = sessions.get(connection, session_id)
            totals = statistics.totals(connection, since=self._clock() - _LATELY_SECONDS, session_id=session_id)
            return self._session(connection, session, totals.get(session_id))

    def _session(self, connection: Connection, session: Session, totals: statistics.Totals | None) -> SessionView:
        instrument = self.instruments.get(session.instrument)
        latest = movies.latest_told(connection, session.id)
        told = {} if latest is None else latest.metadata
        folders = [self.places.results, *([] if instrument is None else [instrument.folder])]
        return SessionView(
            id=session.id,
            name=session.name,
            instrument=session.instrument,
            camera=instrument.settings.camera if instrument and instrument.settings.camera else _camera(told),
            program=session.program,
            root=session.root,
            state=session.state,
            opened_at=session.opened_at,
            last_file_at=session.last_file_at,
            counters=counters(totals),
            flow=self._flow(connection, session, totals),
            disks=tuple(disk for folder in dict.fromkeys(folders) if (disk := self._disk(folder)) is not None),
            values={name: inner for name, inner in told.get("values", {}).items() if inner is not None},
            conflicts=tuple(told.get("conflicts", ())),
            thresholds=readable_thresholds(session),
            alerts=tuple(alert_view(alert) for alert in alerts.standing(connection, session_id=session.id)),
            has_grid=any(files.of_role(connection, session.id, role) for role in _GRID_ROLES),
        )

    def _flow(self, connection: Connection, session: Session, totals: statistics.Totals | None) -> Flow:
        now = self._clock()
        if totals is None:
            return Flow(running_seconds=now - session.opened_at)
        hours = min(max(now - session.opened_at, 60.0), _LATELY_SECONDS) / 3600.0
        per_hour = totals.done_lately / hours
        waiting = sum(n for (state, _), n in totals.count.items() if state in {MovieState.QUEUED, MovieState.RUNNING})
        delays = statistics.delays(connection, session.id, limit=_LATENCIES, at_once=_AT_ONCE_SECONDS)
        results = [each.to_result for each in delays if each.to_result is not None]
        return Flow(
            found_per_hour=totals.found_lately / hours,
            processed_per_hour=per_hour,
            last_movie_age_seconds=None if totals.last_found_at is None else max(0.0, now - totals.last_found_at),
            oldest_waiting_age_seconds=None if totals.oldest_waiting_at is None else max(0.0, now - totals.oldest_waiting_at),
            backlog_seconds=waiting / per_hour * 3600.0 if per_hour else None,
            latency_p50_seconds=percentile(results, 50),
            latency_p95_seconds=percentile(results, 95),
            start_p95_seconds=percentile([each.to_start for each in delays if each.to_start is not None], 95),
            running_seconds=(session.closed_at or now) - session.opened_at,
        )

    def _disk(self, folder: Path) -> Disk | None:
        use = disk_use(folder)
        if use is None:
            return None
        now = self._clock()
        samples = self._fill.setdefault(use.path, deque(maxlen=_DISK_SAMPLES))
        if not samples or now - samples[-1][0] >= _DISK_EVERY_SECONDS:
            samples.append((now, use.free_bytes))
        return Disk(
            path=str(folder),
            free_bytes=use.free_bytes,
            total_bytes=use.total_bytes,
            hours_until_full=hours_until_full(list(samples), now, use.free_bytes),
        )

    # -- movies ----------------------------------------------------------------------------------------------------

    def movies(self, session_id: int, *, ids: Sequence[int] | None = None) -> list[MovieRow]:
        """Return the session's movies in the order they were found; only those of `ids`, where given.

        Raises:
            NotFound: there is no such session.
        """
        with self.database.read() as connection:
            sessions.get(connection, session_id)
            return [movie_row(row) for row in movies.rows(connection, session_id, ids=ids)]

    def latest_movies(self, session_id: int, limit: int) -> list[MovieRow]:
        """Return the movies that ended last, newest first.

        Raises:
            NotFound: there is no such session.
        """
        with self.database.read() as connection:
            sessions.get(connection, session_id)
            return [movie_row(row) for row in movies.latest_rows(connection, session_id, limit=limit)]

    def movie(self, movie_id: int) -> MovieView:
        """Return all that is known of a movie.

        Raises:
            NotFound: there is none with this id.
        """
        with self.database.read() as connection:
            movie = movies.get(connection, movie_id)
            session = sessions.get(connection, movie.session_id)
            history = events.of_movie(connection, movie_id)
            before, after = movies.neighbours(connection, movie)
            (row,) = movies.rows(connection, session.id, ids=[movie_id])
            where = raw_note(connection, session, movie)
        outputs = outputs_of(movie)
        folder = self.places.movie_folder(session, movie)
        return MovieView(
            row=movie_row(row),
            session_id=session.id,
            session_name=session.name,
            path=movie.path,
            attempts=movie.attempts,
            generation=movie.generation,
            reasons=movie.reasons,
            error=movie.error,
            advice=movie.advice,
            values={name: inner for name, inner in movie.metadata.get("values", {}).items() if inner is not None},
            sources=dict(movie.metadata.get("sources", {})),
            conflicts=tuple(movie.metadata.get("conflicts", ())),
            notes=tuple(filter(None, (former_references.note(movie, self.instruments.get(session.instrument)), where))),
            steps=tuple(dict(step) for step in movie.steps),
            outputs={role: f"{movie.id}/{role}" for role in outputs if not role.endswith("_curves")},
            curves=_curves(folder, outputs),
            recipe=dict(movie.recipe if movie.recipe is not None else session.recipe),
            history=tuple(event_view(event) for event in history),
            previous_id=before,
            next_id=after,
        )

    def output_path(self, movie_id: int, role: str) -> Path:
        """Return where an output of a movie lies.

        Raises:
            NotFound: no such movie, or it has no such output.
        """
        with self.database.read() as connection:
            movie = movies.get(connection, movie_id)
            session = sessions.get(connection, movie.session_id)
        name = outputs_of(movie).get(role)
        if name is None or Path(name).name != name:
            raise NotFound(f"Movie {movie_id} has no output {role!r}.")
        return self.places.movie_folder(session, movie) / name

    # -- the rest --------------------------------------------------------------------------------------------------

    def alerts(self, *, closed: int = 0) -> list[AlertView]:
        """Return all open alerts that nobody muted, and up to `closed` of those closed last."""
        with self.database.read() as connection:
            found = alerts.standing(connection) + (alerts.closed(connection, limit=closed) if closed else [])
        return [alert_view(alert) for alert in found]

    def last_event_id(self) -> int:
        """Return the id of the newest event, 0 where there is none."""
        with self.database.read() as connection:
            return events.last_id(connection)

    def events_after(
        self, event_id: int, session_id: int | None = None, limit: int = 500, *, among: Collection[int] | None = None
    ) -> list[EventView]:
        """Return at most `limit` events with a greater id, oldest first, of one session, of those `among`, or of all."""
        with self.database.read() as connection:
            found = events.after(connection, event_id, session_id=session_id, among=among, limit=limit)
        return [event_view(event) for event in found]

    def session_recipe(self, session_id: int) -> Recipe:
        """Return the parameters in force for new movies of a session; defaults where what is stored cannot be read any more.

        Raises:
            NotFound: there is none with this id.
        """
        with self.database.read() as connection:
            return readable(Recipe, sessions.get(connection, session_id).recipe)


def counters(totals: statistics.Totals | None) -> Counters:
    """Count movies by what pages call their state."""
    if totals is None:
        return Counters()
    by_state = {state: sum(n for (each, _), n in totals.count.items() if each is state) for state in MovieState}

    def judged(verdict: Verdict) -> int:
        return totals.count.get((MovieState.DONE, verdict.value), 0)

    return Counters(
        found=sum(by_state.values()),
        waiting=by_state[MovieState.FOUND],
        queued=by_state[MovieState.QUEUED],
        running=by_state[MovieState.RUNNING],
        done=by_state[MovieState.DONE],
        accepted=judged(Verdict.ACCEPT),
        warned=judged(Verdict.WARN),
        rejected=judged(Verdict.REJECT),
        failed=by_state[MovieState.FAILED],
    )


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return the nearest-rank percentile; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100.0 * len(ordered)) - 1)]


def hours_until_full(samples: Sequence[tuple[float, int]], now: float, free_bytes: int) -> float | None:
    """Return how long a disk lasts at the pace of the samples (instant, free bytes); None if it does not fill up."""
    recent = [(at, free) for at, free in samples if now - at <= _LATELY_SECONDS]
    if not recent:
        return None
    at, free = recent[0]
    seconds, used = now - at, free - free_bytes
    return free_bytes / used * seconds / 3600.0 if seconds >= 2 * _DISK_EVERY_SECONDS and used > 0 else None


def movie_row(row: movies.Row) -> MovieRow:
    """Return a movie as lists show it; a metric that is not a number is left out."""
    return MovieRow(
        id=row.id,
        name=row.key,
        state=row.state,
        verdict=row.verdict,
        chosen=row.chosen,
        found_at=row.found_at,
        finished_at=row.finished_at,
        acquired_at=row.acquired_at,
        metrics={name: inner for name, inner in row.metrics.items() if inner is not None and math.isfinite(inner)},
        grid_square=row.grid_square,
        foil_hole=row.foil_hole,
        error=row.error,
        advice=row.advice,
        reasons=row.reasons,
    )


def alert_view(alert: Alert) -> AlertView:
    """Return an alert as pages show it."""
    return AlertView(
        id=alert.id,
        session_id=alert.session_id,
        kind=alert.kind,
        level=alert.level,
        message=alert.message,
        advice=alert.advice,
        opened_at=alert.opened_at,
        closed_at=alert.closed_at,
    )


def event_view(event: Event) -> EventView:
    """Return an event as pages show it."""
    return EventView(
        id=event.id, at=event.at, kind=event.kind, session_id=event.session_id, movie_id=event.movie_id, data=dict(event.data)
    )


def outputs_of(movie: Movie) -> dict[str, str]:
    """Return role -> file name of everything that the steps of a movie wrote."""
    return {role: name for step in movie.steps for role, name in step.get("outputs", {}).items()}


def _curves(folder: Path, outputs: Mapping[str, str]) -> dict[str, Any]:
    curves: dict[str, Any] = {}
    for role, name in outputs.items():
        path = folder / name
        if not role.endswith("_curves") or Path(name).name != name:
            continue
        try:
            with storage_errors(path):
                if path.stat().st_size <= _LARGEST_CURVES:
                    curves |= json.loads(path.read_bytes())
        except (NotFound, ValueError):
            continue  # it is being made again just now, or was cleared away: the page shows the rest
    return curves


def _camera(told: Mapping[str, Any]) -> str:
    return str(told.get("values", {}).get("camera") or "")
