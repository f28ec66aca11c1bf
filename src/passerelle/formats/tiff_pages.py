"""The chain of pages of a TIFF file, read with suspicion: every count and offset is held against the size of the file first.

TIFF 6.0 (Adobe 1992) and BigTIFF, both byte orders. Only what images of cameras need: strips, one sample a pixel. EER files are
such files.
"""

from __future__ import annotations

import operator
import struct
import sys
from array import array
from dataclasses import dataclass
from pathlib import Path

from passerelle.core.errors import BadFile, IncompleteFile, UnsupportedFile
from passerelle.formats.source import Source

MAX_PAGES = 1 << 15  # a second of work; a long EER movie has some thousands
MAX_SIDE = 1 << 17
_MAX_ENTRIES = 4096
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_ADVICE = "It may still be written; if not, it was cut short: copy it again."

WIDTH, HEIGHT, BITS, COMPRESSION, FILL_ORDER, DESCRIPTION = 256, 257, 258, 259, 266, 270
PHOTOMETRIC, STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES = 262, 273, 277, 278, 279
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
SUBFILE_TYPE, PREDICTOR, TILE_WIDTH, SAMPLE_FORMAT, SOFTWARE = 254, 317, 322, 339, 305
MRC_HEADER = 65200  # ours: the header of an MRC file whose frames were recompressed
EER_ACQUISITION, EER_FRAME, EER_RUN_BITS, EER_X_BITS, EER_Y_BITS = 65001, 65002, 65007, 65008, 65009


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a page's directory: type, number of values, and where they lie in the file."""

    kind: int
    count: int
    at: int


@dataclass(frozen=True, slots=True)
class Page:
    """One image of a TIFF file. offsets, counts: of its strips, bytes; all inside the file. entries: tag -> entry."""

    width: int
    height: int
    bits: int
    sample_format: int
    compression: int
    predictor: int
    rows_per_strip: int
    offsets: array[int]
    counts: array[int]
    entries: dict[int, Entry]


class TiffFile:
    """The structure of one TIFF file."""

    def __init__(self, source: Source) -> None:
        """Read the header; `pages` walks the chain."""
        self.source = source
        head = source.read(0, 8)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None:
            raise self._bad("is not a TIFF file: it does not begin with II or MM.")
        self.order = order
        (version,) = struct.unpack_from(order + "H", head, 2)
        if version not in (42, 43):
            raise self._bad(f"is not a TIFF file: version {version} instead of 42 or 43.")
        self.big = version == 43
        if self.big:
            head = source.read(0, 16)
            if struct.unpack_from(order + "HH", head, 4) != (8, 0):
                raise self._bad("is not a BigTIFF file: its header makes no sense.")
            (self._first,) = struct.unpack_from(order + "Q", head, 8)
        else:
            (self._first,) = struct.unpack_from(order + "I", head, 4)
        # what the strip tables of all pages may take together: honest pages share no bytes
        self._budget = source.size + 65536
        self._unclaimed = source.size

    def pages(self) -> list[Page]:
        """Return all pages in order.

        Raises:
            IncompleteFile: no page yet, the chain or a strip leads out of the file.
            BadFile: a loop, impossible sizes.
            UnsupportedFile: tiles, colour.
        """
        if self._first == 0:
            raise IncompleteFile("holds no frame: its first page is not written yet.", advice=_ADVICE, path=self.source.path)
        pages: list[Page] = []
        seen: set[int] = set()
        offset = self._first
        while offset:
            if offset in seen:
                raise self._bad(f"is corrupt: its chain of pages runs in a loop after page {len(pages)}.")
            if len(seen) == MAX_PAGES:
                raise self._bad(f"has more than {MAX_PAGES:,} pages.")
            seen.add(offset)
            entries, offset = self._directory(offset)
            if self._integer(entries, SUBFILE_TYPE, 0) & 1:
                continue  # a reduced picture of another page
            pages.append(self._page(entries, len(pages)))
        if not pages:
            raise self._bad("holds no full image, only previews.")
        return pages

    def first_entries(self) -> dict[int, Entry]:
        """Return the entries of the first page, whatever it holds; errors as `pages`."""
        if self._first == 0:
            raise IncompleteFile("holds no frame: its first page is not written yet.", advice=_ADVICE, path=self.source.path)
        return self._directory(self._first)[0]

    def _directory(self, offset: int) -> tuple[dict[int, Entry], int]:
        """Return the entries of the directory at `offset`, and the offset of the next one (0: none)."""
        head, step, tail = ("Q", 20, "Q") if self.big else ("H", 12, "I")
        head_bytes, tail_bytes, inline = struct.calcsize(head), struct.calcsize(tail), 8 if self.big else 4
        (count,) = struct.unpack(self.order + head, self._read(offset, head_bytes))
        if not 0 < count <= _MAX_ENTRIES:
            raise self._bad(f"is corrupt: a page claims {count} tags.")
        start = offset + head_bytes
        block = self._read(start, count * step + tail_bytes)
        entries: dict[int, Entry] = {}
        place = self.order + ("Q" if self.big else "I")
        for index, (tag, kind, values) in enumerate(
            row[:3] for row in struct.iter_unpack(self.order + ("HHQ8s" if self.big else "HHI4s"), block[: count * step])
        ):
            if kind not in _SIZES:
                continue  # of a later specification: readers skip what they do not know (TIFF 6.0, section 2)
            at = start + index * step + step - inline
            if values * _SIZES[kind] > inline:
                (at,) = struct.unpack_from(place, block, index * step + step - inline)
            entries.setdefault(tag, Entry(kind, values, at))
        (following,) = struct.unpack_from(self.order + tail, block, count * step)
        return entries, following

    def _page(self, entries: dict[int, Entry], index: int) -> Page:
        width, height = self._integer(entries, WIDTH, 0), self._integer(entries, HEIGHT, 0)
        if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
            raise self._bad(f"is corrupt: page {index} claims {width} × {height} pixels.")
        if TILE_WIDTH in entries:
            raise UnsupportedFile("stores its images in tiles; strips are read.", path=self.source.path)
        if self._integer(entries, SAMPLES, 1) != 1:
            raise UnsupportedFile("holds colour images; frames of a camera have one sample a pixel.", path=self.source.path)
        if self._integer(entries, FILL_ORDER, 1) != 1:
            raise UnsupportedFile("stores its bits in reverse order (FillOrder 2).", path=self.source.path)
        rows = min(self._integer(entries, ROWS_PER_STRIP, height), height)
        if rows < 1:
            raise self._bad(f"is corrupt: page {index} has strips of {rows} rows.")
        strips = -(-height // rows)
        offsets = self._integers(entries, STRIP_OFFSETS, strips, index)
        counts = self._integers(entries, STRIP_BYTES, strips, index)
        ends = max(map(operator.add, offsets, counts))
        if ends > self.source.size:
            raise self._ended(f"the pixels of page {index} lie", ends)
        self._unclaimed -= sum(counts)
        if self._unclaimed < 0:
            raise self._bad("is corrupt: its pages claim more pixels than the file has bytes.")
        return Page(
            width=width,
            height=height,
            bits=self._integer(entries, BITS, 1),
            sample_format=self._integer(entries, SAMPLE_FORMAT, 1),
            compression=self._integer(entries, COMPRESSION, 1),
            predictor=self._integer(entries, PREDICTOR, 1),
            rows_per_strip=rows,
            offsets=offsets,
            counts=counts,
            entries=entries,
        )

    def _integer(self, entries: dict[int, Entry], tag: int, default: int) -> int:
        entry = entries.get(tag)
        if entry is None or entry.count == 0 or entry.kind not in _INTEGERS:
            return default
        form = _INTEGERS[entry.kind]
        return struct.unpack(self.order + form, self._read(entry.at, struct.calcsize(form)))[0]

    def integer(self, page: Page, tag: int, default: int) -> int:
        """Return the first value of an integer tag, `default` where it is missing or no integer."""
        return self._integer(page.entries, tag, default)

    def _integers(self, entries: dict[int, Entry], tag: int, count: int, index: int) -> array[int]:
        """Return the values of a strip table; compact, for hostile files have millions of strips."""
        entry = entries.get(tag)
        if entry is None or entry.kind not in _INTEGERS or entry.count < count:
            raise self._bad(f"is corrupt: page {index} does not say where its {count} strips lie.")
        form = _INTEGERS[entry.kind]
        needed = count * struct.calcsize(form)
        self._budget -= needed
        if self._budget < 0:
            raise self._bad("is corrupt: its pages claim more strips than the file can describe.")
        values = array(form, self._read(entry.at, needed))
        if (self.order == "<") != (sys.byteorder == "little"):
            values.byteswap()
        return values

    def content(self, page: Page, tag: int, limit: int = 1 << 20) -> bytes | None:
        """Return the bytes of a tag, at most `limit`; None where it is missing or does not lie inside the file."""
        entry = page.entries.get(tag)
        if entry is None:
            return None
        count = entry.count * _SIZES[entry.kind]
        if count > limit or entry.at + count > self.source.size:
            return None
        return self.source.read(entry.at, count)

    def rational(self, page: Page, tag: int) -> float | None:
        """Return the first value of a rational tag; None where it is missing or divides by zero."""
        entry = page.entries.get(tag)
        if entry is None or entry.kind != 5 or entry.count == 0 or entry.at + 8 > self.source.size:
            return None
        above, below = struct.unpack(self.order + "II", self.source.read(entry.at, 8))
        return above / below if below else None

    def _read(self, offset: int, count: int) -> bytes:
        if offset + count > self.source.size:
            raise self._ended("its directory leads", offset + count)
        return self.source.read(offset, count)

    def _bad(self, message: str) -> BadFile:
        return BadFile(message, path=self._path)

    def _ended(self, what: str, end: int) -> IncompleteFile:
        return IncompleteFile(
            f"is not whole: {what} up to byte {end:,}, the file ends at {self.source.size:,}.", advice=_ADVICE, path=self._path
        )

    @property
    def _path(self) -> Path:
        return self.source.path
