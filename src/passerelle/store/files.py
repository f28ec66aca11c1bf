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
    """What the watch says of a file at `at`. path: relative to the instrument's folder, as `paths.to_text` writes it.

    generation: counts the contents that were handed on. whole_at: of the moment when it became whole, None if this is no news.
    """

    path: str
    role: str
    movie_key: str | None
    frame: int | None
    state: FileState
    size: int
    mtime_ns: int
    inode: int
    generation: int
    at: float
    closed_at: float | None = None
    whole_at: float | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A file whose row was written, and the row that stood there before."""

    file: File
    before: File | None


def record(connection: Connection, session_id: int, seen: Sequence[Seen]) -> list[Change]:
    """Write what the watch says; return those files of which it is news, in order.

    Of two words about one file the later counts. A state that may not follow directly passed through GROWING while the watch was
    away. Saying the same twice changes nothing and writes no event.
    """
    latest = {each.path: each for each in seen}
    known = {found.path: found for found in _by_path(connection, session_id, list(latest))}
    new: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    log: list[dict[str, Any]] = []
    for each in latest.values():
        before = known.get(each.path)
        if before is not None and _same(before, each):
            continue
        if before is None:
            new.append(_row(each, None) | {"session_id": session_id, "seen_at": each.at})
        else:
            changed.append(_row(each, before) | {"b_id": before.id})
        log.append(_event(session_id, each, before))
    if new:
        connection.execute(insert(files), new)
    if changed:
        names = [name for name in changed[0] if name != "b_id"]
        connection.execute(update(files).where(files.c.id == bindparam("b_id")).values({n: bindparam(n) for n in names}), changed)
    events.add_all(connection, log)
    touched = [row["path"] for row in (*new, *changed)]
    return [Change(found, known.get(found.path)) for found in _by_path(connection, session_id, touched)]


def gone(connection: Connection, instrument: str, paths: Sequence[str], *, at: float) -> dict[int, list[Change]]:
    """Write that files of an instrument were removed or renamed away; return those known, by session id."""
    by_session: dict[int, list[Seen]] = {}
    for start in range(0, len(paths), _CHUNK):
        query = (
            select(files)
            .join(sessions, sessions.c.id == files.c.session_id)
            .where(sessions.c.instrument == instrument, files.c.path.in_(paths[start : start + _CHUNK]))
            .order_by(files.c.id)
        )
        for row in connection.execute(query):
            file = value(File, row)
            by_session.setdefault(file.session_id, []).append(
                Seen(
                    path=file.path,
                    role=file.role,
                    movie_key=file.movie_key,
                    frame=file.frame,
                    state=FileState.GONE,
                    size=file.size,
                    mtime_ns=file.mtime_ns,
                    inode=file.inode,
                    generation=file.generation,
                    at=at,
                    problem=file.problem,
                )
            )
    return {session_id: record(connection, session_id, seen) for session_id, seen in by_session.items()}


def _same(before: File, each: Seen) -> bool:
    if (before.state, before.generation) != (each.state, each.generation):
        return False
    if each.state is FileState.GROWING:
        return True  # its size matters when it is whole
    same_content = (before.size, before.mtime_ns, before.inode) == (each.size, each.mtime_ns, each.inode)
    return same_content and before.problem == each.problem


def _row(each: Seen, before: File | None) -> dict[str, Any]:
    row = {name: inner for name, inner in asdict(each).items() if name != "at"}
    row["problem"] = None if each.problem is None else storable(each.problem)
    if before is not None:
        row["closed_at"] = each.closed_at if each.closed_at is not None else before.closed_at
        if each.whole_at is None and each.state in {FileState.WHOLE, FileState.GONE}:
            row["whole_at"] = before.whole_at
    return row


def _event(session_id: int, each: Seen, before: File | None) -> dict[str, Any]:
    kind = f"file_{each.state.value}"
    if before is not None and before.state is not each.state:
        _checked(before.state, each.state)
    elif before is not None and before.generation == each.generation:
        kind = "file_touched"
    data = {"path": each.path, "from": None if before is None else before.state.value, "size": each.size}
    if each.problem:
        data["problem"] = each.problem
    return events.row(kind, at=each.at, session_id=session_id, data=data)


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


def whole_after(
    connection: Connection, instrument: str, roles: Sequence[str], whole_at: float, file_id: int, *, until: float, limit: int
) -> list[File]:
    """Return files of these roles that became whole after another (its `whole_at` and id), in that order, up to an instant."""
    later = (files.c.whole_at > whole_at) | ((files.c.whole_at == whole_at) & (files.c.id > file_id))
    query = (
        select(files)
        .join(sessions, sessions.c.id == files.c.session_id)
        .where(sessions.c.instrument == instrument, files.c.role.in_(list(roles)), files.c.state == FileState.WHOLE)
        .where(later, files.c.whole_at <= until)
        .order_by(files.c.whole_at, files.c.id)
        .limit(limit)
    )
    return [value(File, found) for found in connection.execute(query)]


def known(connection: Connection, instrument: str) -> Iterator[File]:
    """Yield every file of an instrument, for a watch that starts again."""
    query = (
        select(files)
        .join(sessions, sessions.c.id == files.c.session_id)
        .where(sessions.c.instrument == instrument)
        .order_by(files.c.id)
        .execution_options(yield_per=1000)
    )
    for found in connection.execute(query):
        yield value(File, found)


def close_offsets(connection: Connection, instrument: str, *, since: float, limit: int) -> list[float]:
    """Return by how many seconds the times of the latest files lie after the moment when they were closed, by our clock."""
    query = (
        select(files.c.mtime_ns, files.c.closed_at)
        .join(sessions, sessions.c.id == files.c.session_id)
        .where(sessions.c.instrument == instrument, files.c.closed_at > since)
        .order_by(files.c.closed_at.desc())
        .limit(limit)
    )
    return [mtime_ns / 1e9 - closed_at for mtime_ns, closed_at in connection.execute(query)]


def counts(connection: Connection, session_id: int) -> dict[FileState, int]:
    """Return how many files of a session are in each state."""
    query = select(files.c.state, func.count()).where(files.c.session_id == session_id).group_by(files.c.state)
    return {FileState(state): count for state, count in connection.execute(query)}
