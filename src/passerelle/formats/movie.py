"""What all readers of movies share: the open file, the check of the index, iteration, closing."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import BadInput
from passerelle.formats.reader import MovieHeader
from passerelle.formats.source import Source

BLOCK_BYTES = 1 << 18  # what is read and turned into pixels at a time, so that it stays in cache


class OpenMovie(ABC):
    """A MovieReader over one file; a format fills `_decode`. Frames may be decoded by several threads at a time."""

    path: Path
    header: MovieHeader

    def __init__(self, source: Source, header: MovieHeader) -> None:
        self._source = source
        self._of_thread = threading.local()
        self.path = source.path
        self.header = header

    @abstractmethod
    def _decode(self, index: int, target: NDArray[Any]) -> None:
        """Decode frame `index` into `target`, a C-contiguous (y, x) array of the header's dtype."""

    def frame(self, index: int) -> NDArray[Any]:
        """Decode frame `index` (0 … frames - 1) as a (y, x) array of `header.dtype`.

        Raises:
            BadInput: there is no such frame.
            BadFile: this frame is corrupt; other frames may still be read.
        """
        self._check(index)
        self._approve(index)
        target = np.empty((self.header.height, self.header.width), self.header.dtype)
        self._decode(index, target)
        return target

    def read_into(self, index: int, target: NDArray[Any]) -> None:
        """Decode frame `index` into `target`, a C-contiguous (y, x) array of `header.dtype`, without a further copy."""
        self._check(index)
        self._approve(index)
        self._decode(index, target)

    def _scratch(self, rows: int, row_bytes: int) -> NDArray[np.uint8]:
        """Return memory (rows, row_bytes) of this thread, used again from frame to frame: new memory costs as much as a copy."""
        held: NDArray[np.uint8] | None = getattr(self._of_thread, "scratch", None)
        if held is None or held.size < rows * row_bytes:
            held = self._of_thread.scratch = np.empty(rows * row_bytes, np.uint8)
        return held[: rows * row_bytes].reshape(rows, row_bytes)

    def _approve(self, index: int) -> None:  # noqa: B027 - most formats store as many bytes as they yield
        """Raise BadFile if the memory for frame `index` would be asked for by a header's word alone."""

    def _check(self, index: int) -> None:
        if not 0 <= index < self.header.frames:
            raise BadInput(f"frame {index} was asked for; there are frames 0 … {self.header.frames - 1}.", path=self.path)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield the frames in order, one at a time."""
        for index in range(self.header.frames):
            yield self.frame(index)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
