"""Look at an image file of any instrument: what it is, what it says of itself, and the planes that a small picture is made from.

Readers of movies (`opening`) are strict, because what they yield is processed; these here show what a person has, whatever it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from numpy.typing import NDArray

from passerelle.core.errors import IncompleteFile, UnsupportedFile
from passerelle.formats.source import Source

# the superresolution frame of a K3 has 94 million pixels; sizes beyond this are a header's word
MOST_PIXELS = 1 << 27
# what a reader may take beside four times the file, because an honest file may be compressed a hundredfold
SPARE_BYTES = 64 << 20


class Drawing(StrEnum):
    """How planes become a picture."""

    SUM = "sum"  # of one exposure: they are added, grey between percentiles
    SLICES = "slices"  # through a volume: side by side, one grey scale for all
    CHANNELS = "channels"  # of light: the brightest over depth, each channel scaled by itself, in its colour
    DIFFRACTION = "diffraction"  # counts over orders of magnitude: their logarithm, dark on white
    COLOURS = "colours"  # (y, x, 3) bytes, as they are


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel of a light microscope. colour: red, green, blue, 0 … 255."""

    name: str
    colour: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Plane:
    """An image (y, x), row 0 at the top. channel: its number among those of the look."""

    pixels: NDArray[Any]
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """What a file shows. kind: in words. facts: by names that end in their unit (`pixel_size_angstrom`).

    planes: yields planes, the most telling ones first; whoever has had `least` of them may stop.
    """

    kind: str
    drawing: Drawing
    facts: Mapping[str, float | str]
    planes: Callable[[], Iterator[Plane]]
    least: int = 1
    channels: tuple[Channel, ...] = (Channel("", (255, 255, 255)),)


def look(source: Source) -> Look:
    """Look at an open file. Its name is believed only where its bytes say nothing.

    Raises:
        UnsupportedFile: no image of a kind that is shown. BadFile: corrupt. IncompleteFile: it may still be written.
    """
    if source.size == 0:
        raise IncompleteFile("is empty.", path=source.path)
    head = source.read(0, min(source.size, 4096))
    for matches, reader in _readers():
        if matches(head):
            return reader(source)
    if source.path.suffix.lower() in (".mrc", ".mrcs", ".map", ".st", ".rec", ".raw"):
        from passerelle.formats.look_movies import look_movie

        return look_movie(source)
    raise UnsupportedFile("is of a kind that is not shown as a picture.", path=source.path)


def require_pixels(source: Source, what: str, width: int, height: int, pixel_bytes: int = 1) -> None:
    """Pass if an image of this size may be decoded for a picture.

    Raises:
        UnsupportedFile: it is too large, in itself or for the file that claims it.
    """
    too_many = not (width > 0 and height > 0) or width * height > MOST_PIXELS
    if too_many or width * height * pixel_bytes > 4 * source.size + SPARE_BYTES:
        raise UnsupportedFile(f"is too large for a preview: {what} of {width:,} × {height:,} pixels.", path=source.path)


_Matches = Callable[[bytes], bool]


def _readers() -> Iterator[tuple[_Matches, Callable[[Source], Look]]]:
    # loaded where they are needed: each brings libraries
    from passerelle.formats.look_diffraction import is_diffraction, look_diffraction
    from passerelle.formats.look_hdf5 import is_hdf5, look_hdf5
    from passerelle.formats.look_mar345 import is_mar345, look_mar345
    from passerelle.formats.look_movies import look_movie
    from passerelle.formats.look_photo import is_photo, look_photo
    from passerelle.formats.look_tiff import look_tiff

    yield (lambda head: head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")), look_tiff
    yield (lambda head: head[208:211] == b"MAP" or head[:4] in (b"\0\0\0\3", b"\0\0\0\4")), look_movie
    yield is_photo, look_photo
    yield is_diffraction, look_diffraction
    yield is_hdf5, look_hdf5
    yield is_mar345, look_mar345
