"""Look at what electron microscopes write: movies, micrographs, maps, in MRC, TIFF, EER, DM and raw files."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from passerelle.formats.look import Drawing, Look, Plane, require_pixels
from passerelle.formats.movie import OpenMovie
from passerelle.formats.mrc import MrcReader
from passerelle.formats.opening import open_source
from passerelle.formats.reader import MovieHeader
from passerelle.formats.source import Source

_MOST_FRAMES = 16
_MAP_BYTES = 192 << 20  # of a map's sections at most so much is read
_VOLUME = 1  # ISPG of a volume; 0 is a stack of images (MRC2014)
_UNSHOWN = {"program"}


def look_movie(source: Source) -> Look:
    """Look at an image, movie or map of an electron microscope; errors as `open_movie`."""
    movie = open_source(source)
    header = movie.header
    require_pixels(source, "frames", header.width, header.height)
    facts = facts_of(header)
    if isinstance(movie, MrcReader) and header.frames > 1 and _is_map(source, header):
        facts["sections"] = facts.pop("frames")
        return Look("MRC map", Drawing.SLICES, facts, lambda: _slices(movie), least=4)
    kind = f"{header.format} {'movie' if header.frames > 1 else 'image'}"
    return Look(kind, Drawing.SUM, facts, lambda: _frames(movie))


def facts_of(header: MovieHeader) -> dict[str, float | str]:
    """Return what a header says, by the names of `acquisition.metadata.Metadata`."""
    facts: dict[str, float | str] = {"width_px": header.width, "height_px": header.height}
    if header.frames > 1:
        facts["frames"] = header.frames
    facts["pixels_are"] = f"{header.dtype}"
    if header.pixel_size_angstrom is not None:
        facts["pixel_size_angstrom"] = header.pixel_size_angstrom
    return facts | {name: value for name, value in (header.values or {}).items() if name not in _UNSHOWN}


def spread(count: int, most: int) -> list[int]:
    """Return up to `most` of the numbers 0 … count - 1, evenly spread, the middle one first."""
    step = max(1, -(-count // most))
    chosen = list(range((count // 2) % step, count, step))
    return sorted(chosen, key=lambda index: abs(index - count // 2))


def _frames(movie: OpenMovie) -> Iterator[Plane]:
    for index in spread(movie.header.frames, _MOST_FRAMES):
        yield Plane(_top_first(movie.frame(index)))


def _is_map(source: Source, header: MovieHeader) -> bool:
    if source.path.suffix.lower() == ".mrcs":
        return False
    stamp = source.read(212, 1)
    (group,) = struct.unpack((">" if stamp == b"\x11" else "<") + "i", source.read(88, 4))
    # maps of old programs say 0, and are cubes
    return group == _VOLUME or (header.frames == header.height == header.width)


def _slices(movie: MrcReader) -> Iterator[Plane]:
    """Yield the middle sections across z, y and x, and the sum along z; rows of the last two run down z."""
    header = movie.header
    frame_bytes = header.height * header.width * header.dtype.itemsize
    sections = spread(header.frames, max(1, min(512, _MAP_BYTES // frame_bytes)))
    total = np.zeros((header.height, header.width), np.float32)
    across_y: dict[int, NDArray[np.float32]] = {}
    across_x: dict[int, NDArray[np.float32]] = {}
    middle = None
    for index in sections:
        section = movie.frame(index).astype(np.float32, copy=False)
        middle = section if middle is None else middle
        total += section
        across_y[index] = section[header.height // 2].copy()
        across_x[index] = section[:, header.width // 2].copy()
    assert middle is not None
    yield Plane(_top_first(middle))
    for across in (across_y, across_x):
        yield Plane(_top_first(np.stack([across[index] for index in sorted(across)])))
    yield Plane(_top_first(total / len(sections)))


def _top_first(image: NDArray[np.generic]) -> NDArray[np.generic]:
    return image[::-1]
