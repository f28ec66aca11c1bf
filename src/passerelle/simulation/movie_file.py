"""Write the frames of a movie in the formats of cameras."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.core.atomic import atomic_write
from passerelle.core.errors import BadInput
from passerelle.formats import write_mrc, write_mrc_stack, write_tiff_movie

_HEADER_BYTES = 1024
_MODE_FOUR_BIT = 101


def movie_writer(
    kind: str, frames: NDArray[Any], pixel_size_angstrom: float, *, four_bit: bool = False
) -> Callable[[Path], object]:
    """Return a function that writes frames (t, y, x) as `kind` ("mrc", "tiff") to the path that it is given.

    four_bit: MRC only: two pixels a byte, mode 101, as SerialEM packs counts up to 15.
    """
    if kind == "tiff":
        return lambda path: write_tiff_movie(path, frames, pixel_size_angstrom)
    if kind == "mrc" and four_bit:
        return lambda path: _write_four_bit(path, frames, pixel_size_angstrom)
    if kind == "mrc":
        if frames.dtype == np.uint8:  # mode 0 is signed: a Falcon's 8-bit frames never count beyond 127
            return lambda path: write_mrc_stack(path, frames.view(np.int8), pixel_size_angstrom, "int8")
        return lambda path: write_mrc_stack(path, frames, pixel_size_angstrom, "uint16")
    raise BadInput(f"a simulated camera cannot write `{kind}`; expected mrc or tiff.")


def image_writer(image: NDArray[Any], pixel_size_angstrom: float) -> Callable[[Path], object]:
    """Return a function that writes one picture (y, x) as MRC, 32-bit floats."""
    return lambda path: write_mrc(path, image, pixel_size_angstrom)


def _write_four_bit(path: Path, frames: NDArray[np.uint8], pixel_size_angstrom: float) -> None:
    """Pack the first pixel of a pair into the low half of its byte, as IMOD reads mode 101."""
    count, height, width = frames.shape
    header = bytearray(_HEADER_BYTES)
    struct.pack_into("<4i", header, 0, width, height, count, _MODE_FOUR_BIT)
    struct.pack_into("<3i", header, 28, width, height, count)
    struct.pack_into("<6f", header, 40, *(pixel_size_angstrom * n for n in (width, height, count)), 90, 90, 90)
    struct.pack_into("<3i", header, 64, 1, 2, 3)
    struct.pack_into("<3f", header, 76, 0, 15, float(frames[0].mean()))
    struct.pack_into("<i", header, 108, 20140)
    header[208:216] = b"MAP \x44\x44\x00\x00"
    with atomic_write(path) as stream:
        stream.write(header)
        for frame in frames:
            even = frame if width % 2 == 0 else np.pad(frame, ((0, 0), (0, 1)))
            stream.write(np.ascontiguousarray(even[:, ::2] | (even[:, 1::2] << 4)).data)
