"""Put pages together to a TIFF or BigTIFF file, in one pass forwards: pixels, then their directory, then the next page.

Little-endian. A page's directory follows its pixels, and the pointer to it is written last: a reader of a growing file sees
whole pages only.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import BinaryIO

# value kinds of TIFF 6.0
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, LONG8 = 1, 2, 3, 4, 5, 7, 16
_FORMS = {BYTE: "B", ASCII: "B", SHORT: "H", LONG: "I", RATIONAL: "I", UNDEFINED: "B", LONG8: "Q"}

Tag = tuple[int, int, Sequence[int] | bytes]  # tag, kind, values (a rational is two)

STRIP_OFFSETS, STRIP_BYTES = 273, 279


class TiffAssembly:
    """A TIFF file in the making on a seekable stream."""

    def __init__(self, stream: BinaryIO, *, big: bool = False) -> None:
        """Write the header; `big` chooses BigTIFF, for files of 4 GiB and more."""
        self._stream = stream
        self._big = big
        stream.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if big else struct.pack("<2sHI", b"II", 42, 0))
        self._end = 16 if big else 8
        self._link = 8 if big else 4  # where the offset of the next directory has to be written

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._end

    def add_page(self, strips: Sequence[bytes], tags: Sequence[Tag]) -> None:
        """Append one page: its strips as they are stored, and its tags without those that say where the strips lie."""
        offsets: list[int] = []
        for strip in strips:
            offsets.append(self._end)
            self._append(strip)
        self._pad()
        place = LONG8 if self._big else LONG
        counts = [len(strip) for strip in strips]
        entries = sorted([*tags, (STRIP_OFFSETS, place, offsets), (STRIP_BYTES, LONG, counts)], key=lambda tag: tag[0])
        directory = b"".join(self._entry(tag) for tag in entries)
        self._pad()
        at = self._end
        count_form, link_form = ("<Q", "<Q") if self._big else ("<H", "<I")
        self._append(struct.pack(count_form, len(entries)) + directory + struct.pack(link_form, 0))
        self._stream.seek(self._link)
        self._stream.write(struct.pack(link_form, at))
        self._stream.seek(self._end)
        self._link = self._end - struct.calcsize(link_form)

    def _entry(self, tag: Tag) -> bytes:
        code, kind, values = tag
        raw = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{_FORMS[kind]}", *values)
        count = len(values) // 2 if kind == RATIONAL else len(values)
        inline = 8 if self._big else 4
        if len(raw) > inline:
            self._pad()
            at = self._end
            self._append(raw)
            raw = struct.pack("<Q" if self._big else "<I", at)
        return struct.pack("<HHQ" if self._big else "<HHI", code, kind, count) + raw.ljust(inline, b"\0")

    def _append(self, content: bytes) -> None:
        self._stream.write(content)
        self._end += len(content)

    def _pad(self) -> None:
        """Directories and values begin at even places (TIFF 6.0, section 2)."""
        if self._end % 2:
            self._append(b"\0")
