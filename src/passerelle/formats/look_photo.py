"""Look at pictures: PNG, JPEG, and what else browsers show."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from passerelle.core.errors import BadFile
from passerelle.formats.bounded import BoundedFile
from passerelle.formats.look import Drawing, Look, Plane, require_pixels
from passerelle.formats.source import Source

# what only Pillow's own programmers would miss is not opened: fewer decoders, fewer faults
_KINDS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")
_LONGEST_PX = 1024
_FAULTS = (OSError, ValueError, SyntaxError, struct.error, zlib.error, IndexError, KeyError, TypeError, OverflowError, EOFError)


def is_photo(head: bytes) -> bool:
    """Say whether a file begins as a picture does."""
    return head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM")) or (
        head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    )


def look_photo(source: Source) -> Look:
    """Look at a picture.

    Raises:
        BadFile: corrupt. UnsupportedFile: too large.
    """
    stream = BoundedFile.of(source)
    try:
        picture = Image.open(stream, formats=_KINDS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, *_FAULTS) as error:
        raise BadFile(f"is no picture that can be read: {error}.", path=source.path) from error
    width, height = picture.size
    require_pixels(source, "a picture", width, height, len(picture.getbands()))
    facts: dict[str, float | str] = {"width_px": width, "height_px": height}
    kind = picture.format or "picture"

    def planes() -> Iterator[Plane]:
        try:
            picture.draft("RGB", (_LONGEST_PX, _LONGEST_PX))  # JPEG is decoded at an eighth where that is enough
            with picture.convert("I") if picture.mode.startswith("I;16") else picture as opened:
                if opened.mode in ("I", "F"):
                    yield Plane(_eight_bits(np.asarray(opened, np.float32)))
                    return
                if opened.mode != "P":  # fewer pixels before there are four bytes of each
                    opened.thumbnail((_LONGEST_PX, _LONGEST_PX), Image.Resampling.BOX)
                # what is transparent is seen on white, as on paper
                layered = opened.convert("RGBA")
                white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
                yield Plane(np.asarray(Image.alpha_composite(white, layered).convert("RGB")))
        except _FAULTS as error:
            raise BadFile(f"is a picture that cannot be decoded: {error}.", path=source.path) from error

    return Look(kind, Drawing.COLOURS, facts, planes)


def _eight_bits(grey: np.ndarray) -> np.ndarray:
    low, high = float(grey.min()), float(grey.max())
    scaled = (grey - low) * (255 / (high - low)) if high > low else np.zeros_like(grey)
    return np.repeat(scaled.astype(np.uint8)[:, :, None], 3, axis=2)
