"""What a recompressed TIFF keeps of the MRC file that it was made from: its header, byte by byte, and what was read from it.

The first page has the original's header and extended header in tag 65200, and in ImageDescription a line of JSON with what our
reader made of them, so that the copy says of the exposure what the original said.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

from passerelle.formats import tiff_assemble as kinds
from passerelle.formats import tiff_pages as tags
from passerelle.formats.reader import MovieHeader
from passerelle.formats.tiff_assemble import Tag
from passerelle.formats.tiff_pages import Page, TiffFile

_KEY = "passerelle_recompressed"
_LIMIT = 1 << 16


@dataclass(frozen=True, slots=True)
class FormerHeader:
    """What the original said. digest: BLAKE3 of the whole original file."""

    pixel_size_angstrom: float | None
    values: dict[str, float | str]
    digest: str


def former_tags(header: MovieHeader, head: bytes, digest: str) -> list[Tag]:
    """Return the tags that keep `header`, the bytes before the first frame, and the digest of the original."""
    said = {
        "format": header.format,
        "dtype": header.dtype.name,
        "pixel_size_angstrom": header.pixel_size_angstrom,
        "values": header.values or {},
        "blake3": digest,
    }
    text = json.dumps({_KEY: said}, ensure_ascii=True)
    return [(tags.DESCRIPTION, kinds.ASCII, text.encode() + b"\0"), (tags.MRC_HEADER, kinds.UNDEFINED, head)]


def former_header(tiff: TiffFile, page: Page) -> FormerHeader | None:
    """Return what the original of a recompressed movie said; None where this is none, or what it says is no sense."""
    if tags.MRC_HEADER not in page.entries:
        return None
    content = tiff.content(page, tags.DESCRIPTION, _LIMIT)
    try:
        document: Any = json.loads((content or b"").rstrip(b"\0"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    said: Any = cast("dict[str, Any]", document).get(_KEY)
    if not isinstance(said, dict):
        return None
    known = cast("dict[str, Any]", said)
    values: Any = known.get("values")
    kept: dict[str, float | str] = {}
    if isinstance(values, dict):
        items = cast("dict[str, Any]", values).items()
        kept = {name: value for name, value in items if isinstance(value, int | float | str)}
    size = known.get("pixel_size_angstrom")
    pixel = float(size) if isinstance(size, int | float) and 0.001 < size < 1e6 else None
    return FormerHeader(pixel, kept, str(known.get("blake3", "")))
