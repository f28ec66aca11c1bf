"""Movies and images in MRC files."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from passerelle.formats.movie import BLOCK_BYTES, OpenMovie
from passerelle.formats.mrc_fei import fei_values
from passerelle.formats.mrc_header import MrcHeader, read_mrc_header
from passerelle.formats.nibbles import unpack
from passerelle.formats.reader import MovieHeader
from passerelle.formats.source import Source


class MrcReader(OpenMovie):
    """A movie or image in an MRC file. Frames are read straight into the caller's memory."""

    def __init__(self, source: Source) -> None:
        self._layout = read_mrc_header(source)
        super().__init__(source, _movie_header(source, self._layout))

    @property
    def data_offset(self) -> int:
        """Where the first frame begins: after the header and the extended header, bytes."""
        return self._layout.data_offset

    def _decode(self, index: int, target: NDArray[Any]) -> None:
        layout = self._layout
        offset = layout.data_offset + index * layout.frame_bytes
        if layout.nibbles:
            rows = max(1, BLOCK_BYTES // layout.row_bytes)
            packed = self._scratch(rows, layout.row_bytes)
            for start in range(0, layout.height, rows):
                block = packed[: layout.height - start]
                self._source.read_into(offset + start * layout.row_bytes, block)
                unpack(block, target[start : start + rows], first="low")
            return
        self._source.read_into(offset, target)
        if not layout.dtype.isnative:
            target.byteswap(inplace=True)


def _movie_header(source: Source, layout: MrcHeader) -> MovieHeader:
    values = fei_values(source, layout)
    if any(label.startswith("SerialEM") for label in layout.labels):
        values.setdefault("program", "SerialEM")
    pixel_size = values.get("pixel_size_angstrom", layout.pixel_size_angstrom)
    return MovieHeader(
        format="MRC",
        frames=layout.frames,
        height=layout.height,
        width=layout.width,
        dtype=layout.dtype.newbyteorder("="),
        pixel_size_angstrom=float(pixel_size) if pixel_size is not None else None,
        values=values,
    )
