"""Files of a session as the watch knows them; recorded in batches, since a burst brings fifty thousand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from passerelle.core.states import FileState, move, moves
from passerelle.store import events
from passerelle.store.paths import storable
from passerelle.store.tables import files, sessions
from passerelle.store.values import File, value

_CHUNK = 500  # bound parameters in one IN (…): SQLite's limit was 999 for long


@dataclass(frozen=True, slots=True)
class Seen:
    """What the watch says of a file at `at`. path: relative to the instrument's folder, as `paths.to_text` writes it."""

    path: str
    role: str
    movie_key: str | None
    frame: int | None
    state: FileState
    size: int
    mtime_ns: int
    inode: int
    at: float
    closed_at: float | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A file whose row was written, and the row that stood there before."""

    file: File
    before: File | None

    @property
    def reopened(self) -> bool:
        """Whether a file that had been whole became another: its movie must be done again."""
        return self.before is not None and self.file.generation > self.before.generation


def record(connection: Connection, session_id: int, seen: Sequence[Seen]) -> list[Change]:
    """Write what the watch says; return those files of which it is news, in order.

    A file that was whole and comes again with another size, time or inode is a new generation of it. A state that may not follow
    directly passes through GROWING. Saying the same twice changes nothing and writes no event.
    """
    latest = {each.path: each for each in seen}  # of two words about one file in a batch, the later counts
    known = {found.path: found for found in _by_path(connection, session_id, list(latest))}
    new: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    log: list[dict[str, Any]] = []
    for each in latest.values():
        before = known.get(each.path)
        if before is not None and _same(before, each):
            continue
        if before is None:
            new.append(_row(each, None) | {"session_id": session_id, "generation": 0, "seen_at": each.at})
        else:
            changed.append(_row(each, before) | {"b_id": before.id, "generation": _generation(before, each)})
        log.append(_event(session_id, each, before))
    if new:
        connection.execute(insert(files), new)
    if changed:
        names = [name for name in changed[0] if name != "b_id"]
        connection.execute(update(files).where(files.c.id == bindparam("b_id")).values({n: bindparam(n) for n in names}), changed)
    events.add_all(connection, log)
    touched = [row["path"] for row in (*new, *changed)]
    return [Change(found, known.get(found.path)) for found in _by_path(connection, session_id, touched)]


def _same(before: File, each: Seen) -> bool:
    identity = (before.size, before.mtime_ns, before.inode) == (each.size, each.mtime_ns, each.inode)
    if before.state is FileState.GROWING and each.state is FileState.GROWING:
        return True  # its size matters when it is whole
    return identity and before.state is each.state


def _generation(before: File, each: Seen) -> int:
    """Count up when what was read of a whole file may no longer be what it holds."""
    if before.whole_at is None or before.state not in {FileState.WHOLE, FileState.GONE} or each.state is FileState.GONE:
        return before.generation
    other = (before.size, before.mtime_ns) != (each.size, each.mtime_ns)
    return before.generation + (other or each.state is not FileState.WHOLE)


def _row(each: Seen, before: File | None) -> dict[str, Any]:
    row = {name: inner for name, inner in asdict(each).items() if name != "at"}
    row["problem"] = None if each.problem is None else storable(each.problem)
    row["whole_at"] = each.at if each.state is FileState.WHOLE else None if before is None else before.whole_at
    if each.closed_at is None and before is not None:
        row["closed_at"] = before.closed_at
    return row


def _event(session_id: int, each: Seen, before: File | None) -> dict[str, Any]:
    if before is not None and before.state is not each.state:
        _checked(before.state, each.state)
    data = {"path": each.path, "from": None if before is None else before.state.value, "size": each.size}
    if each.problem:
        data["problem"] = each.problem
    return events.row(f"file_{each.state.value}", at=each.at, session_id=session_id, data=data)


def _checked(current: FileState, target: FileState) -> None:
    # the watch may have been away while a file passed through GROWING; any other jump is a fault of ours
    if target not in moves(current):
        move(current, FileState.GROWING, what="file")
        move(FileState.GROWING, target, what="file")


def _by_path(connection: Connection, session_id: int, paths: list[str]) -> Iterator[File]:
    for start in range(0, len(paths), _CHUNK):
        chunk = paths[start : start + _CHUNK]
        query = select(files).where(files.c.session_id == session_id, files.c.path.in_(chunk)).order_by(files.c.id)
        yield from (value(File, found) for found in connection.execute(query))


def of_movies(connection: Connection, session_id: int, keys: Iterable[str]) -> dict[str, list[File]]:
    """Return the files that belong to each of these movies: the movie itself or its frames, and sidecars."""
    wanted = sorted(set(keys))
    found: dict[str, list[File]] = {key: [] for key in wanted}
    for start in range(0, len(wanted), _CHUNK):
        chunk = wanted[start : start + _CHUNK]
        query = select(files).where(files.c.session_id == session_id, files.c.movie_key.in_(chunk)).order_by(files.c.id)
        for row in connection.execute(query):
            each = value(File, row)
            found[str(each.movie_key)].append(each)
    return found


def of_role(connection: Connection, session_id: int, role: str) -> list[File]:
    """Return the files of a session with this role, oldest first."""
    query = select(files).where(files.c.session_id == session_id, files.c.role == role).order_by(files.c.id)
    return [value(File, found) for found in connection.execute(query)]


def known(connection: Connection, instrument: str) -> Iterator[tuple[str, FileState, int, int, int]]:
    """Yield (path, state, size, mtime_ns, inode) of every file of an instrument, for a watch that starts again."""
    query = (
        select(files.c.path, files.c.state, files.c.size, files.c.mtime_ns, files.c.inode)
        .join(sessions, sessions.c.id == files.c.session_id)
        .where(sessions.c.instrument == instrument)
        .order_by(files.c.id)
    )
    for path, state, size, mtime_ns, inode in connection.execute(query):
        yield path, FileState(state), size, mtime_ns, inode


def counts(connection: Connection, session_id: int) -> dict[FileState, int]:
    """Return how many files of a session are in each state."""
    query = select(files.c.state, func.count()).where(files.c.session_id == session_id).group_by(files.c.state)
    return {FileState(state): count for state, count in connection.execute(query)}
