"""Recompresses the raw movies of instruments that ask for it, one at a time, when nothing waits for them any more.

A movie is taken up when it has its result. Its original goes, where that is asked for, when the watch knows the copy whole, and
after a second proof: until then the original counts as the movie, from then on the copy does (`flow.main_files`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from passerelle.acquisition import Role
from passerelle.core.errors import PasserelleError
from passerelle.core.log import logger
from passerelle.core.states import FileState, MovieState, SessionState
from passerelle.service.instruments import Instrument
from passerelle.service.recompress import Outcome, recompress_one
from passerelle.store import Database, File, Movie, Session, alerts, events, files, movies, paths, sessions

_IDLE_SECONDS = 10.0
_AT_ONCE = 200
_ORIGINALS = frozenset({".mrc", ".mrcs"})


class Recompressor:
    """A thread of its own; what a former run has left is found on the disk and in the database, and goes on."""

    def __init__(
        self, database: Database, instruments: Mapping[str, Instrument], *, clock: Callable[[], float] = time.time
    ) -> None:
        self.database = database
        self.instruments = {name: each for name, each in instruments.items() if each.settings.recompress != "off"}
        self._clock = clock
        self._settled: set[int] = set()  # movies with which nothing is left to do in this run
        self._copied: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recompressor", daemon=True)

    def start(self) -> None:
        """Begin, if any instrument asks for it."""
        if self.instruments:
            self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Let the movie in hand be finished, at most `timeout` seconds; a run cut short leaves the original."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def step(self) -> bool:
        """Take up one movie; say whether there was one.

        Raises:
            Busy, StorageError: the database cannot be used now.
        """
        found = self._next()
        if found is None:
            return False
        session, movie, original, copy_known = found
        settings = self.instruments[session.instrument].settings
        remove = settings.recompress_remove_original and copy_known
        path = self.instruments[session.instrument].folder / paths.from_text(original.path)
        method = "lzw" if settings.recompress == "lzw" else "deflate"
        outcome = recompress_one(path, method=method, remove_original=remove)
        self._copied.add(movie.id)
        if outcome.state != "recompressed" or outcome.words or not settings.recompress_remove_original or outcome.removed:
            self._settled.add(movie.id)
        self._tell(session, movie, outcome)
        return True

    def _next(self) -> tuple[Session, Movie, File, bool] | None:
        with self.database.read() as connection:
            for session in sessions.every(connection):
                if session.instrument not in self.instruments or session.state is not SessionState.OPEN:
                    continue
                done = movies.ids_in_state(connection, session.id, MovieState.DONE)
                left = movies.by_id(connection, [movie_id for movie_id in done if movie_id not in self._settled][:_AT_ONCE])
                companions = files.of_movies(connection, session.id, [movie.key for movie in left])
                for movie in left:
                    own = [file for file in companions[movie.key] if file.role == Role.MOVIE and file.state is FileState.WHOLE]
                    original = next((file for file in own if Path(file.path).suffix.lower() in _ORIGINALS), None)
                    if original is None:
                        self._settled.add(movie.id)
                        continue
                    copy_known = len(own) > 1
                    if movie.id not in self._copied or copy_known:
                        return session, movie, original, copy_known
        return None

    def _tell(self, session: Session, movie: Movie, outcome: Outcome) -> None:
        at = self._clock()
        data = {"path": movie.path, "original_bytes": outcome.original_bytes, "target_bytes": outcome.target_bytes}
        with self.database.write() as connection:
            if outcome.error is not None:
                alerts.raise_(
                    connection,
                    "recompress",
                    level="warning",
                    message=f"{movie.key} could not be recompressed: {outcome.words}",
                    advice="The original is as it was.",
                    session_id=session.id,
                    at=at,
                )
            elif outcome.state == "recompressed":
                kind = "original_removed" if outcome.removed else "movie_recompressed"
                events.add(connection, kind, at=at, session_id=session.id, movie_id=movie.id, data=data)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                busy = self.step()
            except PasserelleError as error:
                logger.warning("recompressor_waits", error=str(error))
                busy = False
            if not busy:
                self._stop.wait(_IDLE_SECONDS)
