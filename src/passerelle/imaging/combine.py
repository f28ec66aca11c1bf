"""From weighted sums of shifted frames to micrographs: dose weights, and the interpolation's damping undone in Fourier space."""

# numpy, scipy and numba leave types unknown
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from passerelle.imaging import fft
from passerelle.imaging.dose import DoseFactors
from passerelle.imaging.interpolation import mean_response

Pictures = tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.float32] | None, NDArray[np.float32] | None]

CURVE_POINTS = 512  # of a dose curve: radial frequencies from 0 to the corner of the square, cycles per pixel
LEAST_RESPONSE = 0.15  # below this the interpolation left too little to divide by


def combine_sums(
    sums: NDArray[np.float32],
    histogram: NDArray[np.float64],
    shape: tuple[int, int],
    dose: DoseFactors | None,
    half_sums: bool,
    bin_factor: int,
    threads: int,
) -> Pictures:
    """Weight sums (s, y, x) by dose and undo the interpolation's damping; return pictures unweighted, weighted, even, odd.

    sums: of all frames, or of even and odd ones (half_sums), then one for each of dose.curves, beyond `shape` a margin; used up.
    histogram: how often each pair of fractions of a pixel was used, see mean_response. bin_factor: see correct_movie.
    """
    padded = (sums.shape[1], sums.shape[2])
    kept = (padded[0] // bin_factor, padded[1] // bin_factor)
    height, width = shape[0] // bin_factor, shape[1] // bin_factor

    def transform_last() -> NDArray[np.complex64]:
        """Transform the last sum and give its memory back: it is wanted for the spectra."""
        _pad(sums[-1], shape)
        spectrum = fft.cropped_rfft2(sums[-1], kept, threads)
        sums.resize((len(sums) - 1, *padded), refcheck=False)
        return spectrum

    def picture(spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
        return np.ascontiguousarray(fft.irfft2(spectrum, kept, threads)[:height, :width])

    radius = _radius_index(kept, bin_factor) if dose is not None else None
    weighted_spectrum: NDArray[np.complex64] | None = None
    if dose is not None and radius is not None:
        for curve in dose.curves[::-1]:
            part = transform_last()
            part *= curve[radius]
            weighted_spectrum = part if weighted_spectrum is None else np.add(weighted_spectrum, part, out=weighted_spectrum)
    restore = _restoration(histogram, kept, bin_factor)
    parts: list[NDArray[np.complex64]] = []
    while len(sums):
        part = transform_last()
        part *= restore
        parts.append(part)
    weighted: NDArray[np.float32] | None = None
    if dose is not None and radius is not None:
        if weighted_spectrum is None:
            weighted_spectrum = np.zeros_like(parts[0])
        weighted_spectrum *= restore
        for part in parts:
            weighted_spectrum += part * dose.mean_curve[radius]
        weighted = picture(weighted_spectrum)
    del restore, radius, weighted_spectrum
    even = picture(parts.pop())
    if not half_sums:
        return even, weighted, None, None
    odd = picture(parts.pop())
    return even + odd, weighted, even, odd


def _pad(picture: NDArray[np.float32], shape: tuple[int, int]) -> None:
    """Fill the margin beyond `shape` with a ramp between the edges that it joins, so that the transform sees no step."""
    height, width = shape
    more_y, more_x = picture.shape[0] - height, picture.shape[1] - width
    if more_x:
        ramp = (np.arange(1, more_x + 1, dtype=np.float32) / (more_x + 1))[None, :]
        picture[:height, width:] = picture[:height, width - 1 : width] * (1 - ramp) + picture[:height, :1] * ramp
    if more_y:
        ramp = (np.arange(1, more_y + 1, dtype=np.float32) / (more_y + 1))[:, None]
        picture[height:] = picture[height - 1 : height] * (1 - ramp) + picture[:1] * ramp


def _restoration(histogram: NDArray[np.float64], shape: tuple[int, int], bin_factor: int) -> NDArray[np.complex64]:
    damping = mean_response(histogram, shape, bin_factor)
    power = np.maximum(damping.real**2 + damping.imag**2, np.float32(LEAST_RESPONSE**2))
    return (np.conj(damping) / power).astype(np.complex64)


def _radius_index(shape: tuple[int, int], bin_factor: int) -> NDArray[np.int16]:
    """Return for each mode the point of the dose curves that is nearest to its radial frequency, in pixels of the movie."""
    ky, kx = fft.frequency_axes(shape)
    scale = (CURVE_POINTS - 1) / np.sqrt(0.5)
    radius = np.sqrt(ky[:, None] ** 2 + kx[None, :] ** 2)
    radius *= np.float32(scale / bin_factor)
    return np.rint(radius).astype(np.int16)
