"""Short kernels that move a picture by a part of a pixel, and what they do to each frequency, so that it can be undone."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

TAPS = 6  # taps at offsets -2 … 3 from the pixel below the wanted place
STEPS = 64  # a fraction of a pixel is rounded to 1/64: at most 0.008 px off, far below what the alignment knows
_PASS_BAND = 0.86  # of Nyquist: where the kernels are made right; beyond it `response` tells what is left


@lru_cache(maxsize=1)
def kernel_table() -> NDArray[np.float32]:
    """Return the kernels for the fractions 0, 1/STEPS … 1, shape (STEPS + 1, TAPS).

    Row f holds h with picture(y + f) ≈ sum_j h[j] picture(y + j - TAPS // 2 + 1): the least-squares fractional delay up to 0.86
    of Nyquist (Laakso et al., IEEE Signal Processing Magazine 1996, "Splitting the unit delay", eq. 30), its sum scaled to 1.
    """
    offsets = np.arange(TAPS) - (TAPS // 2 - 1)
    normal = _PASS_BAND * np.sinc(_PASS_BAND * (offsets[:, None] - offsets[None, :]))
    table = np.empty((STEPS + 1, TAPS))
    for row in range(STEPS + 1):
        taps = np.linalg.solve(normal, _PASS_BAND * np.sinc(_PASS_BAND * (offsets - row / STEPS)))
        table[row] = taps / taps.sum()
    return table.astype(np.float32)


def response(frequency: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Return what each kernel of the table does to a frequency (cycles per pixel) beside the shift itself: 1 is perfect.

    Shape (STEPS + 1, len(frequency)).
    """
    offsets = np.arange(TAPS) - (TAPS // 2 - 1)
    fractions = np.arange(STEPS + 1) / STEPS
    taps = np.exp(2j * np.pi * offsets[:, None] * frequency[None, :].astype(np.float64))
    shift = np.exp(-2j * np.pi * fractions[:, None] * frequency[None, :].astype(np.float64))
    return (shift * (kernel_table().astype(np.complex128) @ taps)).astype(np.complex64)


def mean_response(histogram: NDArray[np.float64], shape: tuple[int, int], bin_factor: int = 1) -> NDArray[np.complex64]:
    """Return the mean response over all shifts of a movie as a half transform (y, x // 2 + 1).

    histogram: (STEPS + 1, STEPS + 1), how often each pair of fractions (y, x) was used. bin_factor: the transform was cropped by
    this factor, to `shape`.
    """
    along_y, along_x = response_factors(histogram, shape, bin_factor)
    return along_y @ along_x


def response_factors(
    histogram: NDArray[np.float64], shape: tuple[int, int], bin_factor: int = 1
) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
    """Return factors (y, n) and (n, x // 2 + 1) whose product is mean_response, n small.

    What the kernels do to frequencies changes so smoothly with the fraction that a dozen combinations of the fractions'
    responses stand for all of them, within 1e-5.
    """
    weights = histogram / max(float(histogram.sum()), 1.0)
    along_y = response(np.fft.fftfreq(shape[0], bin_factor).astype(np.float32))
    along_x = response(np.fft.rfftfreq(shape[1], bin_factor).astype(np.float32))
    exact = along_x.astype(np.complex128)
    strengths, combinations = np.linalg.eigh(exact @ exact.conj().T)
    few = combinations[:, strengths > 1e-11 * strengths[-1]]  # along_x ≈ few @ few^H @ along_x
    left = (few.T @ weights.T.astype(np.complex128)).astype(np.complex64) @ along_y
    right = few.conj().T.astype(np.complex64) @ along_x
    return np.ascontiguousarray(left.T), right
