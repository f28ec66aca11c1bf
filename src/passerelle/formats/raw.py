"""Headerless frames: Falcon 2 writes one raw file a frame beside EPU's images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import IncompleteFile, UnsupportedFile
from passerelle.formats.movie import OpenMovie
from passerelle.formats.reader import MovieHeader
from passerelle.formats.source import Source

_SIDES = (4096, 2048, 1024)  # of Falcon and Ceta cameras, unbinned and binned
_OFFSETS = (49, 0)  # Falcon 2 puts 49 bytes before the pixels; converters strip them


@dataclass(frozen=True, slots=True)
class RawLayout:
    """How the pixels of a headerless file lie: `offset` bytes, then height × width pixels of `dtype`, little-endian."""

    height: int
    width: int
    dtype: Literal["uint8", "uint16", "int16", "int32", "float32"]
    offset: int = 0


class RawReader(OpenMovie):
    """One frame in a headerless file. 32-bit counts are yielded as 32-bit floats (exact up to 2^24)."""

    def __init__(self, source: Source, layout: RawLayout | None = None) -> None:
        """Take `layout`, or know the camera by the size of the file.

        Raises:
            IncompleteFile: shorter than the layout.
            UnsupportedFile: no layout is given and the size is that of no known camera.
        """
        layout = layout or _known_layout(source)
        self._layout = layout
        self._stored = np.dtype(layout.dtype).newbyteorder("<")
        if source.size == 0:
            raise IncompleteFile("is empty.", advice="It may still be written.", path=source.path)
        source.require(layout.offset, layout.height * layout.width * self._stored.itemsize)
        yielded = np.dtype(np.float32) if layout.dtype == "int32" else self._stored.newbyteorder("=")
        super().__init__(source, MovieHeader("raw", 1, layout.height, layout.width, yielded, values={}))

    def _decode(self, index: int, target: NDArray[Any]) -> None:
        if target.dtype == self._stored:
            self._source.read_into(self._layout.offset, target)
            return
        stored = np.empty(target.shape, self._stored)
        self._source.read_into(self._layout.offset, stored)
        target[:] = stored


def _known_layout(source: Source) -> RawLayout:
    for side in _SIDES:
        for offset in _OFFSETS:
            if source.size == side * side * 4 + offset:
                return RawLayout(side, side, "int32", offset)
            if source.size == side * side * 2 + offset:
                return RawLayout(side, side, "uint16", offset)
    largest = _SIDES[0] ** 2 * 4 + _OFFSETS[0]
    error = IncompleteFile if source.size < largest else UnsupportedFile
    raise error(
        f"has no header, and {source.size:,} bytes is the size of no known camera's frame.",
        advice="If it is not still being written, name its layout in the configuration.",
        path=source.path,
    )
