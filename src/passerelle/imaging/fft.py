"""Conventions of the Fourier transforms of this room, in one place.

A picture is (y, x), its half transform (y, x // 2 + 1) as `scipy.fft.rfft2` gives it, not normalised forward, 1/n backward.
Frequencies are in cycles per pixel, zero frequency at [0, 0]. A picture displaced by d, p(y - d), has the transform P(k) exp(-2
pi i k d).
"""

# numpy, scipy and numba leave types unknown
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Shape = tuple[int, int]


def fast_length(n: int) -> int:
    """Return the smallest even length ≥ n whose transform is fast."""
    length = max(int(n), 1)
    while True:
        length = int(scipy.fft.next_fast_len(length, real=True) or length)
        if length % 2 == 0:
            return length
        length += 1


def fast_shape(shape: Shape, multiple: int = 1) -> Shape:
    """Return fast lengths ≥ both sides of a picture (y, x), `multiple` times a fast length each: such a transform can be cropped
    by `multiple`."""
    return multiple * fast_length(-(-shape[0] // multiple)), multiple * fast_length(-(-shape[1] // multiple))


def frequency_axes(shape: Shape) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the frequencies of a half transform of a picture `shape`: along y with sign (y,), along x ≥ 0 (x // 2 + 1,)."""
    return np.fft.fftfreq(shape[0]).astype(np.float32), np.fft.rfftfreq(shape[1]).astype(np.float32)


def rfft2(pictures: NDArray[Any], workers: int = 1) -> NDArray[np.complex64]:
    """Transform float32 pictures (…, y, x) to half transforms complex64 (…, y, x // 2 + 1)."""
    return np.asarray(scipy.fft.rfft2(np.asarray(pictures, np.float32), workers=workers), np.complex64)


def rows_forward(rows: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Transform rows (y, x) along x: (y, x // 2 + 1)."""
    return np.asarray(scipy.fft.rfft(rows, axis=1), np.complex64)


def rows_back(rows: NDArray[np.complex64], length: int) -> NDArray[np.float32]:
    """Transform half transforms (y, x // 2 + 1) back along x: (y, length)."""
    return np.asarray(scipy.fft.irfft(rows, n=length, axis=1), np.float32)


def along(spectra: NDArray[np.complex64], axis: int, *, back: bool = False) -> NDArray[np.complex64]:
    """Transform spectra along one axis, or back; the result is contiguous."""
    transform = scipy.fft.ifft if back else scipy.fft.fft
    return np.asarray(transform(np.ascontiguousarray(spectra), axis=axis, overwrite_x=True), np.complex64)


def irfft2(spectra: NDArray[np.complex64], shape: Shape, workers: int = 1) -> NDArray[np.float32]:
    """Transform half transforms (…, y, x // 2 + 1) back to float32 pictures of `shape`; `spectra` may be overwritten."""
    return np.asarray(scipy.fft.irfft2(spectra, s=shape, workers=workers, overwrite_x=True), np.float32)
