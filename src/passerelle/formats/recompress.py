"""A raw MRC movie as a compressed TIFF that holds the same numbers, proven frame by frame.

MRC stores signed bytes and 4-bit pixels that few programs read from TIFF: bytes without a sign and 4-bit pixels become unsigned
bytes, bytes with a sign 16-bit integers; RELION (rwTIFF.h) and we read the same numbers from both. 16-bit integers and 32-bit
floats stay what they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from passerelle.core.atomic import atomic_write, sync_folder
from passerelle.core.errors import BadFile, Conflict, IncompleteFile, StorageError, UnsupportedFile, storage_errors
from passerelle.formats.mrc import MrcReader
from passerelle.formats.source import Source
from passerelle.formats.tiff import NIBBLE_PAGES, TiffReader
from passerelle.formats.tiff_assemble import TiffAssembly
from passerelle.formats.tiff_former import former_header, former_tags
from passerelle.formats.tiff_pages import TiffFile
from passerelle.formats.tiff_write import BIG_FROM, Method, add_frame

_KEPT = frozenset({"uint8", "int16", "uint16", "float32"})
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Recompressed:
    """The copy and what it saves. identity: (size, time of the last change in ns, inode) of the original that was proven."""

    target: Path
    original_bytes: int
    target_bytes: int
    identity: tuple[int, int, int]
    written: bool  # False: an earlier run had written it, and it was proven again


def target_of(path: Path) -> Path:
    """Return where the copy of a movie lies: beside it, under the same name with the suffix of TIFF."""
    return path.with_suffix(".tif")


def recompress_movie(
    path: Path, *, method: Method = "deflate", told: Callable[[int], None] = lambda frames: None
) -> Recompressed:
    """Write the frames of an MRC movie as TIFF beside it, read them back from the disk, and compare each with the original.

    The original is not touched. A copy that an earlier run has left is proven, not written again. told: frames done so far.

    Raises:
        UnsupportedFile: not an MRC movie of several frames, or pixels that TIFF readers do not take.
        Conflict: another file has the name of the copy.
        IncompleteFile: the original is not whole, or changed meanwhile.
        StorageError: what was read back differs; OutOfSpace: no room. Nothing has changed then.
    """
    target = target_of(path)
    source = Source(path)
    try:
        identity = _identity(path)
        head = source.read(0, min(source.size, 1024))
        if head[208:211] != b"MAP" or path.suffix.lower() not in {".mrc", ".mrcs"}:
            raise UnsupportedFile("is not an MRC movie.", path=path)
        movie = MrcReader(source)
        if movie.header.frames < 2:
            raise UnsupportedFile("holds a single image; movies are recompressed.", path=path)
        written = not target.exists()
        if written:
            digest, negative = _survey(source, movie)
            dtype = _dtype(movie, negative)
            with atomic_write(target, again=True) as stream:
                large = movie.header.frames * movie.header.height * movie.header.width * dtype.itemsize > BIG_FROM
                assembly = TiffAssembly(stream, big=large)
                tags = former_tags(movie.header, source.read(0, movie.data_offset), digest)
                for index in range(movie.header.frames):
                    frame = movie.frame(index).astype(dtype, copy=False)
                    add_frame(assembly, frame, movie.header.pixel_size_angstrom, method=method, more=tags if index == 0 else ())
                    told(index + 1)
                stream.flush()
                os.fsync(stream.fileno())
                _prove(movie, Source.of_descriptor(stream.fileno(), target))
                _same_still(path, identity)
        else:
            _lasting(target)
            _prove(movie, Source(target), foreign=True)
        _same_still(path, identity)
    finally:
        source.close()
    with storage_errors(target):
        size = target.stat().st_size
    return Recompressed(target, identity[0], size, identity, written)


def _survey(source: Source, movie: MrcReader) -> tuple[str, bool]:
    """Return the digest of the whole file, and whether a signed byte of it is negative."""
    hasher = blake3()
    for start in range(0, source.size, _BLOCK):
        hasher.update(source.read(start, min(_BLOCK, source.size - start)))
    negative = movie.header.dtype == np.int8 and any(frame.min() < 0 for frame in movie)
    return hasher.hexdigest(), negative


def _dtype(movie: MrcReader, negative: bool) -> np.dtype[Any]:
    kind = movie.header.dtype
    if kind == np.int8:
        kind = np.dtype(np.int16 if negative else np.uint8)
    if kind == np.uint8 and (movie.header.width, movie.header.height) in NIBBLE_PAGES:
        raise UnsupportedFile("has the size of packed 4-bit pages, as which readers would take its copy.", path=movie.path)
    if kind.name not in _KEPT:
        raise UnsupportedFile(f"holds pixels of {kind}, which few programs read from TIFF.", path=movie.path)
    return kind


def _lasting(target: Path) -> None:
    """Make a copy that an earlier run has named last through a power cut, too."""
    with storage_errors(target):
        descriptor = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(target.parent)


def _prove(movie: MrcReader, source: Source, *, foreign: bool = False) -> None:
    """Read a copy back, from the disk where the system lets us, and compare every frame with the original."""
    try:
        source.uncache()
        tiff = TiffFile(source)
        pages = tiff.pages()
        copy = TiffReader(source, tiff, pages)
        kept = former_header(tiff, pages[0])
        equal = kept is not None and kept.values == (movie.header.values or {}) and _equal(movie, copy)
    except BadFile as error:
        if foreign:
            raise _another(movie, source) from error
        raise StorageError(f"could not be read back after writing: {error.message}", path=source.path) from error
    finally:
        source.close()
    if not equal:
        if foreign:
            raise _another(movie, source)
        raise StorageError("differs from its original when it is read back: the disk or memory is at fault.", path=source.path)


def _equal(movie: MrcReader, copy: TiffReader) -> bool:
    one, other = movie.header, copy.header
    if (one.frames, one.height, one.width) != (other.frames, other.height, other.width):
        return False
    return all(_same_bits(movie.frame(index), copy.frame(index)) for index in range(one.frames))


def _same_bits(frame: NDArray[Any], copy: NDArray[Any]) -> bool:
    if frame.dtype.kind == "f":  # NaN differs from itself, and -0.0 equals 0.0
        frame, copy = frame.view(np.uint32), copy.view(np.uint32)
    return bool(np.array_equal(frame, copy))


def _another(movie: MrcReader, source: Source) -> Conflict:
    return Conflict(
        f"is there already, and is no copy of {movie.path.name}.", advice="Move one of the two away.", path=source.path
    )


def _identity(path: Path) -> tuple[int, int, int]:
    with storage_errors(path):
        status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _same_still(path: Path, identity: tuple[int, int, int]) -> None:
    if _identity(path) != identity:
        raise IncompleteFile("was changed while it was recompressed.", advice="It is taken up again when it is whole.", path=path)
