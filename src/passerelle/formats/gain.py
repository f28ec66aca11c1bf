"""Gain references: MRC, TIFF, DM3/DM4, and the `.gain` files of EER cameras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import BadFile, IncompleteFile
from passerelle.formats.opening import ensure_size, read_image
from passerelle.formats.source import Source
from passerelle.formats.tiff import TiffReader
from passerelle.formats.tiff_pages import TiffFile


def read_gain(path: Path, height: int | None = None, width: int | None = None) -> NDArray[np.float32]:
    """Read a gain reference as 32-bit floats (y, x), in the orientation in which a movie's frames are yielded.

    height, width: of the movie's frames, where the size is to be checked; a `.gain` of an EER camera is fitted to upsampled
    frames.

    Raises:
        BadFile: another size than the movie (both are named), no finite values, nothing but zeros.
        IncompleteFile, UnsupportedFile, NotFound: as `open_movie`.
    """
    if path.suffix.lower() == ".gain":
        gain = _read_eer_gain(path)
        if height is not None and width is not None:
            gain = _fit(gain, height, width)
    else:
        gain = read_image(path)
    if height is not None and width is not None:
        ensure_size(path, "gain reference", gain.shape, height, width)
    if not np.isfinite(gain).all():
        raise BadFile("is a gain reference with values that are no numbers (NaN or infinite).", path=path)
    if not gain.any():
        raise BadFile("is a gain reference of zeros only.", path=path)
    return gain


def _read_eer_gain(path: Path) -> NDArray[np.float32]:
    """A `.gain` is a TIFF file whose rows lie as those of the EER movie do: it is not turned over (RELION renderEER.h does the
    same).
    """
    source = Source(path)
    try:
        if source.size == 0:
            raise IncompleteFile("is empty.", advice="It may still be written.", path=path)
        tiff = TiffFile(source)
        reader = TiffReader(source, tiff, tiff.pages()[:1], upside_down=False)
        return reader.frame(0).astype(np.float32, copy=False)
    finally:
        source.close()


def _fit(gain: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Repeat or average pixels where frames are rendered at 2 or 4 times, or a half or quarter of the size of the gain."""
    for factor in (2, 4):
        if gain.shape[0] * factor == height and gain.shape[1] * factor == width:
            return gain.repeat(factor, axis=0).repeat(factor, axis=1)
        if gain.shape == (height * factor, width * factor):
            return gain.reshape(height, factor, width, factor).mean(axis=(1, 3), dtype=np.float32)
    return gain
