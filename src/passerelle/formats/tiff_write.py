"""Write movies as LZW-compressed TIFF, without loss, and prove it by reading them back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence, Sized
from pathlib import Path
from typing import Any, BinaryIO, Literal

import imagecodecs
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from passerelle.core.atomic import atomic_write
from passerelle.core.errors import BadFile, BadInput, StorageError
from passerelle.formats import tiff_assemble as kinds
from passerelle.formats import tiff_pages as tags
from passerelle.formats.source import Source
from passerelle.formats.tiff import TiffReader
from passerelle.formats.tiff_assemble import Tag, TiffAssembly
from passerelle.formats.tiff_pages import TiffFile

_SAMPLE_FORMATS = {"uint8": 1, "uint16": 1, "int8": 2, "int16": 2, "float32": 3}
_STRIP_BYTES = 1 << 18  # larger strips compress no better, and smaller ones take more calls to decode
BIG_FROM = 5 << 29  # 2.5 GiB of pixels: LZW may make noise half as large again, and plain TIFF ends at 4 GiB
_ANGSTROM_PER_CENTIMETRE = 1e8
_CENTIMETRE, _BLACK_IS_ZERO = 3, 1

Method = Literal["lzw", "deflate"]
COMPRESSIONS: dict[Method, int] = {"lzw": 5, "deflate": 8}


def _deflate(rows: NDArray[Any]) -> bytes:
    # counts have little but their entropy to save: higher levels gain a tenth and take four times as long
    return bytes(imagecodecs.deflate_encode(rows.tobytes(), level=1))


def _lzw(rows: NDArray[Any]) -> bytes:
    from passerelle.formats.lzw_encode import encode_strip  # here: numba is heavy, and most commands write no movie

    return encode_strip(rows)


_ENCODERS: dict[Method, Callable[[NDArray[Any]], bytes]] = {"lzw": _lzw, "deflate": _deflate}


def write_tiff_movie(path: Path, frames: NDArray[Any] | Iterable[NDArray[Any]], pixel_size_angstrom: float) -> None:
    """Write frames (t, y, x), or an iterable of (y, x), in MRC orientation as an LZW-compressed TIFF movie.

    Every frame is read back from the file and compared with what was given before the file takes its name. One frame at a time is
    in memory. Pixels: uint8, int8, uint16, int16, float32.

    Raises:
        BadInput: no frames, unequal frames, or pixels of another type.
        OutOfSpace, StorageError: nothing of this name has changed; also where what was read back differs.
    """
    with atomic_write(path) as stream:
        digests: list[bytes] = []
        assembly: TiffAssembly | None = None
        shape: tuple[int, ...] | None = None
        for frame in frames:
            if frame.ndim != 2 or frame.dtype.name not in _SAMPLE_FORMATS or (shape is not None and frame.shape != shape):
                raise BadInput(f"a frame of {frame.shape} {frame.dtype} does not fit a movie of {shape}.", path=path)
            shape = frame.shape
            if assembly is None:
                count = len(frames) if isinstance(frames, Sized) else 1
                assembly = TiffAssembly(stream, big=count * frame.nbytes > BIG_FROM)
            digests.append(_digest(frame))
            add_frame(assembly, frame, pixel_size_angstrom)
        if shape is None:
            raise BadInput("a movie of no frames was to be written.", path=path)
        _verify(path, stream, digests)


def add_frame(
    assembly: TiffAssembly,
    frame: NDArray[Any],
    pixel_size_angstrom: float | None,
    *,
    method: Method = "lzw",
    more: Sequence[Tag] = (),
) -> None:
    """Append a frame (y, x) in MRC orientation as a page; `more`: tags that only this page has."""
    height, width = frame.shape
    turned = np.ascontiguousarray(frame[::-1], frame.dtype.newbyteorder("<"))  # row 0 of a TIFF file is the top
    rows = max(1, _STRIP_BYTES // (width * frame.dtype.itemsize))
    encode = _ENCODERS[method]
    strips = [encode(turned[start : start + rows]) for start in range(0, height, rows)]
    entries: list[Tag] = [
        (tags.WIDTH, kinds.LONG, [width]),
        (tags.HEIGHT, kinds.LONG, [height]),
        (tags.BITS, kinds.SHORT, [frame.dtype.itemsize * 8]),
        (tags.COMPRESSION, kinds.SHORT, [COMPRESSIONS[method]]),
        (tags.PHOTOMETRIC, kinds.SHORT, [_BLACK_IS_ZERO]),
        (tags.SAMPLES, kinds.SHORT, [1]),
        (tags.ROWS_PER_STRIP, kinds.LONG, [rows]),
        (tags.SOFTWARE, kinds.ASCII, b"passerelle\0"),
        (tags.SAMPLE_FORMAT, kinds.SHORT, [_SAMPLE_FORMATS[frame.dtype.name]]),
        *more,
    ]
    if pixel_size_angstrom is not None:
        per_centimetre = [round(_ANGSTROM_PER_CENTIMETRE / pixel_size_angstrom * 16), 16]
        entries += [
            (tags.X_RESOLUTION, kinds.RATIONAL, per_centimetre),
            (tags.Y_RESOLUTION, kinds.RATIONAL, per_centimetre),
            (tags.RESOLUTION_UNIT, kinds.SHORT, [_CENTIMETRE]),
        ]
    assembly.add_page(strips, entries)


def _digest(frame: NDArray[Any]) -> bytes:
    return blake3(np.ascontiguousarray(frame, frame.dtype.newbyteorder("=")).reshape(-1).view(np.uint8).data).digest()


def _verify(path: Path, stream: BinaryIO, digests: list[bytes]) -> None:
    """Read the movie back, from the disk where the system lets us, and compare every frame."""
    stream.flush()
    os.fsync(stream.fileno())
    os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    source = Source.of_descriptor(stream.fileno(), path)
    try:
        tiff = TiffFile(source)
        reader = TiffReader(source, tiff, tiff.pages())
        found = [_digest(frame) for frame in reader]
    except BadFile as error:
        raise StorageError(f"could not be read back after writing: {error.message}", path=path) from error
    finally:
        source.close()
    if found != digests:
        raise StorageError("differs from what was written when it is read back: the disk or memory is at fault.", path=path)
