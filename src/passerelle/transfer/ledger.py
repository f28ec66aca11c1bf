"""The folder `.passerelle` of a dataset on the disk: who works on it, what was verified, which temporary files are ours."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
from collections.abc import Generator, Iterable
from typing import BinaryIO

from passerelle.core.errors import Busy, NotFound, storage_errors
from passerelle.transfer.beneath import Root
from passerelle.transfer.manifest import MANIFEST, Manifest, Row, journal_lines, read_journal, read_lines, write_lines
from passerelle.transfer.tree import OWN_FOLDER

_JOURNAL = "journal"
_RUNS = "runs"
_LOCK = "lock"
_RUN = re.compile(r"[0-9a-f]{8}")
_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})


def read_manifest(root: Root) -> Manifest:
    """Return what is known of a dataset; an empty manifest if nothing is.

    Raises:
        BadFile: the manifest was cut off or changed. StorageError: it cannot be read.
    """
    try:
        with root.folder(OWN_FOLDER) as folder:
            return _known(root, folder)[0]
    except NotFound:
        return Manifest()


def is_being_written(root: Root) -> bool:
    """Tell whether a copy works on a dataset, or one that was killed has left what is not in the manifest yet.

    Raises:
        StorageError and kin: it cannot be read.
    """
    try:
        with root.folder(OWN_FOLDER) as folder, storage_errors(root.named(OWN_FOLDER)):
            try:
                return os.stat(_JOURNAL, dir_fd=folder, follow_symlinks=False).st_size > 0
            except FileNotFoundError:
                return False
    except NotFound:
        return False


class Ledger:
    """A dataset that this run, and no other, writes to. run: the name of this run; earlier: of those that did not end well."""

    def __init__(self, root: Root) -> None:
        """Take the dataset.

        Raises:
            Busy: another run has it. BadFile: its manifest is damaged. StorageError and kin: as they say.
        """
        self._root = root
        root.make_folder(OWN_FOLDER, 0o755)
        self._folder = root.open_folder(OWN_FOLDER)
        self._held: list[int] = [self._folder]
        try:
            with storage_errors(root.named(OWN_FOLDER)):
                self._lock()
                self.run = secrets.token_hex(4)
                self.earlier = self._runs()
                for run in self.earlier:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(_temporary(run), dir_fd=self._folder)
            self.manifest, good = _known(root, self._folder)
            with storage_errors(root.named(f"{OWN_FOLDER}/{_JOURNAL}")):
                self._journal = self._open(_JOURNAL)
                os.ftruncate(self._journal, good)
                os.fsync(self._folder)
                os.fsync(root.descriptor)
            self._changed = good > 0
        except BaseException:
            self.close()
            raise

    def select(self, words: str) -> None:
        """Say in the manifest what was chosen of the dataset; empty where nothing was left out on purpose."""
        if words != self.manifest.selection:
            self.manifest.selection = words
            self._changed = True

    def record(self, rows: Iterable[Row]) -> None:
        """Write down what was verified; it is on the medium when this returns."""
        rows = list(rows)
        if not rows:
            return
        with storage_errors(self._root.named(f"{OWN_FOLDER}/{_JOURNAL}")):
            content = journal_lines(rows)
            end = os.lseek(self._journal, 0, os.SEEK_END)
            try:
                while content:
                    content = content[os.write(self._journal, content) :]
                os.fdatasync(self._journal)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._journal, end)  # half a batch would hide what is appended later
                raise
        self.manifest.rows.update((row.path, row) for row in rows)
        self._changed = True

    def finish(self) -> None:
        """Write the manifest anew from all that is known, by rename; the journal is then empty."""
        if self._changed:
            with storage_errors(self._root.named(f"{OWN_FOLDER}/{MANIFEST}")):
                self._replace(MANIFEST, write_lines(self.manifest))
            self._changed = False
        with storage_errors(self._root.named(OWN_FOLDER)):
            for name in (_JOURNAL, _RUNS):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=self._folder)
            os.fsync(self._folder)

    def close(self) -> None:
        """Give the dataset free for others."""
        while self._held:
            os.close(self._held.pop())

    def _open(self, name: str) -> int:
        descriptor = os.open(name, _OPEN | os.O_CREAT, 0o644, dir_fd=self._folder)
        self._held.append(descriptor)
        return descriptor

    def _lock(self) -> None:
        try:
            fcntl.flock(self._open(_LOCK), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(
                "is being written to by another copy.", advice="Wait until that has ended.", path=self._root.path
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise

    def _runs(self) -> tuple[str, ...]:
        """Return the names of earlier runs and add this one, before its first temporary file can exist."""
        descriptor = self._open(_RUNS)
        content = os.pread(descriptor, 1 << 20, 0)
        found = tuple(line for line in content.decode("ascii", "replace").split("\n") if _RUN.fullmatch(line))
        os.pwrite(descriptor, f"\n{self.run}\n".encode(), len(content))
        os.fsync(descriptor)
        return found

    def _replace(self, name: str, lines: Iterable[bytes]) -> None:
        temporary = _temporary(self.run)
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=self._folder
        )
        try:
            with os.fdopen(descriptor, "wb", buffering=1 << 20) as stream:
                stream.writelines(lines)
                stream.flush()
                os.fsync(stream.fileno())
            os.rename(temporary, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=self._folder)
            raise
        os.fsync(self._folder)


def _temporary(run: str) -> str:
    return f".p-{run}-{MANIFEST}"


def _known(root: Root, folder: int) -> tuple[Manifest, int]:
    """Return manifest and journal together, and how many bytes of the journal are good."""
    name = root.named(f"{OWN_FOLDER}/{MANIFEST}")
    with storage_errors(name), _reading(folder, MANIFEST) as stream:
        manifest = read_lines(stream, name) if stream else Manifest()
    with storage_errors(root.named(f"{OWN_FOLDER}/{_JOURNAL}")), _reading(folder, _JOURNAL) as stream:
        rows, good = read_journal(stream.read()) if stream else ([], 0)
    manifest.rows.update((row.path, row) for row in rows)
    return manifest, good


@contextlib.contextmanager
def _reading(folder: int, name: str) -> Generator[BinaryIO | None]:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        yield None
        return
    with os.fdopen(descriptor, "rb") as stream:
        yield stream
