"""Write images and stacks as MRC2014, 32-bit or 16-bit floats."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from passerelle.core.atomic import atomic_write
from passerelle.core.errors import BadInput
from passerelle.formats.mrc_header import HEADER_BYTES

_MODES = {"float32": 2, "float16": 12, "int8": 0, "int16": 1, "uint16": 6}
_LABEL = b"Written by passerelle"
_VERSION, _VERSION_FLOAT16 = 20140, 20141  # MRC2014, and its revision that knows mode 12
_LARGEST_FLOAT16 = float(np.finfo(np.float16).max)

FloatName = Literal["float32", "float16"]


def write_mrc(path: Path, image: NDArray[Any], pixel_size_angstrom: float, dtype: FloatName = "float32") -> None:
    """Write one image (y, x) as an MRC file that appears under its name only when it is whole and on the disk.

    Raises:
        BadInput: not two-dimensional, or a value that 16 bits cannot hold.
        OutOfSpace, StorageError: nothing of this name has changed.
    """
    if image.ndim != 2:
        raise BadInput(f"an image has two dimensions; {image.shape} was to be written.", path=path)
    write_mrc_stack(path, [image], pixel_size_angstrom, dtype)


def write_mrc_stack(
    path: Path,
    images: NDArray[Any] | Iterable[NDArray[Any]],
    pixel_size_angstrom: float,
    dtype: Literal["float32", "float16", "int8", "int16", "uint16"] = "float32",
) -> None:
    """Write images (t, y, x), or an iterable of (y, x), as an MRC stack; one image at a time is held in memory.

    The integer types are for movies as cameras write them. Raises as `write_mrc` does.
    """
    kind = np.dtype(dtype).newbyteorder("<")
    with atomic_write(path) as stream:
        stream.write(bytes(HEADER_BYTES))
        statistics = _Statistics()
        shape: tuple[int, ...] | None = None
        for image in images:
            if image.ndim != 2 or (shape is not None and image.shape != shape):
                raise BadInput(f"images of one stack have one size; {image.shape} follows {shape}.", path=path)
            shape = image.shape
            stored = _stored(path, image, kind)
            statistics.add(image if stored.dtype.itemsize >= image.dtype.itemsize else stored.astype(image.dtype))
            stream.write(stored.data)
        if shape is None:
            raise BadInput("a stack of no images was to be written.", path=path)
        stream.seek(0)
        stream.write(_header(shape, statistics, pixel_size_angstrom, dtype))


def _stored(path: Path, image: NDArray[Any], kind: np.dtype[Any]) -> NDArray[Any]:
    """Return the image as its bytes stand in the file."""
    if kind == np.float16 and image.size and max(abs(float(image.min())), abs(float(image.max()))) > _LARGEST_FLOAT16:
        raise BadInput("holds values beyond ±65504, which 16-bit floats do not reach.", advice="Write float32.", path=path)
    if kind.kind in "iu" and not np.can_cast(image.dtype, kind, "safe"):
        raise BadInput(f"pixels of {image.dtype} do not fit {kind.name}.", path=path)
    return np.ascontiguousarray(image, kind)


class _Statistics:
    """Minimum, maximum, mean and standard deviation over images that come one at a time."""

    def __init__(self) -> None:
        self.count = 0
        self.minimum, self.maximum = np.inf, -np.inf
        self._sum = self._squares = 0.0

    def add(self, image: NDArray[Any]) -> None:
        self.count += 1
        self.minimum = min(self.minimum, float(image.min()))
        self.maximum = max(self.maximum, float(image.max()))
        with np.errstate(invalid="ignore"):  # infinite values are the caller's business
            mean = float(image.mean(dtype=np.float64))
            self._sum += mean
            self._squares += float(image.var(dtype=np.float64)) + mean**2

    @property
    def mean(self) -> float:
        return self._sum / self.count

    @property
    def rms(self) -> float:
        return max(self._squares / self.count - self.mean**2, 0.0) ** 0.5


def _header(shape: tuple[int, ...], statistics: _Statistics, pixel_size_angstrom: float, dtype: str) -> bytes:
    height, width = shape
    frames = statistics.count
    raw = bytearray(HEADER_BYTES)
    struct.pack_into("<4i", raw, 0, width, height, frames, _MODES[dtype])
    # stacks of images: space group 0, and a cell of one section (MRC2014, note 5 of the specification: mz = 1)
    struct.pack_into("<3i", raw, 28, width, height, 1)
    struct.pack_into("<6f", raw, 40, width * pixel_size_angstrom, height * pixel_size_angstrom, pixel_size_angstrom, 90, 90, 90)
    struct.pack_into("<3i", raw, 64, 1, 2, 3)
    struct.pack_into("<3f", raw, 76, statistics.minimum, statistics.maximum, statistics.mean)
    struct.pack_into("<i", raw, 108, _VERSION_FLOAT16 if dtype == "float16" else _VERSION)
    raw[208:212] = b"MAP "
    raw[212:216] = b"\x44\x44\x00\x00"
    struct.pack_into("<f", raw, 216, statistics.rms)
    struct.pack_into("<i", raw, 220, 1)
    raw[224 : 224 + 80] = _LABEL.ljust(80)
    return bytes(raw)
