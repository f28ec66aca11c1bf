"""The verified copy: the one way in which a file gets its name anywhere in the product.

    1. write      a temporary name in the target folder; bytes and digest in one pass; attributes
    2. sync       fsync, or one syncfs for a batch where the file system means it
    3. compare    read back from the medium, past the page cache, each block against its digest
    4. publish    the final name, by a rename that replaces nothing which is not ours
    5. settle     fsync of the folder: now a power cut cannot take it away

Only what has passed all five is called verified and gets a row in the manifest. Whatever fails before the fourth leaves no trace
but a `.p-…` file, which the next run takes away. All is opened by descriptor, beneath its root; links are never followed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from passerelle.core.errors import BadFile, Busy, Conflict, NotFound, PasserelleError, StorageError, storage_errors
from passerelle.transfer import kernel
from passerelle.transfer.attributes import carry_over
from passerelle.transfer.blocks import CutShort, Digests, NamedFile, block_words, differing, pour
from passerelle.transfer.leg import AHEAD, CLOCK_TICK_NS, CREATE, READ, Folders, Leg, settle
from passerelle.transfer.manifest import Row
from passerelle.transfer.medium import BLOCK_BYTES, DIRECT_BYTES, MediumFile, rounded_up
from passerelle.transfer.outcome import BATCH_NOT_SYNCED, CHANGED, NOT_SYNCED, Outcome, differed, problem_of
from passerelle.transfer.plan import SMALL_BYTES, Batch, Task, describes, is_small
from passerelle.transfer.small import Left, copy_plain
from passerelle.transfer.tree import Entry, Kind, entry_of, look

_TRIES = 3  # in all; each that failed has left a note


def copy_batch(leg: Leg, batch: Batch) -> list[Outcome]:
    """Copy files and verify them; return what became of each. Their folders must be there.

    A file that changed meanwhile, or came back from the medium other than it was written, is copied again, and that is said.
    """
    outcomes, left = copy_plain(leg, batch) if is_small(batch) else ([], [Left(task) for task in batch])
    waiting: list[_Waiting] = [(task, (note,) if note else ()) for task, note in left]
    while waiting:
        again: list[_Waiting] = []
        # what has failed goes alone, so that a lost write is found by the fsync of the file that lost it
        together = [each for each in waiting if not each[1]]
        for group in [*([together] if together else []), *([each] for each in waiting if each[1])]:
            for (task, notes), done in zip(group, _copy_once(leg, [task for task, _ in group]), strict=True):
                if isinstance(done, _TryAgain) and len(notes) + 1 < _TRIES:
                    again.append((task, (*notes, f"Then again: {done.note}" if notes else done.note)))
                elif isinstance(done, PasserelleError):
                    outcomes.append(Outcome(task.path, None, problem_of(task.path, done), notes))
                else:
                    outcomes.append(Outcome(task.path, done[0], None, notes + done[1], done[0].size))
        waiting = again
    return outcomes


_Waiting = tuple[Task, tuple[str, ...]]  # and what was said of it already


class _TryAgain(StorageError):
    """The copy is not good, but the next may be. note: what happened, for the person who reads the report."""

    def __init__(self, error: PasserelleError, note: str) -> None:
        super().__init__(error.message, advice=error.advice, path=error.path)
        self.note = note
        self.error = error


@dataclass(slots=True, eq=False)
class _Draft:
    """A copy under its temporary name."""

    task: Task
    entry: Entry  # the source as it was when it was read
    folder: int
    temporary: str
    file: MediumFile
    digests: Digests
    notes: tuple[str, ...]


_Done = tuple[Row, tuple[str, ...]] | PasserelleError


def _copy_once(leg: Leg, tasks: Sequence[Task]) -> list[_Done]:
    """Take a few files through the five steps together. What fails drops out, with its error; the others go on."""
    done: dict[int, _Done] = {}
    drafts: dict[int, _Draft] = {}
    with Folders(leg.source) as sources, Folders(leg.target) as targets, contextlib.ExitStack() as open_files:

        def each(step: Callable[[Leg, _Draft], None]) -> None:
            for number, draft in list(drafts.items()):
                try:
                    step(leg, draft)
                except PasserelleError as error:
                    done[number] = error
                    _discard(drafts.pop(number))

        try:
            with contextlib.closing(_sources(leg, tasks, sources)) as opened:
                for number, (task, source) in enumerate(zip(tasks, opened, strict=True)):
                    try:
                        drafts[number] = _write(leg, task, source, targets.of(task.folder), open_files)
                    except PasserelleError as error:
                        done[number] = error
            if len(drafts) > 1 and kernel.can_sync_whole(leg.target.descriptor):
                _sync_together(leg, drafts, done)
            else:
                each(_sync)
            each(_read_ahead)
            each(_compare)
            each(_publish)
            settle(leg, (draft.folder for draft in drafts.values()))
        except BaseException:  # cancelled, or a folder that cannot be synced: what has no final name yet is taken away
            for draft in drafts.values():
                _discard(draft)
            raise
        now = time.time()
        for number, draft in drafts.items():
            done[number] = (_row(draft, now, leg.name), draft.notes)
    return [done[number] for number in range(len(tasks))]


# -- 1. write


class _Source(NamedTuple):
    """A source that was opened, or the error of opening it; and the folder that it lies in."""

    reading: int
    folder: int
    error: PasserelleError | None = None


def _sources(leg: Leg, tasks: Sequence[Task], folders: Folders) -> Generator[_Source]:
    """Open the sources in their order, some of them ahead, so that the kernel reads the next ones while we copy this one."""
    ahead: deque[_Source] = deque()
    try:
        for task in tasks:
            ahead.append(_open(leg, task, folders))
            if len(ahead) > AHEAD:
                yield ahead.popleft()
        while ahead:
            yield ahead.popleft()
    finally:
        for source in ahead:
            if source.error is None:
                os.close(source.reading)


def _open(leg: Leg, task: Task, folders: Folders) -> _Source:
    try:
        folder = folders.of(task.folder)
        with storage_errors(leg.source.named(task.path)):
            reading = os.open(task.name, READ, dir_fd=folder)
            if task.size < DIRECT_BYTES:
                MediumFile(reading).read_ahead()
    except PasserelleError as error:
        return _Source(-1, -1, error)
    return _Source(reading, folder)


def _write(leg: Leg, task: Task, source: _Source, target: int, open_files: contextlib.ExitStack) -> _Draft:
    if source.error is not None:
        raise source.error
    path, reading = task.path, source.reading
    try:
        entry = _at_rest(leg, path, reading)
        temporary = leg.temporary()
        with storage_errors(leg.target.named(path)):
            writing = os.open(temporary, CREATE, leg.creation_mode, dir_fd=target)
        open_files.callback(os.close, writing)
        file = MediumFile(writing)
        try:
            digests = _pour(leg, entry, reading, file)
            _unchanged(leg, entry, source.folder)
            _as_expected(leg, task, entry, digests)
            with storage_errors(leg.target.named(path)):
                lost = carry_over(reading, writing, entry, leg.keep)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=target)
            raise
    finally:
        os.close(reading)
    notes = (f"The target did not take: {', '.join(lost)}.",) if lost else ()
    return _Draft(task, entry, target, temporary, file, digests, notes)


def _at_rest(leg: Leg, path: str, reading: int) -> Entry:
    """Look at a source so that each later write will show: two within one tick of the kernel's clock leave the same time."""
    with storage_errors(leg.source.named(path)):
        for _ in range(_TRIES):
            entry = entry_of(path, os.fstat(reading))
            if entry.kind is not Kind.FILE:
                raise NotFound("is no file any more.", path=leg.source.named(path))
            if abs(time.time_ns() - entry.ctime_ns) >= CLOCK_TICK_NS:
                return entry
            time.sleep(CLOCK_TICK_NS / 1e9)
    raise _changed(leg, path)


def _pour(leg: Leg, entry: Entry, reading: int, file: MediumFile) -> Digests:
    size = entry.size
    holes = entry.allocated < size
    source = NamedFile(MediumFile(reading), leg.source.named(entry.path), holes)
    target = NamedFile(file, leg.target.named(entry.path), holes)
    if size >= DIRECT_BYTES:
        with storage_errors(source.name):
            if not source.file.is_cached(size):
                source.file.go_direct()
        with storage_errors(target.name):
            if size > BLOCK_BYTES and not holes:
                kernel.reserve(file.descriptor, size)
            file.go_direct()
    try:
        digests = pour(source, target, size, leg.buffers, leg.tick, leg.lanes, leg.also)
    except CutShort as error:
        raise _changed(leg, entry.path) from error
    if holes or (size >= DIRECT_BYTES and rounded_up(size) != size):  # the rest of the last sector was written, too
        with storage_errors(target.name):
            os.ftruncate(file.descriptor, size)
    return digests


def _unchanged(leg: Leg, entry: Entry, folder: int) -> None:
    """Refuse what was read if its source was written to, or replaced, since it was opened."""
    with storage_errors(leg.source.named(entry.path)):
        now = look(folder, entry.path)
    if now.version != entry.version:
        raise _changed(leg, entry.path)


def _changed(leg: Leg, path: str) -> _TryAgain:
    advice = "Copy it again when its writer has finished."
    error = Busy("was written to while it was copied.", advice=advice, path=leg.source.named(path))
    return _TryAgain(error, CHANGED)


def _as_expected(leg: Leg, task: Task, entry: Entry, digests: Digests) -> None:
    """Hold the bytes against what an earlier leg has recorded of the same file, unchanged since by size and time."""
    row = task.expected
    if row is None or not describes(row, entry) or row.digest == digests.whole:
        return
    wrong = [number for number, each in enumerate(digests.blocks) if row.blocks and row.block(number) != each.hex()] or [0]
    where = ", ".join(block_words(number, entry.size) for number in wrong[:5])
    raise BadFile(
        f"is not what `{row.leg}` has verified: {where} differs (expected {row.digest[:16]}…, found {digests.whole[:16]}…).",
        advice="The source was damaged. Take this file from another copy.",
        path=leg.source.named(entry.path),
    )


# -- 2. sync


def _sync(leg: Leg, draft: _Draft) -> None:
    """Bring a draft onto the medium."""
    try:
        with storage_errors(leg.target.named(draft.task.path)):
            os.fsync(draft.file.descriptor)
    except StorageError as error:
        # never fsync again: the kernel has dropped the pages, and would say that all is well
        raise _TryAgain(error, NOT_SYNCED) from error


def _sync_together(leg: Leg, drafts: dict[int, _Draft], done: dict[int, _Done]) -> None:
    """Bring all drafts onto the medium by one call; if it fails, nobody knows whose bytes were lost."""
    try:
        with storage_errors(leg.target.path):
            kernel.syncfs(leg.target.descriptor)
    except StorageError as error:
        for number in list(drafts):
            done[number] = _TryAgain(error, BATCH_NOT_SYNCED)
            _discard(drafts.pop(number))


# -- 3. compare


def _read_ahead(leg: Leg, draft: _Draft) -> None:
    """See to it that a draft is read from the medium: past the page cache or, if it is small, when it was dropped there."""
    size = draft.entry.size
    with storage_errors(leg.target.named(draft.task.path)):
        draft.file.pass_cache(size, small=size < SMALL_BYTES)


def _compare(leg: Leg, draft: _Draft) -> None:
    """Read the draft back from the medium; raise if a block is not what was written."""
    path, size, file = draft.task.path, draft.entry.size, draft.file
    with storage_errors(leg.target.named(path)):
        found = os.fstat(file.descriptor).st_size
    if found != size:
        raise StorageError(f"has {found} bytes after it was written, not {size}.", path=leg.target.named(path))
    named = NamedFile(file, leg.target.named(path), draft.entry.allocated < size)
    wrong = differing(named, size, draft.digests.blocks, leg.buffers, _no_tick, leg.lanes)
    if wrong:
        where = ", ".join(block_words(number, size) for number in wrong)
        error = StorageError(
            f"{where} came back from the medium other than it was written.",
            advice="Do not trust this disk: look at its health, its cable and controller, and the memory.",
            path=leg.target.named(path),
        )
        raise _TryAgain(error, differed(where))


def _no_tick(_size: int) -> None: ...


# -- 4. publish


def _publish(leg: Leg, draft: _Draft) -> None:
    """Give the draft its final name."""
    name = draft.task.name
    with storage_errors(leg.target.named(draft.task.path)):
        try:
            _rename(draft.folder, draft.temporary, name)
        except FileExistsError:
            if not (draft.task.replace or _same_content(leg, draft)):
                raise Conflict(
                    "is there already, and is another file.",
                    advice="Move it away, or copy to another folder; it was left as it is.",
                    path=leg.target.named(draft.task.path),
                ) from None
            os.rename(draft.temporary, name, src_dir_fd=draft.folder, dst_dir_fd=draft.folder)


def _rename(folder: int, old: str, new: str) -> None:
    try:
        kernel.rename_no_replace(folder, os.fsencode(old), os.fsencode(new))
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
            raise
        os.link(old, new, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)  # refuses a name that is taken as well
        os.unlink(old, dir_fd=folder)


def _same_content(leg: Leg, draft: _Draft) -> bool:
    """Tell whether the file that has our name has our content: an earlier run was killed before it wrote it down."""
    try:
        reading = os.open(draft.task.name, READ, dir_fd=draft.folder)
    except OSError:
        return False
    try:
        there = entry_of(draft.task.path, os.fstat(reading))
        if there.kind is not Kind.FILE or there.size != draft.entry.size:
            return False
        named = NamedFile(MediumFile(reading), leg.target.named(there.path), there.allocated < there.size)
        return not differing(named, there.size, draft.digests.blocks, leg.buffers, _no_tick)
    finally:
        os.close(reading)


def _discard(draft: _Draft) -> None:
    with contextlib.suppress(OSError):
        os.unlink(draft.temporary, dir_fd=draft.folder)


def _row(draft: _Draft, now: float, leg: str) -> Row:
    entry, digests = draft.entry, draft.digests
    return Row(entry.path, entry.size, entry.mtime_ns, digests.whole, digests.text, now, leg, "", digests.also)
