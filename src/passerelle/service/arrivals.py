"""From what the watch says to rows: sessions, files and movies, and movies queued as soon as all that they need is there.

One batch is one transaction: when `take` returns, everything in it is on the disk. Sidecars may come before, after or long after
their movie; a value that matters and comes late has the movie done again, one that does not is only recorded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from sqlalchemy import Connection

from passerelle.acquisition import Metadata, Place, Role
from passerelle.acquisition.programs import mark
from passerelle.core.errors import PasserelleError, printable
from passerelle.core.states import FileState, MovieState, SessionState
from passerelle.gateway import (
    Arrival,
    Bad,
    Change,
    FileChange,
    FolderChange,
    FolderState,
    Gone,
    Growing,
    KnownFile,
    LinkIgnored,
    Returned,
    Touched,
    Unfinished,
)
from passerelle.processing import Recipe, Threshold
from passerelle.service.admission import Admitted, admit
from passerelle.service.hearsay import Sidecars, header_says, tell
from passerelle.service.instruments import Instrument
from passerelle.service.reach import Reach
from passerelle.store import Database, File, Session, alerts, events, files, movies, paths, sessions

_MAIN = frozenset({Role.MOVIE, Role.FRAME})
_REFERENCES = frozenset({Role.GAIN, Role.DEFECTS})
_STATES: dict[type[FileChange], FileState] = {
    Arrival: FileState.WHOLE,
    Touched: FileState.WHOLE,
    Returned: FileState.WHOLE,
    Growing: FileState.GROWING,
    Unfinished: FileState.UNFINISHED,
    Bad: FileState.BAD,
}


class Arrivals:
    """The sink of the watch. recipe, thresholds: of new sessions. `wake` is called when a movie was queued."""

    def __init__(
        self,
        database: Database,
        instruments: Mapping[str, Instrument],
        *,
        recipe: Recipe,
        thresholds: Mapping[str, Threshold],
        clock: Callable[[], float] = time.time,
        wake: Callable[[], None] = lambda: None,
        reach: Reach | None = None,
    ) -> None:
        self.database = database
        self.instruments = instruments
        self.wake = wake
        self.reach = reach or Reach()
        self._recipe = recipe
        self._thresholds = {name: each.model_dump(mode="json", exclude_none=True) for name, each in thresholds.items()}
        self._clock = clock
        self._sidecars = Sidecars()
        self._lock = threading.Lock()
        self._look_again: dict[int, float] = {}  # movie -> when its waiting may be over

    def known(self, instrument: str) -> Iterable[KnownFile]:
        """Return all that is recorded of an instrument's folder, and feed what was learnt of frame counts."""
        expectations = self.instruments[instrument].expectations
        with self.database.read() as connection:
            for session in sessions.every(connection):
                if session.instrument == instrument and session.expected_frames:
                    expectations.movie_had(Place(paths.from_text(session.root), Role.MOVIE), session.expected_frames)
            return [_known(file) for file in files.known(connection, instrument)]

    def take(self, changes: Sequence[Change]) -> None:
        """Record changes in order, in one transaction.

        Raises:
            Busy, OutOfSpace, StorageError: nothing was recorded; the watch offers the batch again.
        """
        for change in changes:  # before the transaction: a disk that hangs must not hold up everybody else
            if isinstance(change, Arrival) and change.place.role is Role.MOVIE_METADATA:
                self._sidecars.read(self.instruments[change.instrument], paths.to_text(change.path))
        with self._lock:
            with self.database.write() as connection:
                admitted = [self._take_group(connection, group) for group in _groups(changes)]
            self._remember(admitted)
        back = False
        for change in changes:
            self._learn(change)
            if isinstance(change, FolderChange):
                back = self.reach.tell(change) or back
        if back or any(each.queued for each in admitted):
            self.wake()

    def resume(self) -> None:
        """After a restart: have every movie that waits for something looked at by the next `look_again`."""
        with self._lock, self.database.read() as connection:
            self._look_again |= {movie.id: 0.0 for movie in movies.in_state(connection, MovieState.FOUND)}

    def look_again(self, now: float) -> None:
        """Decide about movies that have waited for a companion long enough.

        Raises:
            Busy, OutOfSpace, StorageError: nothing was recorded; call again.
        """
        with self._lock:
            due = [movie_id for movie_id, until in self._look_again.items() if until <= now]
            if not due:
                return
            with self.database.write() as connection:
                admitted = self.decide(connection, due)
            for movie_id in due:
                del self._look_again[movie_id]
            self._remember([admitted])
        if admitted.queued:
            self.wake()

    def next_look(self) -> float | None:
        """Return when `look_again` is next worth calling."""
        with self._lock:
            return min(self._look_again.values(), default=None)

    def decide(self, connection: Connection, ids: Iterable[int]) -> Admitted:
        """Decide about movies, of any sessions, within a transaction."""
        total = Admitted()
        waiting = sorted(movies.by_id(connection, ids), key=lambda movie: movie.session_id)
        for session_id, group in groupby(waiting, key=lambda movie: movie.session_id):
            session = sessions.get(connection, session_id)
            instrument = self.instruments.get(session.instrument)
            if instrument is None:
                continue  # its section was taken out of the configuration
            own = [movie.id for movie in group]
            answer = admit(connection, session, instrument, own, mattering={}, at=self._clock())
            total.queued += answer.queued
            total.waiting |= answer.waiting
        return total

    def _remember(self, admitted: Iterable[Admitted]) -> None:
        for each in admitted:
            for movie_id, until in each.waiting.items():
                if until is None:
                    self._look_again.pop(movie_id, None)
                else:
                    self._look_again[movie_id] = until

    def _learn(self, change: Change) -> None:
        """Tell the watch how many frames to expect of movies to come."""
        if not isinstance(change, Arrival):
            return
        instrument = self.instruments[change.instrument]
        if change.place.role is Role.MOVIE and change.header is not None:
            instrument.expectations.movie_had(change.place, change.header.frames)
        if change.place.role is Role.MOVIE_METADATA:
            said = self._sidecars.said(instrument, paths.to_text(change.path))
            if isinstance(said, Metadata) and said.frames:
                instrument.expectations.sidecar_says(change.place, said.frames)

    def _take_group(self, connection: Connection, group: list[Change]) -> Admitted:
        first = group[0]
        at = self._clock()
        total = Admitted()
        if isinstance(first, FolderChange):
            _tell_of_folder(connection, first)
        elif isinstance(first, LinkIgnored):
            data = {"instrument": first.instrument, "path": paths.to_text(first.path), "target": printable(first.target)}
            events.add(connection, "link_ignored", at=at, data=data)
        elif isinstance(first, Gone):
            gone = [paths.to_text(change.path) for change in group if isinstance(change, Gone)]
            for session_id, touched in files.gone(connection, first.instrument, gone, at=at).items():
                session = sessions.get(connection, session_id)
                total = self._follow(connection, session, [change.file for change in touched], {}, at)
        else:
            total = self._take_files(connection, [change for change in group if isinstance(change, FileChange)], at)
        return total

    def _take_files(self, connection: Connection, group: list[FileChange], at: float) -> Admitted:
        session = self._session(connection, group[0])
        touched = files.record(connection, session.id, [_seen(change) for change in group])
        if session.state is SessionState.CLOSED and any(each.before is None and each.file.role in _MAIN for each in touched):
            session = sessions.change_state(connection, session.id, SessionState.OPEN, at=at)
        # a file that is back as it was is not one that came: a purge that put it back must not make its session young
        came = [change.seen_at for change in group if not isinstance(change, Returned | Touched)]
        if came:
            sessions.touch(connection, session.id, last_file_at=max(came))
        from_file = {_key(change): said for change in group if (said := header_says(change)) is not None}
        frames = [c.header.frames for c in group if isinstance(c, Arrival) and c.place.role is Role.MOVIE and c.header]
        if frames and max(frames) > (session.expected_frames or 0):
            session = sessions.change(connection, session.id, "expected_frames", at=at, expected_frames=max(frames))
        return self._follow(connection, session, [change.file for change in touched], from_file, at)

    def _session(self, connection: Connection, change: FileChange) -> Session:
        root = paths.to_text(change.place.session)
        found = sessions.find(connection, change.instrument, root)
        if found is not None:
            return found
        return sessions.create(
            connection,
            instrument=change.instrument,
            root=root,
            name=paths.to_text(change.place.session.name) or change.instrument,
            program=_program(self.instruments[change.instrument], change),
            recipe=self.instruments[change.instrument].recipe(self._recipe).model_dump(mode="json"),
            thresholds=self._thresholds,
            at=change.seen_at,
        )

    def _follow(
        self, connection: Connection, session: Session, touched: Sequence[File], from_file: Mapping[str, Metadata], at: float
    ) -> Admitted:
        """Make the movies that these files belong to, write what is said of them, and decide about each."""
        instrument = self.instruments[session.instrument]
        if not instrument.settings.processing:
            return Admitted()
        wanted: dict[str, str] = {}
        for file in touched:
            if file.movie_key is not None and file.role in _MAIN and file.state is not FileState.GONE:
                wanted.setdefault(file.movie_key, file.path)
        movies.find_or_create(connection, session.id, wanted, at=at)
        known = movies.by_key(connection, session.id, {file.movie_key for file in touched if file.movie_key is not None})
        companions = files.of_movies(connection, session.id, known)
        mattering, problems = tell(connection, instrument, list(known.values()), companions, from_file, self._sidecars)
        for problem in problems:
            _tell_of_sidecar(connection, session, problem, at)
        concerned = {movie.id for movie in known.values()}
        if any(file.role in _REFERENCES for file in touched):
            return self._references_changed(connection, session, instrument, mattering, at)
        return admit(connection, session, instrument, concerned, mattering=mattering, at=at)

    def _references_changed(
        self,
        connection: Connection,
        session: Session,
        instrument: Instrument,
        mattering: Mapping[int, Sequence[str]],
        at: float,
    ) -> Admitted:
        """Decide about all movies to which a gain reference or defect map of this session may belong."""
        total = Admitted()
        root = paths.from_text(session.root)
        for each in sessions.every(connection):
            if each.instrument == session.instrument and paths.from_text(each.root).is_relative_to(root):
                ids = [movie.id for movie in movies.of_session(connection, each.id)]
                answer = admit(connection, each, instrument, ids, mattering=mattering, at=at)
                total.queued += answer.queued
                total.waiting |= answer.waiting
        return total


def _groups(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Cut a batch into runs that are recorded together: of one kind, instrument and session. Order is kept."""

    def kind(change: Change) -> tuple[object, ...]:
        if isinstance(change, FileChange):
            return "file", change.instrument, change.place.session
        if isinstance(change, Gone):
            return "gone", change.instrument
        return "one", id(change)

    for _, group in groupby(changes, key=kind):
        yield list(group)


def _program(instrument: Instrument, change: FileChange) -> str:
    """Return the program of a session; `auto` by the mark of its first file."""
    return mark(change.path) or "generic" if instrument.program.name == "auto" else instrument.program.name


def _key(change: FileChange) -> str:
    return paths.to_text(change.place.movie or "")


def _seen(change: FileChange) -> files.Seen:
    problem = change.reason if isinstance(change, Unfinished) else change.problem if isinstance(change, Bad) else None
    return files.Seen(
        path=paths.to_text(change.path),
        role=change.place.role,
        movie_key=None if change.place.movie is None else paths.to_text(change.place.movie),
        frame=change.place.frame,
        state=_STATES[type(change)],
        size=change.size,
        mtime_ns=change.mtime_ns,
        inode=_signed(change.inode),
        generation=change.generation,
        at=change.seen_at,
        closed_at=change.closed_at if isinstance(change, Arrival) else None,
        whole_at=change.whole_at if isinstance(change, Arrival) else None,
        problem=problem,
    )


def _signed(inode: int) -> int:
    """Inode numbers are unsigned 64-bit words (some network file systems use them all); columns are signed."""
    return inode - (1 << 64) if inode >= 1 << 63 else inode


def _known(file: File) -> KnownFile:
    return KnownFile(
        path=paths.from_text(file.path),
        size=file.size,
        mtime_ns=file.mtime_ns,
        inode=file.inode % (1 << 64),
        generation=file.generation,
        state=file.state,
        handed_on=file.whole_at is not None,
    )


def _tell_of_folder(connection: Connection, change: FolderChange) -> None:
    kind = f"folder_{change.instrument}"[:40]
    if change.state in {FolderState.WATCHING, FolderState.POLLING}:
        alerts.clear(connection, kind, at=change.at)
        movies.wait_no_longer(connection, change.instrument)
    else:
        words = f"The folder of {change.instrument} cannot be watched: {change.reason}"
        advice = "Its movies wait, and are taken up by themselves when it is back."
        alerts.raise_(connection, kind, level="error", message=words, advice=advice, at=change.at)
    data = {"instrument": change.instrument, "state": change.state.value, "reason": change.reason}
    events.add(connection, "folder", at=change.at, data=data)


def _tell_of_sidecar(connection: Connection, session: Session, problem: PasserelleError, at: float) -> None:
    alerts.raise_(
        connection,
        "sidecar_unreadable",
        level="warning",
        message=str(problem),
        advice="The movie is processed with what its own file and the configuration say.",
        session_id=session.id,
        at=at,
    )
