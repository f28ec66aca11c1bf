"""Plain small files, hundreds at a time: the five steps of `copy.py`, each a loop over the batch.

What a small file costs is processor time, most of it in the kernel; so here is no more of Python between two system calls than
the steps need. Plain is a file that lies still, has no holes and no extended attributes, whose name is free in the target, and
which comes back from the medium as it was written. Any other is handed back, and copied by `copy.py`, which does all this with
more care and has the words for what goes wrong.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import xxhash
from blake3 import blake3

from passerelle.core.errors import PasserelleError
from passerelle.transfer import kernel
from passerelle.transfer.attributes import extended_names
from passerelle.transfer.blocks import block_words
from passerelle.transfer.leg import AHEAD, CLOCK_TICK_NS, CREATE, READ, Folders, Leg, rename_new, settle
from passerelle.transfer.manifest import Row
from passerelle.transfer.medium import MediumFile, rounded_up
from passerelle.transfer.outcome import BATCH_NOT_SYNCED, CHANGED, NOT_SYNCED, Outcome, differed
from passerelle.transfer.plan import SMALL_BYTES, Task


class Left(NamedTuple):
    """A file that is still to be copied. note: what went wrong with it, for the person who reads the report; "" if nothing."""

    task: Task
    note: str = ""


def copy_plain(leg: Leg, tasks: Sequence[Task]) -> tuple[list[Outcome], list[Left]]:
    """Copy and verify those of small files that are plain; return what became of them, and the others.

    Raises:
        StorageError and kin: the new names could not be made to last. Cancelled: it was.
    """
    if leg.also:
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
        except BaseException:  # cancelled, or a folder that cannot be synced: what has no final name yet is taken away
            for draft in batch.drafts:
                _discard(draft)
            raise
        for draft in batch.drafts:
            os.close(draft.descriptor)
        return batch.outcomes(), batch.left


class _NotPlain(Exception):
    """A file is handed back. note: why, where something went wrong."""

    def __init__(self, note: str = "") -> None:
        super().__init__(note)
        self.note = note


class _Draft(NamedTuple):
    """A copy under its temporary name, and the digests of its bytes."""

    task: Task
    folder: int
    temporary: str
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

    def each(self, step: Callable[[_Draft], None]) -> None:
        """Take every draft through a step; those that it fails are handed back."""
        passed: list[_Draft] = []
        for draft in self.drafts:
            try:
                step(draft)
            except (OSError, _NotPlain) as reason:
                _discard(draft)
                self.left.append(Left(draft.task, reason.note if isinstance(reason, _NotPlain) else ""))
            else:
                passed.append(draft)
        self.drafts = passed

    def outcomes(self) -> list[Outcome]:
        """Say of the drafts, all of which have their names now, that they are verified."""
        now, leg = time.time(), self._leg.name
        return [
            Outcome(task.path, Row(task.path, size, mtime_ns, whole, "", now, leg), None, (), size)
            for task, _, _, _, size, mtime_ns, whole, _ in self.drafts
        ]

    # -- 1. write

    def write(self, tasks: Sequence[Task], sources: Folders, targets: Folders) -> None:
        """Write each plain file under a temporary name."""
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
                os.posix_fadvise(reading, 0, 0, os.POSIX_FADV_WILLNEED)
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
        if not _is_plain(reading, status) or (keep.extended and extended_names(reading)):
            raise _NotPlain
        size, mtime_ns = status.st_size, status.st_mtime_ns
        got = self._read(reading, size)
        if _version(os.stat(task.name, dir_fd=source, follow_symlinks=False)) != _version(status):
            raise _NotPlain(CHANGED)
        content = self._buffer[:size]
        whole = blake3(content).hexdigest()
        if got != size or (task.expected is not None and task.expected.digest != whole):
            raise _NotPlain
        temporary = self._leg.temporary()
        writing = os.open(temporary, CREATE, self._leg.creation_mode, dir_fd=target)
        draft = _Draft(task, target, temporary, writing, size, mtime_ns, whole, xxhash.xxh3_128_digest(content))
        try:
            if os.pwrite(writing, content, 0) != size:
                raise _NotPlain
            if keep.owner:
                os.fchown(writing, status.st_uid, status.st_gid)
            if keep.mode:
                os.fchmod(writing, stat.S_IMODE(status.st_mode))
            os.utime(writing, ns=(mtime_ns, mtime_ns))
            self._leg.tick(size)
        except BaseException:
            _discard(draft)
            raise
        return draft

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
        """Give a draft its final name."""
        try:
            rename_new(draft.folder, draft.temporary, draft.task.name)
        except FileExistsError:
            if not draft.task.replace:
                raise
            os.rename(draft.temporary, draft.task.name, src_dir_fd=draft.folder, dst_dir_fd=draft.folder)


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


def _discard(draft: _Draft) -> None:
    os.close(draft.descriptor)  # first, so that its room is free again
    with contextlib.suppress(OSError):
        os.unlink(draft.temporary, dir_fd=draft.folder)
