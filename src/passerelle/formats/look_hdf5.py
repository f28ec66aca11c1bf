"""Look at HDF5 files of diffraction detectors (Eiger; NeXus): the first image of the stack.

The HDF5 library (h5py, which comes with `passerelle[diffraction]`) is asked only where the pixels lie; they are read and decoded
here. It is never given a path, and whatever an HDF5 file may keep elsewhere is refused before the library looks for it: links to
other files, datasets put together from those of others, pixels in files beside.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import BadFile, PasserelleError, UnsupportedFile
from passerelle.formats.bounded import FAULTS, BoundedFile
from passerelle.formats.hdf5_chunks import Filter, can_decode, decode_chunk
from passerelle.formats.look import SPARE_BYTES, Drawing, Look, Plane, require_pixels
from passerelle.formats.look_detector import nexus_facts
from passerelle.formats.source import Source

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# where the file writer of Dectris, and NeXus' NXdata and NXdetector, put images
_PLACES = ("entry/data/data", "entry/data/data_000001", "entry/instrument/detector/data", "entry/measurement/data")
_MOST_STEPS = 16  # on the way to a dataset, soft links included
_MOST_RANK = 6
_MOST_CHUNKS = 4096  # of one image
_ELSEWHERE = "keeps its images in other files, which are not opened: look at those ({})."


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A part of the image, at a row and column of it. offset: in the file, None where nothing was written."""

    row: int
    column: int
    offset: int | None
    stored: int
    steps: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class _Image:
    """Where the first image of a stack lies. of: the shape of a chunk, the leading axes as well."""

    shape: tuple[int, int]
    count: int
    dtype: np.dtype[Any]
    of: tuple[int, ...]
    chunks: tuple[_Chunk, ...]


def is_hdf5(head: bytes) -> bool:
    """Say whether a file is HDF5."""
    return head.startswith(_SIGNATURE)


def look_hdf5(source: Source) -> Look:
    """Look at the images of a detector.

    Raises:
        BadFile: corrupt. UnsupportedFile: too large, no images where detectors put them, images in other files, or h5py is not
            installed. IncompleteFile: it may still be written.
    """
    try:
        h5py: Any = importlib.import_module("h5py")
    except ImportError as error:
        raise UnsupportedFile(
            "is an HDF5 file; what reads it is not installed.", advice="Install passerelle[diffraction].", path=source.path
        ) from error
    try:
        with h5py.File(_Whole(source), "r") as file:
            image = _first_image(h5py, file.id, source)
            facts = nexus_facts(lambda place: _number(h5py, file.id, place, source))
    except FAULTS as error:
        raise BadFile(f"is no HDF5 file that can be read: {error}.", path=source.path) from error
    facts |= {"width_px": image.shape[1], "height_px": image.shape[0], "images": image.count}

    def planes() -> Iterator[Plane]:
        try:
            pixels = _read(source, image)
        except ValueError as error:
            raise BadFile(f"is corrupt: {error}.", path=source.path) from error
        if pixels.dtype.kind == "u":  # the greatest number of its kind: masked, dead, or counted too much
            pixels[pixels == np.iinfo(pixels.dtype).max] = 0
        yield Plane(pixels)

    return Look("HDF5 images of a detector", Drawing.DIFFRACTION, facts, planes)


def _first_image(h5py: Any, root: Any, source: Source) -> _Image:
    for place in _PLACES:
        found = _at(h5py, root, place, source)
        if isinstance(found, h5py.h5d.DatasetID):
            return _lies(h5py, found, source)
    raise UnsupportedFile("is an HDF5 file without images where detectors put them.", path=source.path)


def _at(h5py: Any, root: Any, place: str, source: Source) -> Any:
    """Return what lies at a place; None where nothing does. Each link is looked at before it is followed.

    Raises:
        UnsupportedFile: a link leads to another file. BadFile: links lead round in a circle.
    """
    top = here = h5py.h5g.open(root, b"/")
    left = place.encode().split(b"/")
    for _ in range(_MOST_STEPS):
        left = [name for name in left if name not in (b"", b".")]
        if not left:
            return here
        if not isinstance(here, h5py.h5g.GroupID) or not here.links.exists(left[0]):
            return None
        kind = here.links.get_info(left[0]).type
        if kind == h5py.h5l.TYPE_HARD:
            here = h5py.h5o.open(here, left.pop(0))
        elif kind == h5py.h5l.TYPE_SOFT:
            target = bytes(here.links.get_val(left.pop(0)))
            here = top if target.startswith(b"/") else here
            left = [*target.split(b"/"), *left]
        else:
            raise UnsupportedFile(_ELSEWHERE.format("a link to another file"), path=source.path)
    raise BadFile("has links that lead round in a circle.", path=source.path)


def _lies(h5py: Any, dataset: Any, source: Source) -> _Image:
    """Return where the first image of a dataset lies."""
    plan = dataset.get_create_plist()
    layout = plan.get_layout()
    # before anything else is asked: the library opens other files to say how large such a dataset is
    if layout == h5py.h5d.VIRTUAL:
        raise UnsupportedFile(_ELSEWHERE.format("a virtual dataset"), path=source.path)
    if plan.get_external_count():
        raise UnsupportedFile(_ELSEWHERE.format("external storage"), path=source.path)
    dtype, shape = _kind(h5py, dataset, source), tuple(int(each) for each in dataset.get_space().get_simple_extent_dims() or ())
    if not 2 <= len(shape) <= _MOST_RANK:
        raise UnsupportedFile(f"holds numbers of {len(shape)} dimensions where images should be.", path=source.path)
    count, size = math.prod(shape[:-2]), (shape[-2], shape[-1])
    if count == 0:
        raise BadFile("holds no image yet.", path=source.path)
    require_pixels(source, "an image", size[1], size[0], dtype.itemsize)
    if layout == h5py.h5d.CONTIGUOUS:
        whole = _Chunk(0, 0, dataset.get_offset(), math.prod(size) * dtype.itemsize, ())
        return _Image(size, count, dtype, size, (whole,))
    if layout != h5py.h5d.CHUNKED:
        raise UnsupportedFile("keeps its images in a way that is not shown.", path=source.path)
    of = tuple(int(each) for each in plan.get_chunk())
    steps = tuple(Filter(*plan.get_filter(index)[::2]) for index in range(plan.get_nfilters()))
    _require_chunks(source, size, dtype, of, steps)
    chunks: list[_Chunk] = []
    for row in range(0, size[0], of[-2]):
        for column in range(0, size[1], of[-1]):
            found = dataset.get_chunk_info_by_coord((0,) * (len(shape) - 2) + (row, column))
            used = tuple(step for index, step in enumerate(steps) if not found.filter_mask >> index & 1)
            chunks.append(_Chunk(row, column, found.byte_offset, int(found.size), used))
    return _Image(size, count, dtype, of, tuple(chunks))


def _kind(h5py: Any, dataset: Any, source: Source) -> np.dtype[Any]:
    kind = dataset.get_type()
    if kind.get_class() in (h5py.h5t.INTEGER, h5py.h5t.FLOAT) and kind.get_size() <= 8:
        dtype = np.dtype(kind.dtype)
        if dtype.kind in "uif" and dtype.itemsize == kind.get_size():
            return dtype
    raise UnsupportedFile("holds something else than numbers where images should be.", path=source.path)


def _require_chunks(
    source: Source, size: tuple[int, int], dtype: np.dtype[Any], of: tuple[int, ...], steps: Sequence[Filter]
) -> None:
    if not can_decode(steps):
        unknown = ", ".join(str(step.number) for step in steps if not can_decode([step]))
        raise UnsupportedFile(f"is compressed in a way that is not read: HDF5 filter {unknown}.", path=source.path)
    chunk_bytes = math.prod(of) * dtype.itemsize
    many = -(-size[0] // max(of[-2], 1)) * -(-size[1] // max(of[-1], 1))
    if chunk_bytes < 1 or chunk_bytes > 4 * source.size + SPARE_BYTES or many > _MOST_CHUNKS:
        raise UnsupportedFile(
            f"is too large for a preview: an image of {many:,} chunks of {chunk_bytes:,} bytes.", path=source.path
        )


def _read(source: Source, image: _Image) -> NDArray[Any]:
    """Read the first image and decode it.

    Raises:
        ValueError: a chunk is corrupt. IncompleteFile: the file ends before one.
    """
    pixels = np.zeros(image.shape, image.dtype.newbyteorder("="))
    for chunk in image.chunks:
        if chunk.offset is None:
            continue
        content = source.read(chunk.offset, chunk.stored)
        if image.of != image.shape or chunk.steps:
            content = decode_chunk(content, chunk.steps, math.prod(image.of) * image.dtype.itemsize)
        part = np.frombuffer(content, image.dtype).reshape(-1, *image.of[-2:])[0]
        target = pixels[chunk.row : chunk.row + image.of[-2], chunk.column : chunk.column + image.of[-1]]
        target[...] = part[: target.shape[0], : target.shape[1]]
    return pixels


def _number(h5py: Any, root: Any, place: str, source: Source) -> float | None:
    """Return a single number of the file; None where there is none that lies in the file itself."""
    try:
        found = _at(h5py, root, place, source)
        if not isinstance(found, h5py.h5d.DatasetID):
            return None
        plan = found.get_create_plist()
        if plan.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT) or plan.get_external_count():
            return None
        dtype = _kind(h5py, found, source)
        if math.prod(found.get_space().get_simple_extent_dims() or ()) != 1:
            return None
        value = np.zeros(found.get_space().get_simple_extent_dims(), dtype)
        found.read(h5py.h5s.ALL, h5py.h5s.ALL, value)
        return float(value.reshape(-1)[0])
    except (PasserelleError, *FAULTS):  # what is said beside an image may be damaged, too
        return None


class _Whole(BoundedFile):
    """The HDF5 library takes what it asked for, whether it was read or not."""

    def readinto(self, buffer: Any, /) -> int:
        count = super().readinto(buffer)
        if count < memoryview(buffer).nbytes:
            raise OSError("the file ends before what it promises")
        return count
