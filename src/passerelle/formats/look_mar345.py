"""Look at the images of mar345 plates and mar555 panels: a header of 4096 bytes, pixels beyond 16 bits, the rest packed."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import numpy as np

from passerelle.core.errors import BadFile, UnsupportedFile
from passerelle.formats.look import Drawing, Look, Plane, require_pixels
from passerelle.formats.look_detector import mar345_facts
from passerelle.formats.pck_decode import unpack
from passerelle.formats.source import Source

_HEADER_BYTES = 4096
_PACKED = 1
_PAIR_BYTES, _RECORD_BYTES = 8, 64  # a pixel and its value; eight of them
_LINE_BYTES = 128
_LINE = re.compile(rb"CCP4 packed image(?: (V2))?, X: *(\d{1,5}), Y: *(\d{1,5})\n")


def is_mar345(head: bytes) -> bool:
    """Say whether a file begins as an image of a mar345 does."""
    return head[:4] in (b"\xd2\x04\0\0", b"\0\0\x04\xd2") and b"mar research" in head[64:256]


def look_mar345(source: Source) -> Look:
    """Look at an image of a mar345.

    Raises:
        BadFile: corrupt. UnsupportedFile: too large, or not packed in the way that the detector's program packs.
        IncompleteFile: it may still be written.
    """
    head = source.read(0, _HEADER_BYTES)
    order = "<" if head[0] else ">"
    numbers = struct.unpack(f"{order}16i", head[:64])
    many, form = numbers[2], numbers[3]
    if form != _PACKED:
        raise UnsupportedFile("is an image of a mar345 that is not packed; such are not shown.", path=source.path)
    if many < 0:
        raise BadFile(f"has a header that makes no sense: {many:,} strong pixels.", path=source.path)
    at = _HEADER_BYTES + -(-many * _PAIR_BYTES // _RECORD_BYTES) * _RECORD_BYTES
    source.require(at, 1)
    line = _LINE.search(source.read(at, min(_LINE_BYTES, source.size - at)))
    if line is None:
        raise BadFile("does not say where its packed pixels begin.", path=source.path)
    if line[1]:
        raise UnsupportedFile("is packed in the second version of the format, which is not shown.", path=source.path)
    width, height = int(line[2]), int(line[3])
    require_pixels(source, "an image", width, height)
    begin = at + line.end()

    def planes() -> Iterator[Plane]:
        stored = np.frombuffer(source.read(begin, source.size - begin), np.uint8)
        packed = unpack(stored, width, height)
        if packed is None:
            raise source.ended(source.size + 1)
        pixels = packed.astype(np.uint32)
        strong = np.frombuffer(source.read(_HEADER_BYTES, many * _PAIR_BYTES), f"{order}i4").reshape(many, 2)
        places = strong[:, 0].astype(np.int64) - 1
        inside = (places >= 0) & (places < pixels.size)
        pixels.reshape(-1)[places[inside]] = strong[inside, 1].astype(np.uint32)
        yield Plane(pixels)

    facts: dict[str, float | str] = {"width_px": width, "height_px": height, "strong_pixels": many}
    return Look("mar345 image", Drawing.DIFFRACTION, facts | mar345_facts(numbers), planes)
