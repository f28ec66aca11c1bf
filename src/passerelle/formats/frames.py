"""Movies whose frames lie in single files (Falcon 2: one MRC or raw file a frame) as one movie."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import BadFile, BadInput
from passerelle.formats.reader import MovieHeader

_KEPT_OPEN = 1


class _Frame(Protocol):
    path: Path
    header: MovieHeader

    def read_into(self, index: int, target: NDArray[Any]) -> None: ...
    def close(self) -> None: ...


class _Opener(Protocol):
    def __call__(self, path: Path) -> _Frame: ...


class FrameStack:
    """Single-frame files in order as one MovieReader. Opening reads every file's header and checks that it is whole."""

    def __init__(self, paths: Sequence[Path], opener: _Opener) -> None:
        """Check the files; `opener` opens one of them.

        Raises:
            BadInput: no files.
            BadFile: a file holds more than one frame, or frames differ in size.
            IncompleteFile, UnsupportedFile, NotFound: one of the files; it is named.
        """
        if not paths:
            raise BadInput("a movie of no frames was asked for.")
        self._paths = tuple(paths)
        self._opener = opener
        self._open: OrderedDict[int, _Frame] = OrderedDict()
        self.path = self._paths[0]
        header = self._reader(0).header
        for index in range(len(self._paths)):
            self._compare(self._reader(index).header, header, index)
        self.header = replace(header, frames=len(self._paths), format=f"{header.format} frames")

    def _compare(self, header: MovieHeader, first: MovieHeader, index: int) -> None:
        path = self._paths[index]
        if header.frames != 1:
            raise BadFile(f"holds {header.frames} frames; one frame a file was expected.", path=path)
        if (header.height, header.width, header.dtype) != (first.height, first.width, first.dtype):
            raise BadFile(
                f"is {header.width} × {header.height} {header.dtype}, but the first frame of its movie is "
                f"{first.width} × {first.height} {first.dtype}.",
                path=path,
            )

    def _reader(self, index: int) -> _Frame:
        reader = self._open.get(index)
        if reader is None:
            while len(self._open) >= _KEPT_OPEN:
                self._open.popitem(last=False)[1].close()
            reader = self._open[index] = self._opener(self._paths[index])
        return reader

    def frame(self, index: int) -> NDArray[Any]:
        """Decode frame `index` as a (y, x) array of `header.dtype`.

        Raises:
            BadInput: there is no such frame.
            BadFile: this frame is corrupt; other frames may still be read.
        """
        reader = self._checked(index)
        target = np.empty((self.header.height, self.header.width), self.header.dtype)
        reader.read_into(0, target)
        return target

    def _checked(self, index: int) -> _Frame:
        if not 0 <= index < self.header.frames:
            raise BadInput(f"frame {index} was asked for; there are frames 0 … {self.header.frames - 1}.", path=self.path)
        reader = self._reader(index)
        self._compare(reader.header, replace(self.header, frames=1), index)  # the file may have been replaced since
        return reader

    def read_into(self, index: int, target: NDArray[Any]) -> None:
        """Decode frame `index` into `target`, a C-contiguous (y, x) array of `header.dtype`, without a further copy."""
        self._checked(index).read_into(0, target)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for index in range(self.header.frames):
            yield self.frame(index)

    def close(self) -> None:
        """Close all files; a second call does nothing."""
        while self._open:
            self._open.popitem()[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
