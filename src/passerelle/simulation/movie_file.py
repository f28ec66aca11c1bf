"""Write the frames of a movie in the formats of cameras."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import mrcfile
import numpy as np
import tifffile
from numpy.typing import NDArray

from passerelle.core.errors import BadInput

MovieFormat = Literal["mrc", "tiff", "eer", "dm4"]


def movie_writer(kind: str, frames: NDArray[Any], pixel_size_angstrom: float) -> Callable[[Path], object]:
    """Return a function that writes frames (t, y, x) as `kind` to the path that it is given."""
    writers: dict[str, Callable[[Path, NDArray[Any], float], object]] = {"mrc": _mrc, "tiff": _tiff}
    if kind not in writers:
        raise BadInput(f"a simulated camera cannot write `{kind}`; expected one of {', '.join(writers)}.")
    return lambda path: writers[kind](path, frames, pixel_size_angstrom)


def image_writer(image: NDArray[Any], pixel_size_angstrom: float) -> Callable[[Path], object]:
    """Return a function that writes one picture (y, x) as MRC."""
    return lambda path: _mrc(path, image, pixel_size_angstrom)


def _mrc(path: Path, data: NDArray[Any], pixel_size_angstrom: float) -> None:
    # mode 0 is signed: a Falcon's 8-bit frames never count beyond 127
    values = data.view(np.int8) if data.dtype == np.uint8 else data
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(values)
        if values.ndim == 3:
            mrc.set_image_stack()
        mrc.voxel_size = (pixel_size_angstrom, pixel_size_angstrom, pixel_size_angstrom)


def _tiff(path: Path, frames: NDArray[Any], pixel_size_angstrom: float) -> None:
    with tifffile.TiffWriter(path) as tif:
        for frame in frames:
            tif.write(np.ascontiguousarray(frame[::-1]), compression="lzw", rowsperstrip=64, contiguous=False)
