"""A sink for tests: takes what the watch hands on, reads each file at that moment, and keeps an honest record."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from threading import Lock

from passerelle.acquisition.program import Role
from passerelle.core.states import FileState
from passerelle.gateway import (
    Arrival,
    Bad,
    Change,
    Expectations,
    FileChange,
    Gone,
    Growing,
    KnownFile,
    Returned,
    Touched,
    Unfinished,
)
from passerelle.testing.writers import ZooProgram, digest


@dataclass(frozen=True, slots=True)
class Taken:
    """One arrival: what was handed on, when, and the digest of the content that was found there.

    overtaken: the file had changed before it could be read; a later arrival must follow.
    """

    arrival: Arrival
    at: float
    digest: str
    overtaken: bool


@dataclass
class Taker:
    """Keeps all changes in memory, and, given a journal, the state of each file on disk before it acknowledges.

    The journal is the caller's record of a real service in small: `known_files` reads it after a kill -9.
    """

    roots: dict[str, Path]
    journal: Path | None = None
    reading: bool = True
    changes: list[Change] = field(default_factory=list)
    taken: dict[tuple[str, str], list[Taken]] = field(default_factory=dict)
    expectations: dict[str, Expectations] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def take(self, changes: Sequence[Change]) -> None:
        with self.lock:
            if self.journal is not None:
                self._record(changes)
            self.changes.extend(changes)
            for change in changes:
                if isinstance(change, Arrival):
                    self._arrived(change)

    def of(self, instrument: str, path: str) -> list[Taken]:
        """Return the arrivals of one file, in order."""
        with self.lock:
            return list(self.taken.get((instrument, path), ()))

    def count(self) -> int:
        """Return how many files were handed on."""
        with self.lock:
            return len(self.taken)

    def known_files(self, instrument: str) -> list[KnownFile]:
        """Return what the journal knows of an instrument's files."""
        latest: dict[str, KnownFile] = {}
        if self.journal is None or not self.journal.exists():
            return []
        for line in self.journal.read_bytes().split(b"\n")[:-1]:  # a line without its end was not acknowledged
            row = json.loads(line)
            if row["instrument"] != instrument:
                continue
            path = row["path"]
            before = latest.get(path)
            state = FileState(row["state"])
            if state is FileState.GONE:
                if before is not None:
                    latest[path] = KnownFile(
                        before.path, before.size, before.mtime_ns, before.inode, before.generation, state, before.handed_on
                    )
                continue
            latest[path] = KnownFile(
                PurePosixPath(path),
                row["size"],
                row["mtime_ns"],
                row["inode"],
                row["generation"],
                state,
                state is FileState.WHOLE,
            )
        return list(latest.values())

    def _record(self, changes: Sequence[Change]) -> None:
        lines: list[str] = []
        for change in changes:
            match change:
                case Arrival() | Touched() | Returned():
                    state = FileState.WHOLE
                case Growing():
                    state = FileState.GROWING
                case Unfinished():
                    state = FileState.UNFINISHED
                case Bad():
                    state = FileState.BAD
                case Gone():
                    state = FileState.GONE
                case _:
                    continue
            row: dict[str, object] = {"instrument": change.instrument, "path": str(change.path), "state": state.value}
            if isinstance(change, FileChange):
                row |= {"size": change.size, "mtime_ns": change.mtime_ns, "inode": change.inode, "generation": change.generation}
                row["arrival"] = isinstance(change, Arrival)
            lines.append(json.dumps(row) + "\n")
        assert self.journal is not None
        with self.journal.open("ab") as stream:
            stream.write("".join(lines).encode("ascii"))
            stream.flush()
            os.fsync(stream.fileno())

    def _arrived(self, change: Arrival) -> None:
        at = time.time()
        found, overtaken = "", False
        if self.reading:
            path = self.roots[change.instrument] / change.path
            try:
                content = path.read_bytes()
                status = path.stat()
            except FileNotFoundError:
                overtaken = True
            else:
                found = digest(content)
                overtaken = (status.st_size, status.st_mtime_ns) != (change.size, change.mtime_ns)
                if change.place.role is Role.MOVIE_METADATA and (lesson := self.expectations.get(change.instrument)) is not None:
                    frames = ZooProgram().read_sidecar(change.path, content).frames
                    lesson.sidecar_says(change.place, frames or 0)
        self.taken.setdefault((change.instrument, str(change.path)), []).append(Taken(change, at, found, overtaken))
