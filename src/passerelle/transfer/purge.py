"""Take a file away that is safe elsewhere: the last looks at it and at its copies, and the one place that deletes.

Nothing here decides what may go (gateway/buffer.py does) nor writes down what went (service/purge.py does, before). The order:

1. `Source`: the file is opened, read again from the medium and held against the manifest of its copy. It stays open, so that its
   inode cannot become another file's.
2. `copy_stands`: the copy is there, as its manifest has it. The manifest itself is what was recorded: `recorded_manifest`.
3. (the caller writes down what is about to be deleted; that is on the disk before the next step)
4. `Source.take_away`: the name still stands for that very inode, and nothing of it has changed since it was read. It is renamed
   to a name that nobody else knows, without replacing anything; what was renamed is looked at once more, and put back if it is
   another file: between a last look and unlink(2), somebody might have given the name to something else. Then it is deleted.

A run that is killed leaves at most a file under its other name: `put_back`.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from types import TracebackType

from passerelle.core.errors import BadFile, Busy, NotFound, StorageError, storage_errors
from passerelle.transfer import kernel
from passerelle.transfer.beneath import Root
from passerelle.transfer.ledger import is_being_written, read_manifest
from passerelle.transfer.manifest import MANIFEST, Manifest, Row
from passerelle.transfer.medium import Buffers
from passerelle.transfer.plan import describes
from passerelle.transfer.tree import OWN_FOLDER, Entry, Kind, entry_of, look
from passerelle.transfer.verify import read_back, verify_row

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CANNOT = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
_CHANGED = "It stays; copy its dataset again, then it may go."

Tick = Callable[[int], None]


def recorded_manifest(root: Root, digest: str) -> Manifest:
    """Return the manifest of a copy, which must be the very one that is on record.

    Raises:
        NotFound: it is gone. BadFile: it is damaged, or another one. Busy: a copy writes to that folder now.
        NotAllowed, StorageError: it cannot be read.
    """
    found = read_manifest(root)
    if not found.digest:
        raise NotFound("has no manifest any more.", advice="Copy the dataset again.", path=root.path)
    if is_being_written(root):
        raise Busy("is being written to by a copy.", advice="Wait until that has ended.", path=root.path)
    if found.digest != digest:
        raise BadFile(
            f"has another manifest than the one on record (expected {digest[:16]}…, found {found.digest[:16]}…).",
            advice="See who has changed it (passerelle verify), and copy the dataset again.",
            path=root.path,
        )
    return found


def manifest_version(root: Root) -> tuple[int, ...]:
    """Return what changes whenever the manifest of a copy is replaced or written to.

    Raises:
        NotFound: there is none. NotAllowed, StorageError: it cannot be looked at.
    """
    name = f"{OWN_FOLDER}/{MANIFEST}"
    with root.folder(OWN_FOLDER) as folder, storage_errors(root.named(name)):
        return look(folder, name).version


def copy_stands(root: Root, row: Row, *, read: bool, buffers: Buffers, tick: Tick) -> None:
    """Pass if a copied file is there with the size and time that its manifest has. read: compare its bytes on the medium as well.

    Raises:
        NotFound: it is gone. BadFile: it is another. NotAllowed, StorageError: it cannot be read.
    """
    above, _, _ = row.path.rpartition("/")
    with root.folder(above) as folder, storage_errors(root.named(row.path)):
        entry = look(folder, row.path)
    if not describes(row, entry):
        raise BadFile(
            "is not the file that was verified: another size, time or kind.",
            advice="See who has changed it (passerelle verify), and copy it again.",
            path=root.named(row.path),
        )
    if read:
        verify_row(root, row, buffers, tick)


class Source:
    """A file (or link) of the source that was read again and found equal to its manifest. It is open until `close`.

    path: beneath the root. row: what the manifest of its copy has of it, whatever its path there.
    """

    def __init__(self, root: Root, path: str, row: Row, buffers: Buffers, tick: Tick) -> None:
        """Open and read it.

        Raises:
            BadFile: it is not what was copied. NotFound: it is gone. NotAllowed, StorageError: it cannot be read.
        """
        self._root, self.path, self._row = root, path, row
        self._descriptor = -1
        above, _, name = path.rpartition("/")
        with root.folder(above) as folder, storage_errors(root.named(path)):
            self.entry = look(folder, path)
            self._must_describe(self.entry)
            if self.entry.kind is Kind.FILE:
                self._descriptor = os.open(name, _READ, dir_fd=folder)
        if self.entry.kind is Kind.LINK:
            return
        try:
            self._must_be_same(self._opened())
            read_back(self._descriptor, self.entry, row, root.named(path), buffers, tick)
            self._must_be_same(self._opened())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Source:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def take_away(self, aside: str, in_use: Callable[[int], bool]) -> None:
        """Delete it, if it still is what was read. aside: the name that it bears at last. in_use: told a descriptor, says whether
        somebody may still write to it.

        Raises:
            BadFile: it has changed, or its name stands for something else now; that is left alone. Busy: it is in use.
            NotFound: it is gone. NotAllowed, StorageError: it could not be deleted.
        """
        above, _, name = self.path.rpartition("/")
        with self._root.folder(above) as folder, storage_errors(self._root.named(self.path)):
            self._must_be_same(look(folder, self.path))
            if self._descriptor >= 0:
                self._must_be_same(self._opened())
                if in_use(self._descriptor):
                    raise Busy("is open for writing.", advice="It stays.", path=self._root.named(self.path))
            _rename(folder, name, aside)
            moved = look(folder, f"{above}/{aside}" if above else aside)
            if not self._is_that(moved) or (self._descriptor >= 0 and in_use(self._descriptor)):
                self._put_back(folder, aside, name)
                raise BadFile("became another file in the last moment.", advice=_CHANGED, path=self._root.named(self.path))
            os.unlink(aside, dir_fd=folder)

    def _put_back(self, folder: int, aside: str, name: str) -> None:
        try:
            _rename(folder, aside, name)
        except FileExistsError as error:
            raise StorageError(
                f"got a new file in the last moment; what it was before is there as {aside}.",
                advice="Look at both, and rename one.",
                path=self._root.named(self.path),
            ) from error

    def _opened(self) -> Entry:
        with storage_errors(self._root.named(self.path)):
            return entry_of(self.path, os.fstat(self._descriptor))

    def _must_describe(self, entry: Entry) -> None:
        if not describes(self._row, entry):
            raise BadFile("has changed since it was copied.", advice=_CHANGED, path=self._root.named(self.path))

    def _must_be_same(self, entry: Entry) -> None:
        if entry.version != self.entry.version or entry.link_to != self.entry.link_to or entry.kind is not self.entry.kind:
            raise BadFile("has changed since it was read.", advice=_CHANGED, path=self._root.named(self.path))

    def _is_that(self, moved: Entry) -> bool:
        """Compare all but the time of change of the inode, which renaming has set."""
        mine = self.entry
        same = (moved.device, moved.inode, moved.size, moved.mtime_ns) == (mine.device, mine.inode, mine.size, mine.mtime_ns)
        return same and moved.kind is mine.kind and moved.link_to == mine.link_to


def put_back(root: Root, path: str, aside: str) -> bool:
    """Undo what a run that was killed had begun; tell whether the file is there (again), under its own name.

    Raises:
        StorageError: its name is taken by another file now; both are there. NotAllowed: a folder on the way is a link now.
    """
    above, _, name = path.rpartition("/")
    try:
        with root.folder(above) as folder, storage_errors(root.named(path)):
            try:
                _rename(folder, aside, name)
            except FileNotFoundError:
                return _is_there(folder, name)
            except FileExistsError as error:
                raise StorageError(
                    f"is there, and so is {aside}, which was to be deleted.", advice="Look at both.", path=root.named(path)
                ) from error
            os.fsync(folder)
            return True
    except NotFound:  # the folder itself
        return False


def remove_empty_folder(root: Root, path: str) -> bool:
    """Delete a folder if nothing is in it; tell whether it is gone now.

    Raises:
        NotAllowed, StorageError: it could not be deleted.
    """
    above, _, name = path.rpartition("/")
    with root.folder(above) as folder, storage_errors(root.named(path)):
        try:
            os.rmdir(name, dir_fd=folder)
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EBUSY}:
                raise
            return False
        os.fsync(folder)
        return True


def is_empty(root: Root, path: str) -> bool:
    """Tell whether a folder is there and nothing is in it.

    Raises:
        NotAllowed, StorageError: it cannot be read.
    """
    try:
        with root.folder(path) as folder, storage_errors(root.named(path)), os.scandir(folder) as names:
            return next(names, None) is None
    except NotFound:
        return False


def settle(root: Root, folders: set[str]) -> None:
    """Bring onto the medium that names are gone from these folders; one that is gone itself is passed over."""
    for path in folders:
        with contextlib.suppress(NotFound), root.folder(path) as folder, storage_errors(root.named(path)):
            os.fsync(folder)


def _is_there(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _rename(folder: int, old: str, new: str) -> None:
    """Rename without replacing; where the file system cannot do that in one step, as nearly so as it can. Raises OSError."""
    try:
        kernel.rename_no_replace(folder, os.fsencode(old), os.fsencode(new))
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        if _is_there(folder, new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new) from error
        os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)
