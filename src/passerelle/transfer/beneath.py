"""Open what lies beneath a folder, by descriptor: no link, no `..` and no rename while we look can lead out of it.

A name that was checked may be another thing when it is opened: between realpath and open, a folder can be swapped for a link.
The kernel is therefore asked to do both in one step (openat2 with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS). On kernels older than
5.6 we walk component by component, each opened from the last with O_NOFOLLOW, which no swap can mislead either. Both take paths
of any length.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from types import TracebackType

from passerelle.core.errors import BadInput, NotAllowed, NotFound, storage_errors
from passerelle.transfer import kernel

_LONGEST = 4000  # bytes of a path that go into one call; the kernel takes 4095
_RESOLVE = kernel.RESOLVE_BENEATH | kernel.RESOLVE_NO_SYMLINKS | kernel.RESOLVE_NO_MAGICLINKS
_TRIES = 64  # the kernel gives up with EAGAIN when folders are renamed while it looks
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LED_OUT = frozenset({errno.EXDEV, errno.ELOOP})


def checked(path: str) -> str:
    """Return a path that may be looked for beneath a root: relative, of plain components; "" is the root itself.

    Raises:
        BadInput: it is absolute, empty in the middle, or has `.` or `..` in it.
    """
    if path and ("\0" in path or any(part in {"", ".", ".."} for part in path.split("/"))):
        raise BadInput("is no path beneath a folder.", advice="Give a relative path without `.` and `..`.", path=path)
    return path


class Root:
    """A folder beneath which things are opened. `path` is for messages; what counts is the descriptor."""

    def __init__(self, path: Path, *, same_as: tuple[int, int] | None = None) -> None:
        """Open the folder; links on the way to it are followed, those beneath never. same_as: its device and inode, where known.

        Raises:
            NotFound, NotAllowed, StorageError: it cannot be opened, or is another folder than it was.
        """
        self.path = path
        self._name = str(path)
        with storage_errors(path):
            try:
                self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except NotADirectoryError as error:
                raise NotFound("is no folder.", path=path) from error
            status = os.fstat(self.descriptor)
        self.identity = (status.st_dev, status.st_ino)
        self._openat2 = True
        if same_as not in (None, self.identity):
            self.close()
            raise NotFound("is another folder than it was.", advice="Was it moved, or its disk unmounted?", path=path)

    def beneath(self, path: str, *, make: bool = False) -> Root:
        """Open a folder beneath as a root of its own. make: make what is missing of it, each folder on the medium at once.

        Raises:
            As `open_folder`.
        """
        if make:
            parts = checked(path).split("/") if path else []
            for count, _ in enumerate(parts):
                above, name = "/".join(parts[:count]), "/".join(parts[: count + 1])
                if self.make_folder(name):
                    with self.folder(above) as descriptor, storage_errors(self.named(above)):
                        os.fsync(descriptor)
        return _Held(Path(self.named(path)), self.open_folder(path))

    def __enter__(self) -> Root:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the folder; what was opened beneath stays open."""
        os.close(self.descriptor)

    @contextlib.contextmanager
    def folder(self, path: str) -> Generator[int]:
        """Open a folder beneath for the length of a block; raises as `open_folder`."""
        descriptor = self.open_folder(path)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def open_folder(self, path: str) -> int:
        """Return a descriptor of a folder beneath, to be closed by the caller.

        Raises:
            NotAllowed: a component is a link.
            NotFound, StorageError: it is not there, or is no folder.
        """
        with storage_errors(self.named(path)), self._inside(path):
            held = os.open(".", _FOLDER, dir_fd=self.descriptor)
            for piece in _pieces(os.fsencode(checked(path))):
                try:
                    deeper = self._open(held, piece)
                finally:
                    os.close(held)
                held = deeper
            return held

    def make_folder(self, path: str, mode: int = 0o777) -> bool:
        """Make a folder beneath, in one that is there; tell whether it is new. A name that is taken is left as it is."""
        above, _, name = path.rpartition("/")
        with self.folder(above) as descriptor, storage_errors(self.named(path)):
            try:
                os.mkdir(name, mode, dir_fd=descriptor)
            except FileExistsError:
                return False
            return True

    def named(self, path: str) -> str:
        """Return the path as a person would write it, for a message."""
        return f"{self._name}/{path}" if path else self._name

    def _open(self, folder: int, piece: bytes) -> int:
        if self._openat2:
            for _ in range(_TRIES):
                try:
                    return kernel.openat2(folder, piece, _FOLDER, _RESOLVE)
                except BlockingIOError:
                    continue
                except OSError as error:
                    if error.errno not in {errno.ENOSYS, errno.EPERM}:  # EPERM: refused by a container's filter
                        raise
                    break
            self._openat2 = False
        return walk(folder, piece)

    @contextlib.contextmanager
    def _inside(self, path: str) -> Generator[None]:
        """Say a way out for what it is."""
        try:
            yield
        except NotADirectoryError as error:
            raise NotFound("is no folder (any more).", path=self.named(path)) from error
        except OSError as error:
            if error.errno not in _LED_OUT:
                raise
            raise NotAllowed(
                "leads over a link, which is never followed.", advice="Was a folder replaced by a link?", path=self.named(path)
            ) from error


class _Held(Root):
    """A root whose folder was opened already."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._name = str(path)
        self.descriptor = descriptor
        status = os.fstat(descriptor)
        self.identity = (status.st_dev, status.st_ino)
        self._openat2 = True


def walk(folder: int, path: bytes) -> int:
    """Open a folder beneath an open one component by component, none of which may be a link; return its descriptor."""
    held = os.dup(folder)
    for part in path.split(b"/"):
        try:
            deeper = os.open(part, _FOLDER, dir_fd=held)
        finally:
            os.close(held)
        held = deeper
    return held


def _pieces(path: bytes) -> Iterator[bytes]:
    """Cut a path at slashes into pieces that the kernel takes; none for the empty path."""
    while len(path) > _LONGEST:
        cut = path.rfind(b"/", 0, _LONGEST)
        if cut <= 0:
            break  # one name longer than any file system has: the kernel says so
        yield path[:cut]
        path = path[cut + 1 :]
    if path:
        yield path
