"""Write a past session again, in the order and at the pace in which its files once came."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Event
from time import monotonic

from passerelle.core.errors import BadInput, NotFound, storage_errors

_PIECE_BYTES = 4 << 20
_LONGEST_PAUSE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class PastFile:
    """A file of a past session: its path below the session, when it was last written (UTC seconds), its size in bytes."""

    path: PurePosixPath
    written_at: float
    size: int


def past_files(source: Path) -> list[PastFile]:
    """Return the regular files below `source` in the order in which they were written; links are not followed.

    Raises:
        NotFound: there is no such folder, or it holds no files.
    """
    found: list[PastFile] = []
    with storage_errors(source):
        if not source.is_dir():
            raise NotFound("is not a folder.", path=source)
        for folder, _, names in os.walk(source):
            for name in names:
                path = Path(folder, name)
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    relative = PurePosixPath(path.relative_to(source))
                    found.append(PastFile(relative, status.st_mtime, status.st_size))
    if not found:
        raise NotFound("holds no files.", path=source)
    return sorted(found, key=lambda file: (file.written_at, str(file.path)))


def replay(
    source: Path,
    folder: Path,
    *,
    speed: float = 1.0,
    stop: Event | None = None,
    told: Callable[[PastFile], None] | None = None,
) -> int:
    """Copy a past session's files into `folder` with the pauses that lay between their times, divided by `speed`.

    A pause is never longer than an hour, divided by `speed`. speed = 0: without pauses. told: called after each file. Returns how
    many files were written; when `stop` is set the file that was begun is finished first.

    Raises:
        BadInput: `speed` is negative, or `folder` lies inside `source`.
        NotFound, StorageError: a file could not be read or written.
    """
    if not speed >= 0:
        raise BadInput(f"a speed of {speed:g} was asked for; expected 0 or more.")
    if folder.absolute().is_relative_to(source.absolute()):
        raise BadInput("a session cannot be replayed into itself.", advice="Choose a folder outside of it.", path=folder)
    stop = Event() if stop is None else stop
    due = monotonic()
    before: float | None = None
    count = 0
    for file in past_files(source):
        if before is not None and speed > 0:
            due += min(max(file.written_at - before, 0.0), _LONGEST_PAUSE_SECONDS) / speed
        before = file.written_at
        if stop.wait(max(due - monotonic(), 0.0)):
            break
        _copy(source / file.path, folder / file.path)
        count += 1
        if told is not None:
            told(file)
    return count


def _copy(source: Path, target: Path) -> None:
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as reader, target.open("wb") as writer:
            while piece := reader.read(_PIECE_BYTES):
                writer.write(piece)
                writer.flush()
