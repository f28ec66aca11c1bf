"""A regular file, opened once and read by place: every access is checked against the size of the file first.

Reads are `pread` into buffers that we own. A memory map would be no faster (one copy out of the page cache either way), and a
file that is cut short while mapped kills the process with SIGBUS.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import IncompleteFile, UnsupportedFile, storage_errors

# Read once, a file that would fill much of the memory would push out of the page cache what is needed again
_LARGE_BYTES = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4


class Source:
    """A file open for reading. `size` is its length in bytes when it was opened."""

    def __init__(self, path: Path) -> None:
        """Open `path`.

        Raises:
            NotFound, NotAllowed, StorageError: as `core.errors.storage_errors` says.
            UnsupportedFile: a folder, pipe, socket or device.
        """
        self.path = path
        self._descriptor = -1
        with storage_errors(path):
            # O_NONBLOCK: opening a pipe that nobody writes to must not hang
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                status = os.fstat(self._descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise UnsupportedFile("is not a regular file, but a folder, pipe or device.", path=path)
            except BaseException:
                os.close(self._descriptor)
                raise
        self.size = status.st_size
        self._passing = self.size > _LARGE_BYTES

    @classmethod
    def of_descriptor(cls, descriptor: int, path: Path) -> Source:
        """Read an open file (a duplicate of `descriptor`), which errors call `path`; to look again at what was just written."""
        self = cls.__new__(cls)
        self.path = path
        with storage_errors(path):
            self._descriptor = os.dup(descriptor)
            self.size = os.fstat(self._descriptor).st_size
        self._passing = False
        return self

    def read(self, offset: int, count: int) -> bytes:
        """Return exactly `count` bytes from `offset`.

        Raises:
            IncompleteFile: the file ends before.
        """
        self.require(offset, count)
        with storage_errors(self.path):
            content = os.pread(self._descriptor, count, offset)
            while len(content) < count:
                more = os.pread(self._descriptor, count - len(content), offset + len(content))
                if not more:
                    raise self.ended(offset + count)
                content += more
        self._forget(offset, count)
        return content

    def read_into(self, offset: int, target: NDArray[Any]) -> None:
        """Fill the C-contiguous array `target` with the bytes from `offset`.

        Raises:
            IncompleteFile: the file ends before.
        """
        self.require(offset, target.nbytes)
        view = target.reshape(-1).view(np.uint8).data
        done = 0
        with storage_errors(self.path):
            while done < len(view):
                count = os.preadv(self._descriptor, [view[done:]], offset + done)
                if count == 0:
                    raise self.ended(offset + len(view))
                done += count
        self._forget(offset, len(view))

    def _forget(self, offset: int, count: int) -> None:
        """Let the page cache drop what was read of a large file: pictures and tables of other work stay in it."""
        if self._passing:
            with contextlib.suppress(OSError):  # advice only; some network file systems take none
                os.posix_fadvise(self._descriptor, offset, count, os.POSIX_FADV_DONTNEED)

    def uncache(self) -> None:
        """Let the page cache drop the whole file, so that it is read from the disk where the system lets us."""
        with contextlib.suppress(OSError):
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def require(self, offset: int, count: int) -> None:
        """Raise IncompleteFile unless bytes [offset, offset + count) lie inside the file."""
        if offset < 0 or count < 0 or offset + count > self.size:
            raise self.ended(offset + count)

    def ended(self, needed: int) -> IncompleteFile:
        """Return the error that says how much is there and how much its header promises."""
        return IncompleteFile(
            f"holds {self.size:,} bytes, but its header promises at least {needed:,}.",
            advice="It may still be written; if not, it was cut short: copy it again.",
            path=self.path,
        )

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
