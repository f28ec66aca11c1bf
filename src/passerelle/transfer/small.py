"""Plain small files, hundreds at a time: the five steps of `copy.py`, each a loop over the batch.

What a small file costs is processor time, most of it in the kernel; so here is no more of Python between two system calls than
the steps need, and no temporary name: a file is written without any (O_TMPFILE), and linked to its final name when it has come
back from the medium. Whoever is killed meanwhile leaves nothing at all.

Plain is a file that lies still, has no holes and no extended attributes, whose name is free in the target, and which comes back
as it was written. Any other is handed back, and copied by `copy.py`, which does all this with more care and has the words for
what goes wrong; so are all where the file system has no files without a name (FUSE, NFS, SMB).
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import NamedTuple

import xxhash
from blake3 import blake3

from passerelle.core.errors import PasserelleError
from passerelle.transfer import kernel
from passerelle.transfer.attributes import extended_names
from passerelle.transfer.blocks import block_words
from passerelle.transfer.leg import AHEAD, CLOCK_TICK_NS, READ, Folders, Leg, settle
from passerelle.transfer.manifest import Row
from passerelle.transfer.medium import MediumFile, rounded_up
from passerelle.transfer.outcome import BATCH_NOT_SYNCED, CHANGED, NOT_SYNCED, Outcome, differed
from passerelle.transfer.plan import SMALL_BYTES, Task

_NAMELESS = os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC
_AS_LINK = "/proc/self/fd/{}"  # by which an open file can be given a name


class Left(NamedTuple):
    """A file that is still to be copied. note: what went wrong with it, for the person who reads the report; "" if nothing."""

    task: Task
    note: str = ""


def copy_plain(leg: Leg, tasks: Sequence[Task]) -> tuple[list[Outcome], list[Left]]:
    """Copy and verify those of small files that are plain; return what became of them, and the others.

    Raises:
        StorageError and kin: the new names could not be made to last. Cancelled: it was.
    """
    if leg.also or not _has_nameless_files(leg):
        return [], [Left(task) for task in tasks]
    with Folders(leg.source) as sources, Folders(leg.target) as targets, leg.buffers.one() as buffer:
        batch = _PlainBatch(leg, buffer)
        try:
            batch.write(tasks, sources, targets)
            batch.sync()
            batch.each(batch.read_ahead)
            batch.each(batch.compare)
            batch.each(batch.publish)
            settle(leg, (draft.folder for draft in batch.drafts))
            return batch.outcomes(), batch.left
        finally:
            batch.close()


class _NotPlain(Exception):
    """A file is handed back. note: why, where something went wrong."""

    def __init__(self, note: str = "") -> None:
        super().__init__(note)
        self.note = note


class _Draft(NamedTuple):
    """A copy that has no name yet, and the digests of its bytes."""

    task: Task
    folder: int
    descriptor: int
    size: int
    mtime_ns: int
    whole: str
    block: bytes


class _PlainBatch:
    """A batch under way. drafts: what has passed every step until now. left: what is handed back."""

    def __init__(self, leg: Leg, buffer: memoryview) -> None:
        self.drafts: list[_Draft] = []
        self.left: list[Left] = []
        self._leg = leg
        self._buffer = buffer
        self._open: set[int] = set()

    def close(self) -> None:
        """Close what is open; of what has no name yet nothing is left."""
        while self._open:
            os.close(self._open.pop())

    def each(self, step: Callable[[_Draft], None]) -> None:
        """Take every draft through a step; those that it fails are handed back."""
        passed: list[_Draft] = []
        for draft in self.drafts:
            try:
                step(draft)
            except (OSError, _NotPlain) as reason:
                self._discard(draft.descriptor)
                self.left.append(Left(draft.task, reason.note if isinstance(reason, _NotPlain) else ""))
            else:
                passed.append(draft)
        self.drafts = passed

    def outcomes(self) -> list[Outcome]:
        """Say of the drafts, all of which have their names now, that they are verified."""
        now, leg = time.time(), self._leg.name
        return [
            Outcome(task.path, Row(task.path, size, mtime_ns, whole, "", now, leg), None, (), size)
            for task, _, _, size, mtime_ns, whole, _ in self.drafts
        ]

    # -- 1. write

    def write(self, tasks: Sequence[Task], sources: Folders, targets: Folders) -> None:
        """Write each plain file, without a name."""
        with contextlib.closing(self._opened(tasks, sources)) as opened:
            for task, reading, source in opened:
                try:
                    self.drafts.append(self._write(task, reading, source, targets.of(task.folder)))
                except (OSError, PasserelleError):
                    self.left.append(Left(task))
                except _NotPlain as reason:
                    self.left.append(Left(task, reason.note))
                finally:
                    os.close(reading)

    def _opened(self, tasks: Sequence[Task], folders: Folders) -> Generator[tuple[Task, int, int]]:
        """Open the files, some of them ahead of their turn; yield each with its descriptor and that of its folder."""
        ahead: deque[tuple[Task, int, int]] = deque()
        try:
            for task in tasks:
                try:
                    folder = folders.of(task.folder)
                    reading = os.open(task.name, READ, dir_fd=folder)
                except (OSError, PasserelleError):
                    self.left.append(Left(task))
                    continue
                ahead.append((task, reading, folder))
                MediumFile(reading).read_ahead()
                if len(ahead) > AHEAD:
                    yield ahead.popleft()
            while ahead:
                yield ahead.popleft()
        finally:
            for _, reading, _ in ahead:
                os.close(reading)

    def _write(self, task: Task, reading: int, source: int, target: int) -> _Draft:
        keep = self._leg.keep
        status = os.fstat(reading)
        if task.replace or not _is_plain(reading, status) or (keep.extended and extended_names(reading)):
            raise _NotPlain
        size, mtime_ns = status.st_size, status.st_mtime_ns
        got = self._read(reading, size)
        if _version(os.stat(task.name, dir_fd=source, follow_symlinks=False)) != _version(status):
            raise _NotPlain(CHANGED)
        content = self._buffer[:size]
        whole, block = blake3(content).hexdigest(), xxhash.xxh3_128_digest(content)
        if got != size or (task.expected is not None and task.expected.digest != whole):
            raise _NotPlain
        writing = os.open(".", _NAMELESS, self._leg.creation_mode, dir_fd=target)
        self._open.add(writing)
        try:
            if os.pwrite(writing, content, 0) != size:
                raise _NotPlain
            if keep.owner:
                os.fchown(writing, status.st_uid, status.st_gid)
            if keep.mode:
                os.fchmod(writing, stat.S_IMODE(status.st_mode))
            os.utime(writing, ns=(mtime_ns, mtime_ns))
            self._leg.tick(size)
        except (OSError, _NotPlain):
            self._discard(writing)
            raise
        return _Draft(task, target, writing, size, mtime_ns, whole, block)

    def _discard(self, descriptor: int) -> None:
        """Give the room of a file without a name free."""
        self._open.remove(descriptor)
        os.close(descriptor)

    def _read(self, descriptor: int, size: int) -> int:
        """Read a file into the buffer; return how many bytes there are: of one that has grown, more than `size`."""
        return os.preadv(descriptor, [self._buffer[: rounded_up(size + 1)]], 0)

    # -- 2. sync

    def sync(self) -> None:
        """Bring all drafts onto the medium, by one call where the file system means it."""
        leg = self._leg
        if len(self.drafts) < 2 or not kernel.can_sync_whole(leg.target.descriptor):
            self.each(_sync)
            return
        try:
            kernel.syncfs(leg.target.descriptor)
        except OSError:  # nobody knows whose bytes were lost
            self.each(_lost)

    # -- 3. compare

    def read_ahead(self, draft: _Draft) -> None:
        """See to it that a draft is read from the medium, and let the kernel begin."""
        MediumFile(draft.descriptor).pass_cache(draft.size, small=True)

    def compare(self, draft: _Draft) -> None:
        """Hold a draft against what was written."""
        size = draft.size
        if self._read(draft.descriptor, size) != size or xxhash.xxh3_128_digest(self._buffer[:size]) != draft.block:
            raise _NotPlain(differed(block_words(0, size)))

    # -- 4. publish

    def publish(self, draft: _Draft) -> None:
        """Give a draft its final name, unless that is taken."""
        os.link(_AS_LINK.format(draft.descriptor), draft.task.name, dst_dir_fd=draft.folder, follow_symlinks=True)


def _has_nameless_files(leg: Leg) -> bool:
    try:
        descriptor = os.open(".", _NAMELESS, 0o600, dir_fd=leg.target.descriptor)
    except OSError:
        return False
    try:
        return Path(_AS_LINK.format(descriptor)).is_symlink()  # there may be no /proc
    finally:
        os.close(descriptor)


def _is_plain(reading: int, status: os.stat_result) -> bool:
    size = status.st_size
    return (
        stat.S_ISREG(status.st_mode)
        and size < SMALL_BYTES
        and abs(time.time_ns() - status.st_ctime_ns) >= CLOCK_TICK_NS
        and (status.st_blocks * 512 >= size or os.lseek(reading, 0, os.SEEK_HOLE) == size)
    )


def _version(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _sync(draft: _Draft) -> None:
    try:
        os.fsync(draft.descriptor)
    except OSError as error:
        raise _NotPlain(NOT_SYNCED) from error


def _lost(_draft: _Draft) -> None:
    raise _NotPlain(BATCH_NOT_SYNCED)
