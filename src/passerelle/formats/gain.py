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

    height, width: of the movie's frames, where the size is to be fitted and checked.

    Raises:
        BadFile: another size than the movie (both are named), no finite values, nothing but zeros.
        IncompleteFile, UnsupportedFile, NotFound: as `open_movie`.
    """
    gain = _read_eer_gain(path) if path.suffix.lower() == ".gain" else read_image(path)
    if height is not None and width is not None:
        gain = fit_gain(gain, height, width)
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


def fit_gain(gain: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Repeat or average pixels of a gain (y, x), as it is or a quarter turned, where frames have 2 or 4 times, or a half or
    quarter of its pixels a side.

    Frames in super resolution, and EER rendered at 8k, come with the gain of the camera's pixels as often as with one of their
    own size. Returned as it is where no factor fits.
    """
    for high, wide in ((height, width), (width, height)):
        for factor in (2, 4):
            if (gain.shape[0] * factor, gain.shape[1] * factor) == (high, wide):
                return gain.repeat(factor, axis=0).repeat(factor, axis=1)
            if gain.shape == (high * factor, wide * factor):
                return gain.reshape(high, factor, wide, factor).mean(axis=(1, 3), dtype=np.float32)
    return gain
