"""Process an existing folder without any server: look once, process all, end. Interrupted, it goes on where it was."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from passerelle.core.errors import BadInput, NotFound, PasserelleError, printable
from passerelle.core.states import FileState, MovieState
from passerelle.gateway import SettleRules
from passerelle.gateway.admit import admit, ignored
from passerelle.service.dispatcher import Dispatcher
from passerelle.service.instruments import Instrument
from passerelle.service.movies import hear_again
from passerelle.service.sessions import made_with_former_references, process_session_again, set_thresholds
from passerelle.service.settings import InstrumentSettings, Settings
from passerelle.service.stored import readable_thresholds
from passerelle.service.view import MovieRow, SessionView
from passerelle.service.wiring import Claim, Parts, assemble, dispatcher
from passerelle.store import File, files, movies, paths, sessions

NAME = "folder"
_POLL_SECONDS = 0.2
_UNDECIDED = frozenset({FileState.GROWING, FileState.GONE})
_ACTIVE = frozenset({MovieState.QUEUED, MovieState.RUNNING})

# Nobody writes here any more, so that little patience is needed; what is incomplete is reported, and not waited for.
_RULES = SettleRules(quiet_seconds=2.0, patience_seconds=3.0, broken_seconds=2.0, unfinished_seconds=6.0)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is. total: movies found so far; waiting: not whole, or a companion is missing. eta_seconds: None at first.

    waits_for: why it does not go on, in sentences that say what to do; empty while it does.
    """

    total: int = 0
    done: int = 0
    failed: int = 0
    running: int = 0
    waiting: int = 0
    listing: bool = True  # still looking for files
    eta_seconds: float | None = None
    waits_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Processed:
    """What was made: the sessions, and all their movies; those of this run, and those of earlier runs that still hold.

    waits_for: of a run that was interrupted, why it did not go on.
    """

    sessions: tuple[SessionView, ...]
    movies: tuple[MovieRow, ...]
    folder: Path
    results: Path
    seconds: float
    interrupted: bool = False
    waits_for: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        return sum(row.state is not MovieState.DONE for row in self.movies)


def folder_settings(
    folder: Path, state: Path, settings: Settings | None = None, instrument: InstrumentSettings | None = None
) -> Settings:
    """Return settings for one folder as the only instrument. state: where results and the database go; not inside of `folder`.

    Raises:
        NotFound: there is no such folder, gain or defect map. BadInput: `state` lies inside of the folder.
    """
    folder, state = folder.resolve(), state.resolve()
    if not folder.is_dir():
        raise NotFound("is no folder.", path=folder)
    if state == folder or state.is_relative_to(folder):
        raise BadInput("would write into the folder that it reads.", advice="Give another place for the results.", path=state)
    for reference in (instrument.gain, instrument.defects) if instrument is not None else ():
        if reference is not None and not reference.is_file():
            raise NotFound("is no file.", advice="Give a gain reference or defect map that is there, or none.", path=reference)
    own = (instrument or InstrumentSettings(folder=folder)).model_copy(
        update={
            "folder": folder,
            "quiet_seconds": 2.0,
            "sidecar_wait_seconds": 1.0,
            "gain_wait_seconds": 2.0,
            "frames_wait_seconds": 2.0,
        }
    )
    base = settings or Settings()
    placed = base.state.model_copy(update={"folder": state, "results": None, "database": None})
    work = base.work.model_copy(update={"executor": "processes"}) if base.work.executor == "parsl" else base.work
    alerts = base.alerts.model_copy(update={"no_new_movie_minutes": 0.0})
    return base.model_copy(update={"instruments": {NAME: own}, "state": placed, "work": work, "alerts": alerts})


def process_folder(
    settings: Settings,
    *,
    told: Callable[[Progress], None] = lambda progress: None,
    stop: threading.Event | None = None,
    retry_failed: bool = True,
) -> Processed:
    """Process all movies of the folder that `folder_settings` was made for. Idempotent: what stands is not done again.

    told: called a few times a second. stop: set it to end early; the next call goes on. retry_failed: movies that an earlier run
    set aside are tried again.

    Raises:
        Busy: another run works with this state. BadConfiguration, StorageError: as they say.
    """
    stop = stop or threading.Event()
    began = time.monotonic()
    claim = Claim(settings.state.folder)
    try:
        parts = assemble(settings)
        try:
            _again(parts, retry_failed=retry_failed)
            last = _work(parts, told, stop)
            views = parts.status.sessions()
            rows = [row for view in views for row in parts.status.movies(view.id) if row.state is not MovieState.GONE]
        finally:
            parts.close()
    finally:
        claim.release()
    folder = settings.instruments[NAME].folder
    return Processed(tuple(views), tuple(rows), folder, settings.results, time.monotonic() - began, stop.is_set(), last.waits_for)


def _again(parts: Parts, *, retry_failed: bool) -> None:
    """Apply the parameters of this run to movies of earlier runs, and queue again what failed."""
    with parts.database.read() as connection:
        known = sessions.every(connection)
    recipe = parts.instruments[NAME].recipe(parts.settings.processing).model_dump(mode="json")
    for session in known:
        heard = hear_again(parts.database, parts.instruments, session.id)
        heard |= made_with_former_references(parts.database, parts.instruments, session.id)
        process_session_again(parts.database, session.id, recipe, also=heard, failed=retry_failed)
        thresholds = parts.settings.thresholds
        if readable_thresholds(session) != thresholds:
            set_thresholds(parts.database, session.id, thresholds)


def _work(parts: Parts, told: Callable[[Progress], None], stop: threading.Event) -> Progress:
    instrument = parts.instruments[NAME]
    loop = dispatcher(parts, rules=_RULES, guarded=False)
    there = list(_listing(instrument))
    pace = _Pace()
    progress = Progress()
    loop.start()
    try:
        while not stop.wait(_POLL_SECONDS):
            if loop.error is not None:
                raise loop.error
            there = _not_looked_at(parts, instrument, there)
            listing = bool(there) or not _listed(loop)  # a share that went away meanwhile has not lost its movies
            progress = _progress(parts, loop, listing, pace)
            told(progress)
            ended = progress.done + progress.failed + progress.waiting == progress.total
            if ended and not listing and loop.arrivals.next_look() is None:
                break
    finally:
        loop.stop()
    return progress


def _listed(loop: Dispatcher) -> bool:
    return loop.watch is None or all(status.listed for status in loop.watch.statuses().values())


def _listing(instrument: Instrument) -> Iterator[str]:
    """Yield the files of the folder that the watch will look at, as the store names them."""
    for root, folders, names in os.walk(instrument.folder):
        folders[:] = [name for name in folders if not ignored(name)]
        for name in names:
            relative = os.path.relpath(os.path.join(root, name), instrument.folder)  # noqa: PTH118 - undecodable names
            if not ignored(name) and admit(instrument.program, relative) is not None and _regular(instrument, relative):
                yield paths.to_text(relative)


def _not_looked_at(parts: Parts, instrument: Instrument, there: Collection[str]) -> list[str]:
    """Return the files of which the watch has not said yet what they are now; what an earlier run heard is not enough."""
    if not there:
        return []
    with parts.database.read() as connection:
        known = {file.path: file for file in files.known(connection, NAME)}
    return [path for path in there if not _looked_at(instrument, path, known.get(path))]


def _looked_at(instrument: Instrument, path: str, file: File | None) -> bool:
    if file is not None and file.state in _UNDECIDED:
        return False
    status = _regular(instrument, paths.from_text(path))
    if status is None:
        return True  # gone meanwhile
    return file is not None and (file.size, file.mtime_ns) == (status.st_size, status.st_mtime_ns)


def _regular(instrument: Instrument, relative: str | PurePosixPath) -> os.stat_result | None:
    """Return the status of a file; None of a link, pipe or device, which the watch passes over, too, and where there is none."""
    try:
        status = (instrument.folder / relative).lstat()
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


class _Pace:
    """Seconds a movie, from the movies that ended in this run."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.first: int | None = None

    def eta(self, ended: int, left: int) -> float | None:
        if self.first is None:
            self.first = ended
        made = ended - self.first
        return (time.monotonic() - self.began) / made * left if made else None


def _progress(parts: Parts, loop: Dispatcher, listing: bool, pace: _Pace) -> Progress:
    with parts.database.read() as connection:
        count = movies.count_states(connection)
        held_up = movies.held_up(connection, now=time.time())
    waits_for = loop.obstacles
    if not waits_for and held_up is not None and not count.get(MovieState.RUNNING):
        waits_for = (held_up.error or "",)
    total = sum(n for state, n in count.items() if state is not MovieState.GONE)
    done, failed = count.get(MovieState.DONE, 0), count.get(MovieState.FAILED, 0)
    active = sum(count.get(state, 0) for state in _ACTIVE)
    return Progress(
        total=total,
        done=done,
        failed=failed,
        running=active,
        waiting=count.get(MovieState.FOUND, 0),
        listing=listing,
        eta_seconds=pace.eta(done + failed, active),
        waits_for=waits_for,
    )


def exit_error(processed: Processed) -> PasserelleError | None:
    """Return what a command should end with when there was nothing to process; nothing when there were movies."""
    if processed.movies or processed.interrupted:
        return None
    found = passed_over(processed.folder)
    if not found:
        advice = (
            "Movies are .mrc, .mrcs, .tif, .tiff, .eer, .dm3, .dm4 and single .raw frames; --program says whose names they bear."
        )
        return NotFound("No movie was found.", advice=advice, path=processed.folder)
    words = f"No movie was found: it holds {' and '.join(found)}. Links are not followed, and only files are read."
    return NotFound(words, advice="Give the folder in which the movies themselves lie.", path=processed.folder)


def passed_over(folder: Path) -> list[str]:
    """Count what lies in a folder and is no file: links (of which the first is named with its target), pipes and devices."""
    links: list[Path] = []
    others = 0
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(root) / name
            try:
                mode = path.lstat().st_mode
            except OSError:
                continue
            if stat.S_ISLNK(mode):
                links.append(path)
            elif not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                others += 1
    told = []
    if links:
        first = f"{printable(links[0].name)} → {printable(str(links[0].readlink()))}"
        told.append(f"{len(links)} links ({first}, …)" if len(links) > 1 else f"a link ({first})")
    if others:
        told.append(f"{others} pipes, sockets or devices" if others > 1 else "a pipe, socket or device")
    return told
