"""Bytes between memory and the medium itself: O_DIRECT where the file system has it, so that no page cache stands between.

Two reasons. A copy is called verified only if its bytes came back from the medium; a read that the page cache answers proves
nothing about it. And for large files the page cache costs most of a copy's processor time, and drops what the pipelines need.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
from collections.abc import Generator
from contextlib import contextmanager
from queue import Empty, SimpleQueue

from passerelle.transfer import kernel

BLOCK_BYTES = 4 << 20  # what is read, hashed, written and named as one when it is damaged
DIRECT_BYTES = 1 << 20  # below that, O_DIRECT writes cost more than the page cache does
_ALIGN = 4096
_MOSTLY_CACHED = 0.5


class Buffers:
    """Memory for blocks, aligned as O_DIRECT wants it, used over and over: no more than were given out at once exists."""

    def __init__(self) -> None:
        self._free: SimpleQueue[memoryview] = SimpleQueue()

    @contextmanager
    def one(self) -> Generator[memoryview]:
        """Lend a buffer of BLOCK_BYTES for the length of a block."""
        try:
            view = self._free.get_nowait()
        except Empty:
            view = _aligned()
        try:
            yield view
        finally:
            self._free.put(view)


class MediumFile:
    """An open file that is read and written in whole blocks, past the page cache while its file system allows it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.direct = False

    def go_direct(self) -> bool:
        """Pass the page cache from now on; tell whether the file system lets us."""
        if not self.direct:
            flags = fcntl.fcntl(self.descriptor, fcntl.F_GETFL)
            try:
                fcntl.fcntl(self.descriptor, fcntl.F_SETFL, flags | os.O_DIRECT)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                return False
            self.direct = True
        return True

    def go_cached(self) -> None:
        """Use the page cache from now on."""
        if self.direct:
            flags = fcntl.fcntl(self.descriptor, fcntl.F_GETFL)
            fcntl.fcntl(self.descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)
            self.direct = False

    def read(self, buffer: memoryview, offset: int, size: int) -> int:
        """Read `size` bytes into the beginning of a buffer; return how many there were before the end of the file."""
        done = 0
        while done < size:
            wanted = rounded_up(size - done) if self.direct else size - done
            try:
                got = os.preadv(self.descriptor, [buffer[done : done + wanted]], offset + done)
            except OSError as error:
                if not (self.direct and error.errno == errno.EINVAL):
                    raise
                self.go_cached()  # the file system said that it can, but cannot at this place
                continue
            if got == 0:
                break
            done += got
            if self.direct and got % _ALIGN:
                break  # only the end of a file is not whole sectors
        return min(done, size)

    def write(self, buffer: memoryview, offset: int, size: int) -> None:
        """Write the first `size` bytes of a buffer; past the page cache, the rest of the last sector is written as well."""
        done = 0
        while done < size:
            wanted = rounded_up(size - done) if self.direct else size - done
            try:
                done += os.pwrite(self.descriptor, buffer[done : done + wanted], offset + done)
            except OSError as error:
                if not (self.direct and error.errno == errno.EINVAL):
                    raise
                self.go_cached()
                continue
            if self.direct and done < size and done % _ALIGN:
                self.go_cached()

    def forget(self, size: int) -> bool:
        """Drop the file's clean pages from the page cache; tell whether the kernel says that none of them is left."""
        os.posix_fadvise(self.descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        return kernel.cached_share(self.descriptor, size) == 0.0

    def read_ahead(self) -> None:
        """Let the kernel begin to read the file from the medium, while we do something else."""
        with contextlib.suppress(OSError):  # it is advice, and a FIFO in the place of a file takes none
            os.posix_fadvise(self.descriptor, 0, 0, os.POSIX_FADV_WILLNEED)

    def pass_cache(self, size: int, *, small: bool) -> None:
        """See to it that what is read next comes from the medium.

        small: drop it from the page cache, if the kernel says that this was done, and let it be read again at once: so many small
        files are read at a time, instead of one after the other.
        """
        if small and not self.direct and self.forget(size):
            self.read_ahead()
        elif not self.go_direct():
            self.forget(size)

    def is_cached(self, size: int) -> bool:
        """Tell whether most of the file is in the page cache, so that to read it there costs no medium."""
        return (kernel.cached_share(self.descriptor, size) or 0.0) >= _MOSTLY_CACHED


def _aligned() -> memoryview:
    memory = mmap.mmap(-1, BLOCK_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):
        memory.madvise(mmap.MADV_HUGEPAGE)  # two pages instead of a thousand for O_DIRECT to pin
    return memoryview(memory)


def rounded_up(size: int) -> int:
    """Return how many bytes in whole sectors hold `size`."""
    return -(-size // _ALIGN) * _ALIGN
