"""From weighted sums of shifted frames to micrographs: dose weights, and the interpolation's damping undone in Fourier space."""

# numpy, scipy and numba leave types unknown
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from passerelle.imaging import fft
from passerelle.imaging.bands import in_bands
from passerelle.imaging.dose import DoseFactors
from passerelle.imaging.interpolation import response_factors
from passerelle.imaging.kernels_combine import weigh_modes

Pictures = tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.float32] | None, NDArray[np.float32] | None]

CURVE_POINTS = 512  # of a dose curve: radial frequencies from 0 to the corner of the square, cycles per pixel
_ROWS, _COLUMNS = 64, 64  # worked on together
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
    """Weight sums (s, y, x + 2) by dose and undo the interpolation's damping; return pictures unweighted, weighted, even, odd.

    sums: of all frames, or of even and odd ones (half_sums), then one for each of dose.curves; beyond `shape` a margin, and two
    columns more, so that transforms fit in where the sums were; used up. histogram: how often each pair of fractions of a pixel
    was used, see mean_response. bin_factor: see correct_movie.

    Columns are transformed, weighted and transformed back a few at a time, in cache: nothing as large as a picture is passed
    through but for the transforms along rows.
    """
    padded = (sums.shape[1], sums.shape[2] - 2)
    kept = (padded[0] // bin_factor, padded[1] // bin_factor)
    plain = 2 if half_sums else 1
    count = plain + (dose is not None)
    spectra = sums.view(np.complex64)
    in_bands(lambda first, last: _rows_forward(sums, spectra, shape[1], first, last), shape[0], threads)
    _ramp(spectra, shape[0])
    results = spectra if len(spectra) >= count else np.empty((count, *spectra.shape[1:]), np.complex64)
    response_y, response_x = response_factors(histogram, kept, bin_factor)
    radius = radius_index(kept, bin_factor)
    curves = np.zeros((0, CURVE_POINTS), np.float32) if dose is None else np.concatenate([dose.mean_curve[None], dose.curves])

    def columns(first: int, last: int) -> None:
        for x in range(first, last, _COLUMNS):
            part = slice(x, min(x + _COLUMNS, last))
            block = fft.along(spectra[:, :, part], 1)
            if bin_factor > 1:
                block = np.concatenate([block[:, : kept[0] // 2], block[:, -(kept[0] // 2) :]], axis=1)
            out = np.empty((count, *block.shape[1:]), np.complex64)
            response = np.ascontiguousarray(np.matmul(response_y, response_x[:, part]))
            weigh_modes(_parts(block), _parts(response), radius[:, part], curves, plain, np.float32(LEAST_RESPONSE), _parts(out))
            results[:count, : kept[0], part] = fft.along(out, 1, back=True)

    in_bands(columns, kept[1] // 2 + 1, threads)
    height, width = shape[0] // bin_factor, shape[1] // bin_factor
    pictures = [np.empty((height, width), np.float32) for _ in range(count)]

    def rows_back(first: int, last: int) -> None:
        for which, picture in enumerate(pictures):
            for y in range(first, last, _ROWS):
                part = slice(y, min(y + _ROWS, last))
                picture[part] = fft.rows_back(results[which, part, : kept[1] // 2 + 1], kept[1])[:, :width]

    in_bands(rows_back, height, threads)
    weighted = None if dose is None else pictures[-1]
    if not half_sums:
        return pictures[0], weighted, None, None
    return pictures[0] + pictures[1], weighted, pictures[0], pictures[1]


def _parts(spectra: NDArray[np.complex64]) -> NDArray[np.float32]:
    """See complex numbers (…, x) as (…, 2 x): real, imaginary, real, …"""
    return spectra.view(np.float32)


def _rows_forward(sums: NDArray[np.float32], spectra: NDArray[np.complex64], width: int, first: int, last: int) -> None:
    """Transform rows first … last of each sum along x, in place. Their margin takes a ramp between the edges that it joins, so
    that the transform sees no step."""
    more = sums.shape[2] - 2 - width
    ramp = np.arange(1, more + 1, dtype=np.float32) / (more + 1)
    for picture, spectrum in zip(sums, spectra, strict=True):
        for y in range(first, last, _ROWS):
            rows = picture[y : min(y + _ROWS, last), :-2]
            rows[:, width:] = rows[:, width - 1 : width] * (1 - ramp) + rows[:, :1] * ramp
            spectrum[y : y + len(rows)] = fft.rows_forward(rows)


def _ramp(spectra: NDArray[np.complex64], height: int) -> None:
    """Fill the rows beyond `height` as the margin of columns is filled: what holds for pixels holds for rows transformed."""
    more = spectra.shape[1] - height
    ramp = (np.arange(1, more + 1, dtype=np.float32) / (more + 1))[:, None]
    spectra[:, height:] = spectra[:, height - 1 : height] * (1 - ramp) + spectra[:, :1] * ramp


def radius_index(shape: tuple[int, int], bin_factor: int) -> NDArray[np.int16]:
    """Return for each mode the point of the dose curves that is nearest to its radial frequency, in pixels of the movie."""
    ky, kx = fft.frequency_axes(shape)
    scale = (CURVE_POINTS - 1) / np.sqrt(0.5)
    radius = np.sqrt(ky[:, None] ** 2 + kx[None, :] ** 2)
    radius *= np.float32(scale / bin_factor)
    return np.rint(radius).astype(np.int16)
