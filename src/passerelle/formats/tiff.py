"""Movies and images in TIFF files: uncompressed, LZW, deflate, PackBits; 4, 8, 16, 32 bits; one image a page.

Row 0 of a TIFF file is the top of the picture; frames are turned over to the orientation of MRC (docs/decisions/0004), whatever
the Orientation tag says: IMOD, SerialEM, MotionCor2, RELION do the same.
"""

from __future__ import annotations

import operator
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import BadFile, UnsupportedFile
from passerelle.formats import tiff_pages as tags
from passerelle.formats.movie import BLOCK_BYTES, OpenMovie
from passerelle.formats.nibbles import unpack
from passerelle.formats.reader import MovieHeader
from passerelle.formats.source import Source
from passerelle.formats.tiff_former import former_header
from passerelle.formats.tiff_pages import Page, TiffFile

_NONE, _LZW, _PACKBITS = 1, 5, 32773
_DEFLATE = {8, 32946}
_EER = {65000, 65001, 65002}
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3

# Half-width pages that hold 4-bit pixels of super-resolution cameras, as SerialEM and IMOD write them: nothing in the file says
# so but its size (IMOD sizeCanBe4BitK2SuperRes, RELION rwTIFF). (width, height) of the page; K3 11520 × 8184, K2 7676 × 7420.
NIBBLE_PAGES = {(5760, 8184), (8184, 5760), (4092, 11520), (11520, 4092), (3710, 7676), (7676, 3710), (3838, 7420), (7420, 3838)}


class TiffReader(OpenMovie):
    """A movie or image in a TIFF file."""

    def __init__(self, source: Source, tiff: TiffFile, pages: list[Page], *, upside_down: bool = True) -> None:
        """Check the pages; `upside_down` False leaves row 0 where the file has it (EER gain references)."""
        self._tiff = tiff
        self._pages = pages
        self._upside_down = upside_down
        self._layout = _PixelLayout(self._pages[0], source.path)
        self._proven: set[int] = set()
        first = self._pages[0]
        for index, page in enumerate(self._pages):
            if (page.width, page.height, page.bits, page.sample_format) != (
                first.width,
                first.height,
                first.bits,
                first.sample_format,
            ):
                raise BadFile(
                    f"mixes images: page {index} is {page.width} × {page.height} with {page.bits} bits, "
                    f"page 0 is {first.width} × {first.height} with {first.bits} bits.",
                    path=source.path,
                )
            self._layout.check(page, index)
        header = MovieHeader(
            format="TIFF",
            frames=len(self._pages),
            height=first.height,
            width=self._layout.width,
            dtype=self._layout.yielded,
            pixel_size_angstrom=self._pixel_size(first),
            values={},
        )
        said = former_header(tiff, first)
        if said is not None:
            pixel_size = said.pixel_size_angstrom or header.pixel_size_angstrom
            header = replace(header, values=said.values, pixel_size_angstrom=pixel_size)
        super().__init__(source, header)

    def _pixel_size(self, page: Page) -> float | None:
        """Resolution in inches or centimetres, as SerialEM and IMOD write it; what screens and printers use is no pixel size."""
        per_unit = self._tiff.rational(page, tags.X_RESOLUTION)
        angstrom = {2: 2.54e8, 3: 1e8}.get(self._tiff.integer(page, tags.RESOLUTION_UNIT, 2))
        if not per_unit or angstrom is None:
            return None
        size = angstrom / per_unit
        return round(size, 6) if 0.01 < size < 1000 else None

    def _decode(self, index: int, target: NDArray[Any]) -> None:
        page, layout = self._pages[index], self._layout
        together = page.compression == _NONE and _lie_together(page, page.height * layout.row_bytes)
        first = 0
        for stored in self._plain_rows(page) if together else self._strip_rows(index):
            last = first + len(stored)
            pixels = layout.interpret(stored, page.predictor, self._tiff.order)
            if self._upside_down:
                pixels, place = pixels[::-1], target[page.height - last : page.height - first]
            else:
                place = target[first:last]
            if layout.nibble_order is not None:
                unpack(pixels, place, first=layout.nibble_order)
            else:
                place[:] = pixels
            first = last

    def _plain_rows(self, page: Page) -> Iterator[NDArray[np.uint8]]:
        """Yield the rows of an uncompressed page, some at a time; each time in the same memory."""
        row_bytes = self._layout.row_bytes
        rows = min(page.height, max(1, BLOCK_BYTES // row_bytes))
        stored = self._scratch(rows, row_bytes)
        for start in range(0, page.height, rows):
            block = stored[: page.height - start]
            self._source.read_into(page.offsets[0] + start * row_bytes, block)
            yield block

    def _strip_rows(self, index: int) -> Iterator[NDArray[np.uint8]]:
        """Yield the decoded rows of a page, a strip or several small ones at a time; each time in the same memory."""
        page, row_bytes = self._pages[index], self._layout.row_bytes
        packed, starts = self._packed(index)
        together = max(1, BLOCK_BYTES // (page.rows_per_strip * row_bytes))
        stored = self._scratch(min(page.height, together * page.rows_per_strip), row_bytes)
        for first in range(0, len(starts), together):
            last = min(first + together, len(starts))
            rows = stored[: min(page.height, last * page.rows_per_strip) - first * page.rows_per_strip]
            if page.compression == _LZW:
                self._decode_lzw(packed, starts, range(first, last), rows, index)
            else:
                for strip in range(first, last):
                    place = rows[(strip - first) * page.rows_per_strip :][: page.rows_per_strip]
                    self._decode_strip(page, packed[starts[strip] :][: page.counts[strip]].data, place, index)
            yield rows

    def _packed(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the stored bytes of a page's strips, and where in them each begins; in one read where they lie together."""
        page = self._pages[index]
        begin = min(page.offsets)
        end = max(map(operator.add, page.offsets, page.counts))
        if end - begin <= sum(page.counts) + 65536:
            block = self._source.read(begin, end - begin)
            starts = np.subtract(page.offsets, begin, dtype=np.int64)
        else:
            block = b"".join(map(self._source.read, page.offsets, page.counts))
            starts = np.cumsum([0, *page.counts[:-1]], dtype=np.int64)
        return np.frombuffer(block, np.uint8), starts

    def _decode_lzw(
        self, packed: NDArray[np.uint8], starts: NDArray[np.int64], strips: range, rows: NDArray[np.uint8], index: int
    ) -> None:
        page = self._pages[index]
        counts = np.array(page.counts[strips.start : strips.stop], np.int64)
        starts = starts[strips.start : strips.stop]
        strip_bytes = page.rows_per_strip * self._layout.row_bytes
        from passerelle.formats.lzw_decode import decode_strips  # here: numba is heavy, and the gateway reads headers only

        done, found = decode_strips(packed, starts, counts, rows.reshape(-1), strip_bytes)
        if done < len(starts):
            raise self._short(index, found, min(strip_bytes, rows.nbytes - done * strip_bytes))

    def _decode_strip(self, page: Page, block: memoryview, rows: NDArray[np.uint8], index: int) -> None:
        if page.compression == _NONE:
            if len(block) < rows.nbytes:
                raise self._short(index, len(block), rows.nbytes)
            rows.reshape(-1)[:] = np.frombuffer(block[: rows.nbytes], np.uint8)
            return
        with self._codec_errors(index):
            decoded = _decoder(page.compression)(block, out=rows.reshape(-1))
        if len(decoded) != rows.nbytes:
            raise self._short(index, len(decoded), rows.nbytes)

    def _approve(self, index: int) -> None:
        """Before memory beyond the size of the file is taken for a frame, prove that its strips hold that much."""
        page = self._pages[index]
        if index in self._proven or page.height * self._layout.row_bytes <= self._source.size:
            return
        from passerelle.formats.lzw_decode import decoded_size

        packed, starts = self._packed(index)
        for strip, start in enumerate(starts):
            block = packed[start:][: page.counts[strip]]
            rows = min(page.rows_per_strip, page.height - strip * page.rows_per_strip)
            wanted = rows * self._layout.row_bytes
            with self._codec_errors(index):
                found = (
                    decoded_size(block, wanted)
                    if page.compression == _LZW
                    else _decoded_size(page.compression, block.data, wanted)
                )
            if found < wanted:
                raise self._short(index, found, wanted)
        self._proven.add(index)

    @contextmanager
    def _codec_errors(self, index: int) -> Generator[None]:
        try:
            yield
        except (RuntimeError, ValueError, zlib.error) as error:  # all errors of imagecodecs are RuntimeErrors
            raise BadFile(f"frame {index} is corrupt: {error}.", path=self.path) from error

    def _short(self, index: int, found: int, expected: int) -> BadFile:
        from passerelle.formats.lzw_decode import CORRUPT

        if found == CORRUPT:
            return BadFile(f"frame {index} is corrupt: a strip holds a code of LZW that has no meaning.", path=self.path)
        return BadFile(f"frame {index} is corrupt: a strip holds {found:,} bytes, {expected:,} expected.", path=self.path)


def _lie_together(page: Page, expected: int) -> bool:
    """Say whether the strips follow each other without a gap and hold `expected` bytes."""
    ends = map(operator.add, page.offsets, page.counts)
    return sum(page.counts) == expected and all(map(operator.eq, ends, page.offsets[1:]))


def _decoder(compression: int) -> Callable[..., Any]:
    if compression == _PACKBITS:
        return imagecodecs.packbits_decode
    return imagecodecs.deflate_decode


def _decoded_size(compression: int, block: memoryview, wanted: int) -> int:
    """Return how many bytes `block` holds decoded (counted up to `wanted`), with memory that grows only as data fill it."""
    if compression == _NONE:
        return len(block)
    if compression in _DEFLATE:
        stream = zlib.decompressobj()
        found, rest = 0, bytes(block)
        while found < wanted and rest and not stream.eof:
            found += len(stream.decompress(rest, 1 << 20))
            rest = stream.unconsumed_tail
        return found
    room = 4 * len(block) + 4096
    while True:
        found = len(_decoder(compression)(block, out=bytearray(min(room, wanted))))
        if found >= wanted or found < room:
            return found
        room *= 2


class _PixelLayout:
    """How the bytes of a row become pixels. yielded: dtype of a frame. nibble_order: None unless two pixels share a byte."""

    def __init__(self, page: Page, path: Path) -> None:
        self._path = path
        self._bits, self._form = page.bits, page.sample_format
        self.nibble_order: Literal["low", "high"] | None = None
        self.width = page.width
        if page.bits == 4:
            self.nibble_order = "high"
        elif page.bits == 8 and (page.width, page.height) in NIBBLE_PAGES:
            self.nibble_order = "low"
            self.width = page.width * 2
        self.stored = np.dtype(np.uint8) if self.nibble_order else self._stored_dtype()
        # 64-bit floats and 32-bit integers: counts that 32-bit floats hold exactly up to 2^24
        self.yielded = np.dtype(np.float32) if self.stored.itemsize > 2 else self.stored
        self.row_bytes = (self.width + 1) // 2 if self.nibble_order else self.width * self.stored.itemsize

    def _stored_dtype(self) -> np.dtype[Any]:
        # some writers leave garbage in SampleFormat; integers were meant (RELION issue "TIFF handling issues")
        form = self._form if self._form in (_UNSIGNED, _SIGNED, _FLOAT) else _UNSIGNED
        kinds = {
            (8, _UNSIGNED): "u1",
            (8, _SIGNED): "i1",
            (16, _UNSIGNED): "u2",
            (16, _SIGNED): "i2",
            (16, _FLOAT): "f2",
            (32, _UNSIGNED): "u4",
            (32, _SIGNED): "i4",
            (32, _FLOAT): "f4",
            (64, _FLOAT): "f8",
        }
        kind = kinds.get((self._bits, form))
        if kind is None:
            raise UnsupportedFile(f"holds pixels of {self._bits} bits (sample format {self._form}).", path=self._path)
        return np.dtype(kind)

    def check(self, page: Page, index: int) -> None:
        """Raise UnsupportedFile for a compression or predictor that is not read."""
        if page.compression in _EER:
            raise UnsupportedFile(f"page {index} holds electron events (EER), not an image.", path=self._path)
        if page.compression not in {_NONE, _LZW, _PACKBITS, *_DEFLATE}:
            raise UnsupportedFile(
                f"is compressed by TIFF method {page.compression}; none, LZW, deflate are read.", path=self._path
            )
        floating = self.stored.kind == "f"
        if page.predictor not in ((1, 3) if floating else (1, 2)) or (self.nibble_order and page.predictor != 1):
            raise UnsupportedFile(f"uses TIFF predictor {page.predictor}, which does not fit its pixels.", path=self._path)

    def interpret(self, stored: NDArray[np.uint8], predictor: int, order: str) -> NDArray[Any]:
        """Return the pixels (y, x) of the bytes (y, row bytes), still in the orientation of the file."""
        if self.nibble_order:
            return stored
        if predictor == 3:
            return self._undo_floating_predictor(stored)
        pixels = stored.view(self.stored.newbyteorder("<" if order == "<" else ">"))
        if predictor == 2:
            if not pixels.dtype.isnative:
                pixels = pixels.astype(self.stored)
            np.cumsum(pixels, axis=1, dtype=self.stored, out=pixels)  # wraps around, as the encoder's differences did
        return pixels

    def _undo_floating_predictor(self, stored: NDArray[np.uint8]) -> NDArray[Any]:
        """TIFF Technical Note 3: bytes of a row are differences, and stand by significance, most significant first."""
        height = stored.shape[0]
        np.cumsum(stored, axis=1, dtype=np.uint8, out=stored)
        planes = stored.reshape(height, self.stored.itemsize, self.width)
        return np.ascontiguousarray(planes.transpose(0, 2, 1)).view(self.stored.newbyteorder(">")).reshape(height, self.width)
