"""A file as libraries want it, which never returns more than there is, and never waits for more: lengths come from headers."""

from __future__ import annotations

import io
import os
import struct
from typing import IO, Any, cast

from passerelle.formats.source import Source

_MOST_EMPTY_READS = 64
# what libraries raise on damaged files
FAULTS = (
    OSError, EOFError, ValueError, TypeError, IndexError, KeyError, AttributeError, RuntimeError, NotImplementedError,
    ZeroDivisionError, OverflowError, AssertionError, UnboundLocalError, struct.error,
)  # fmt: skip


class BoundedFile(io.RawIOBase):
    """A `Source` to be read from its beginning. A library that reads on and on behind the end is stopped."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._at = 0
        self._empty = 0
        self.name = source.path.name

    @classmethod
    def of(cls, source: Source) -> IO[bytes]:
        """Return one as libraries declare what they take."""
        return cast("IO[bytes]", cls(source))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, no more than the file has.

        Raises:
            EOFError: nothing is left, and that has been said often.
        """
        left = max(0, self._source.size - self._at)
        count = left if size is None or size < 0 else min(size, left)
        if count == 0:
            self._empty += bool(size)
            if self._empty > _MOST_EMPTY_READS:  # fabio looks for the end of a CBF header for ever
                raise EOFError("the file ends before what it promises")
            return b""
        content = self._source.read(self._at, count)
        self._at += count
        return content

    def readall(self) -> bytes:
        return self.read(-1)

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        content = self.read(len(view))
        view[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._source.size}[whence]
        if base + offset < 0:
            raise OSError("a place before the beginning of the file was asked for")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at
