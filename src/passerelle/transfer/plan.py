"""What is to be done with each name of a tree, and in which batches: decided from values, without looking at a disk."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from passerelle.transfer.manifest import Row
from passerelle.transfer.tree import Entry, Kind

SMALL_BYTES = 256 << 10  # below that a copy is the work of the processor, done for hundreds of files at a time
LARGE_BYTES = 64 << 20  # from there on a file is copied alone, its blocks in several lanes
BATCH_BYTES = 128 << 20  # what a kill may cost: one batch a lane is copied again
_SMALL_FILES, _MIDDLING_FILES = 500, 100  # in a batch; each stays open until it has its final name
_FOLDERS = 100


class Step(Enum):
    """What is to be done with a name."""

    NOTHING = "nothing"  # it is there, verified, and its source has not changed since
    COPY = "copy"
    REPLACE = "replace"  # an earlier leg of ours brought what is there, and the source has changed since


class Task(NamedTuple):
    """A file to be copied. replace: its name may be taken, by us. expected: what an earlier leg has recorded of it."""

    path: str
    size: int
    replace: bool = False
    expected: Row | None = None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]


Batch = tuple[Task, ...]


def step(source: Entry, there: Entry | None, row: Row | None) -> Step:
    """Decide about a file or link. there: what has its name in the target. row: what the target's manifest knows of it."""
    if row is None or there is None:
        return Step.COPY
    if not describes(row, there):
        return Step.COPY  # not as we left it: whose it is, is found out when it is to get its name
    return Step.NOTHING if describes(row, source) else Step.REPLACE


def describes(row: Row, entry: Entry) -> bool:
    """Tell whether a row was written of what is there, by size and time of last change; of a link by what it says."""
    if entry.kind is Kind.LINK:
        return row.link_to == entry.link_to
    return entry.kind is Kind.FILE and not row.link_to and row.size == entry.size and row.mtime_ns == entry.mtime_ns


class Batcher:
    """Collects files into batches of their like: many small ones, fewer middling ones, each large one alone."""

    def __init__(self) -> None:
        self._small = _Pile(_SMALL_FILES)
        self._middling = _Pile(_MIDDLING_FILES)

    def add(self, task: Task) -> Batch | None:
        """Take a file; return a batch if one is full now. Files of a folder come one after the other."""
        size = task.size
        if size >= LARGE_BYTES:
            return (task,)
        return (self._small if size < SMALL_BYTES else self._middling).add(task)

    def rest(self) -> Iterator[Batch]:
        """Yield what has not filled a batch."""
        yield from (pile.taken() for pile in (self._small, self._middling) if pile.tasks)


class _Pile:
    def __init__(self, most_files: int) -> None:
        self.tasks: list[Task] = []
        self._most_files = most_files
        self._bytes = self._folders = 0

    def add(self, task: Task) -> Batch | None:
        self._folders += not self.tasks or task.folder != self.tasks[-1].folder
        self._bytes += task.size
        self.tasks.append(task)
        full = len(self.tasks) >= self._most_files or self._bytes >= BATCH_BYTES or self._folders >= _FOLDERS
        return self.taken() if full else None

    def taken(self) -> Batch:
        batch = tuple(self.tasks)
        self.tasks = []
        self._bytes = self._folders = 0
        return batch


def is_small(batch: Batch) -> bool:
    """Tell whether a batch is one of small files."""
    return batch[0].size < SMALL_BYTES


def is_large(batch: Batch) -> bool:
    """Tell whether a batch is one large file."""
    return batch[0].size >= LARGE_BYTES
