"""The table of readers, and the doors through which everything else reads movies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import BadFile, BadInput, IncompleteFile, UnsupportedFile
from passerelle.formats.dm import DmReader
from passerelle.formats.eer import EER_COMPRESSIONS, EerOptions, EerReader
from passerelle.formats.frames import FrameStack
from passerelle.formats.movie import OpenMovie
from passerelle.formats.mrc import MrcReader
from passerelle.formats.raw import RawLayout, RawReader
from passerelle.formats.reader import MovieHeader, MovieReader
from passerelle.formats.source import Source
from passerelle.formats.tiff import TiffReader
from passerelle.formats.tiff_pages import TiffFile

MOVIE_SUFFIXES = frozenset({".mrc", ".mrcs", ".tif", ".tiff", ".eer", ".dm3", ".dm4", ".raw"})

_NO_OPTIONS = EerOptions()

# what else people put where a movie is expected; the advice names the way out
_OTHERS = {
    b"\x1f\x8b": "is compressed by gzip",
    b"BZh": "is compressed by bzip2",
    b"\xfd7zXZ": "is compressed by xz",
    b"\x28\xb5\x2f\xfd": "is compressed by zstd",
    b"PK\x03\x04": "is a zip archive",
    b"\x89HDF": "is an HDF5 file",
    b"\x89PNG": "is a PNG picture",
    b"\xff\xd8\xff": "is a JPEG picture",
    b"<?xml": "is XML, not a movie",
}


def _open_tiff(source: Source, eer: EerOptions) -> OpenMovie:
    # EER and its first page: camera programs may put a summed image before the events (TIA does)
    tiff = TiffFile(source)
    pages = tiff.pages()
    if any(page.compression in EER_COMPRESSIONS for page in pages[:2]):
        return EerReader(source, tiff, pages, eer)
    return TiffReader(source, tiff, pages)


_ByContent = Callable[[bytes], bool]
_Open = Callable[[Source, EerOptions], OpenMovie]

# first match by content wins: names lie more often than bytes do
_READERS: tuple[tuple[_ByContent, _Open], ...] = (
    (lambda head: head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _open_tiff),
    (lambda head: head[:4] in (b"\0\0\0\3", b"\0\0\0\4") and head[208:211] != b"MAP", lambda source, _: DmReader(source)),
    (lambda head: head[208:211] == b"MAP", lambda source, _: MrcReader(source)),
)
_BY_SUFFIX: dict[str, _Open] = {
    ".tif": _open_tiff,
    ".tiff": _open_tiff,
    ".eer": _open_tiff,
    ".gain": _open_tiff,
    ".dm3": lambda source, _: DmReader(source),
    ".dm4": lambda source, _: DmReader(source),
    ".mrc": lambda source, _: MrcReader(source),
    ".mrcs": lambda source, _: MrcReader(source),
    ".raw": lambda source, _: RawReader(source),
}


def open_movie(
    path: Path, *, frames: Sequence[Path] = (), eer: EerOptions = _NO_OPTIONS, raw: RawLayout | None = None
) -> MovieReader:
    """Open a movie for reading: a file, or single-frame files in order (`frames`; `path` then only names the movie).

    eer: how electron events become frames. raw: layout of headerless files, where the camera is not known by their size.

    Raises:
        NotFound, NotAllowed, StorageError: the file cannot be opened or read.
        IncompleteFile: it ends before its header says it should; try again when it has grown.
        UnsupportedFile: of a kind or variant that is not read.
        BadFile: corrupt, or not what its name says.
    """
    if frames:
        return FrameStack(frames, lambda path: _open(path, eer, raw))
    return _open(path, eer, raw)


def _open(path: Path, eer: EerOptions, raw: RawLayout | None) -> OpenMovie:
    source = Source(path)
    try:
        if raw is not None:
            return RawReader(source, raw)
        return _reader(source)(source, eer)
    except BaseException:
        source.close()
        raise


def open_source(source: Source, *, eer: EerOptions = _NO_OPTIONS) -> OpenMovie:
    """Open a movie of an open file, which the caller closes; errors as `open_movie`."""
    return _reader(source)(source, eer)


def _reader(source: Source) -> _Open:
    if source.size == 0:
        raise IncompleteFile("is empty.", advice="It may still be written; if not, copy it again.", path=source.path)
    head = source.read(0, min(source.size, 1024))
    suffix = source.path.suffix.lower()
    if suffix != ".raw":  # pixels without a header may look like anything
        for matches, opener in _READERS:
            if matches(head):
                return opener
        for magic, words in _OTHERS.items():
            if head.startswith(magic):
                raise UnsupportedFile(f"{words}.", advice="Unpack or convert it first.", path=source.path)
    opener = _BY_SUFFIX.get(suffix)
    if opener is None:
        raise UnsupportedFile(
            "is no movie that passerelle knows.", advice=f"It reads {', '.join(sorted(MOVIE_SUFFIXES))}.", path=source.path
        )
    return opener


def read_header(path: Path, *, eer: EerOptions = _NO_OPTIONS) -> MovieHeader:
    """Read what a movie file says of itself, without decoding a frame, and check that it is whole; errors as `open_movie`."""
    with open_movie(path, eer=eer) as reader:
        return reader.header


def load_stack(reader: MovieReader, first: int = 0, last: int | None = None, *, threads: int = 1) -> NDArray[Any]:
    """Decode frames `first` … `last` (inclusive; none: to the end) into one array (t, y, x) of the reader's dtype.

    threads: how many frames are read and decoded at a time; single-frame files come one after the other.

    Raises:
        BadInput: no such frames.
        BadFile: a frame is corrupt; its number is named.
    """
    header = reader.header
    end = header.frames if last is None else last + 1
    if not 0 <= first < end <= header.frames:
        raise BadInput(f"frames {first} … {end - 1} were asked for; there are frames 0 … {header.frames - 1}.", path=reader.path)
    # the first frame is decoded on its own: only then is the size of the stack more than a header's word
    frame = reader.frame(first)
    stack = np.empty((end - first, *frame.shape), frame.dtype)
    stack[0] = frame
    del frame

    def fill(index: int) -> None:
        if isinstance(reader, OpenMovie | FrameStack):
            reader.read_into(index, stack[index - first])
        else:
            stack[index - first] = reader.frame(index)

    rest = range(first + 1, end)
    if threads > 1 and isinstance(reader, OpenMovie):
        with ThreadPoolExecutor(threads, thread_name_prefix="formats") as pool:
            for _ in pool.map(fill, rest):
                pass
    else:
        for index in rest:
            fill(index)
    return stack


def read_image(path: Path) -> NDArray[np.float32]:
    """Read the only (or first) image of a file as 32-bit floats (y, x), in the orientation of MRC; errors as `open_movie`."""
    with open_movie(path) as reader:
        return reader.frame(0).astype(np.float32, copy=False)


def ensure_size(path: Path, what: str, found: tuple[int, ...], height: int, width: int) -> None:
    """Raise BadFile that names both sizes unless `found` is (height, width)."""
    if found != (height, width):
        raise BadFile(
            f"is a {what} of {found[1]} × {found[0]} pixels, but the movie has {width} × {height}.",
            advice=f"Choose the {what} of this camera and mode, or turn it by a quarter.",
            path=path,
        )
