"""Look at TIFF files: of electron microscopes by our own reader; of light microscopes (OME-TIFF, ImageJ, tiles, colour, pyramids)
through tifffile; of diffraction detectors by what their header says."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from passerelle.core.errors import BadFile, UnsupportedFile
from passerelle.formats import tiff_pages as tags
from passerelle.formats.bounded import BoundedFile
from passerelle.formats.look import Drawing, Look, Plane, require_pixels
from passerelle.formats.look_detector import detector_facts, marccd_facts
from passerelle.formats.look_movies import look_movie, spread
from passerelle.formats.ome import Stack, imagej_stack, ome_stack, plain_stack
from passerelle.formats.opening import open_source
from passerelle.formats.source import Source
from passerelle.formats.tiff_pages import TiffFile

_ENOUGH_PX = 512  # of a pyramid, the smallest level that still has so many pixels is read
_MOST_DEPTHS = 48
_MOST_PAGES = 1 << 15
_DESCRIPTION_BYTES = 16 << 20
_MARCCD = b"MMX"
# what tifffile and the codecs raise on damaged files; they let through whatever numpy or struct think of it
_FAULTS = (
    tifffile.TiffFileError, OSError, EOFError, ValueError, TypeError, IndexError, KeyError, AttributeError, RuntimeError,
    NotImplementedError, ZeroDivisionError, OverflowError, AssertionError, struct.error, zlib.error,
)  # fmt: skip


def look_tiff(source: Source) -> Look:
    """Look at a TIFF file of any instrument.

    Raises:
        BadFile: corrupt. UnsupportedFile: too large, or compressed in a way that is not read. IncompleteFile: not whole.
    """
    description = _description(source)
    if source.size > 1028 + 16 and source.read(1028, 3) == _MARCCD:
        return _detector(source, "marCCD image", marccd_facts(source))
    if facts := detector_facts(description):
        return _detector(source, "detector image (TIFF)", facts)
    if not description.lstrip().startswith(("<?xml", "<OME")) and not description.startswith("ImageJ="):
        try:
            return look_movie(source)
        except UnsupportedFile:  # tiles, colours, other compressions
            pass
    return _light(source, description)


def _description(source: Source) -> str:
    """Return the first page's description, where an OME-TIFF holds its XML; empty where there is none."""
    try:
        tiff = TiffFile(source)
        page = tiff.first_entries()
    except BadFile:
        return ""
    entry = page.get(tags.DESCRIPTION)
    if entry is None or entry.kind != 2 or entry.count > _DESCRIPTION_BYTES or entry.at + entry.count > source.size:
        return ""
    return source.read(entry.at, entry.count).split(b"\0")[0].decode("utf-8", "replace")


def _detector(source: Source, kind: str, facts: dict[str, float | str]) -> Look:
    movie = open_source(source)
    header = movie.header
    require_pixels(source, "a frame", header.width, header.height)
    facts = {"width_px": header.width, "height_px": header.height} | facts
    return Look(kind, Drawing.DIFFRACTION, facts, lambda: (Plane(movie.frame(0)[::-1]) for _ in range(1)))


def _light(source: Source, description: str) -> Look:
    try:
        # only this file: what an OME-TIFF says of other files is not followed
        tiff = tifffile.TiffFile(BoundedFile.of(source), name=source.path.name, _multifile=False)
        first = tiff.pages[0]
        if not isinstance(first, tifffile.TiffPage):
            raise BadFile("holds no image.", path=source.path)
        stack = _stack(tiff, first, description)
        facts: dict[str, float | str] = {"width_px": int(first.imagewidth), "height_px": int(first.imagelength)}
        samples = int(first.samplesperpixel)
    except _FAULTS as error:
        raise BadFile(f"is no TIFF file that can be read: {error}.", path=source.path) from error
    facts |= {"pixels_are": str(first.dtype), "compression": str(getattr(first.compression, "name", first.compression)).lower()}
    facts |= stack.facts
    if samples > 1:
        return Look(f"{stack.kind}, colour", Drawing.COLOURS, facts, lambda: _colours(source, first))
    least = len(stack.channels)
    return Look(stack.kind, Drawing.CHANNELS, facts, lambda: _channels(source, tiff, stack), least=least, channels=stack.channels)


def _stack(tiff: tifffile.TiffFile, first: tifffile.TiffPage, description: str) -> Stack:
    if description.lstrip().startswith(("<?xml", "<OME")):
        found = ome_stack(description)
    elif description.startswith("ImageJ="):
        found = imagej_stack(description)
    else:
        found = None
    return found or plain_stack((tiff.is_svs and "slide") or "TIFF image")


def _channels(source: Source, tiff: tifffile.TiffFile, stack: Stack) -> Iterator[Plane]:
    """Yield planes of all channels: those of middle depth first, then those above and below."""
    for depth in spread(stack.depths, _MOST_DEPTHS):
        for channel in range(len(stack.channels)):
            try:
                page = tiff.pages[stack.page(channel, depth)]
            except _FAULTS:
                continue  # fewer pages than promised: an acquisition that was stopped
            if isinstance(page, tifffile.TiffFrame):
                page = page.aspage()
            yield Plane(_decoded(source, _level(page)), channel)


def _colours(source: Source, first: tifffile.TiffPage) -> Iterator[Plane]:
    pixels = _decoded(source, _level(first))
    if first.planarconfig == 2:  # a plane a colour
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.dtype != np.uint8:
        most = float(np.iinfo(pixels.dtype).max if pixels.dtype.kind in "ui" else max(float(np.nanmax(pixels)), 1e-30))
        pixels = np.clip(np.nan_to_num(pixels.astype(np.float32)) * (255 / most), 0, 255).astype(np.uint8)
    if pixels.ndim != 3 or pixels.shape[2] < 3:
        raise UnsupportedFile(f"has colours of a kind that is not shown ({pixels.shape}).", path=source.path)
    yield Plane(np.ascontiguousarray(pixels[:, :, :3]))


def _level(page: tifffile.TiffPage) -> tifffile.TiffPage:
    """Return the page, or that of its reduced copies (a pyramid) which is just large enough."""
    try:
        levels = [page, *(level for level in (page.pages or ()) if isinstance(level, tifffile.TiffPage))]
        enough = [level for level in levels if max(level.imagewidth, level.imagelength) >= _ENOUGH_PX]
        return min(enough, key=lambda level: level.imagewidth * level.imagelength) if enough else page
    except _FAULTS:  # reduced copies that make no sense are not needed
        return page


def _decoded(source: Source, page: tifffile.TiffPage) -> NDArray[Any]:
    try:
        dtype = page.dtype
        if dtype is None:
            raise UnsupportedFile("holds pixels of a kind that is not read.", path=source.path)
        sample_bytes = dtype.itemsize * max(1, page.samplesperpixel)
        require_pixels(source, "a plane", page.imagewidth, page.imagelength, sample_bytes)
        if page.is_tiled:
            require_pixels(source, "tiles", page.tilewidth, page.tilelength, sample_bytes)
        pixels = page.asarray(maxworkers=1)
    except _FAULTS as error:
        raise BadFile(f"is corrupt, or compressed in a way that is not read: {error}.", path=source.path) from error
    if pixels.dtype.kind == "c":
        raise UnsupportedFile("holds complex numbers.", path=source.path)
    if pixels.dtype.kind == "b":
        return pixels.astype(np.uint8)
    return pixels
