"""From raw frames and their motion to corrected micrographs: every sum from one pass over the frames."""

# numpy, scipy and numba leave types unknown
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import BadInput
from passerelle.imaging import fft
from passerelle.imaging.bands import in_bands
from passerelle.imaging.defects import plan_repairs
from passerelle.imaging.dose import DoseFactors, dose_weights, factorise
from passerelle.imaging.field import MotionField
from passerelle.imaging.frames import native, require_frames, require_shape
from passerelle.imaging.interpolation import STEPS, kernel_table, mean_response
from passerelle.imaging.kernels_shift import shift_and_accumulate

_CURVE_POINTS = 512
_TILE_ERROR_PX = 0.1
_LEAST_RESPONSE = 0.15  # below this the interpolation left too little to divide by


@dataclass(frozen=True, slots=True)
class Sums:
    """Corrected micrographs, float32 (y, x), in counts of the whole exposure and of one of their pixels.

    unweighted: sum of all frames. weighted: with dose weights, its noise as strong as that of `unweighted`. even, odd: sums of
    frames 0, 2, 4 … and 1, 3, 5 …; unweighted = even + odd.
    """

    unweighted: NDArray[np.float32]
    weighted: NDArray[np.float32] | None = None
    even: NDArray[np.float32] | None = None
    odd: NDArray[np.float32] | None = None


def correct_movie(
    frames: NDArray[Any],
    *,
    gain: NDArray[np.float32] | None,
    defects: NDArray[np.bool_] | None,
    field: MotionField,
    pixel_size_angstrom: float,
    voltage_kv: float = 300.0,
    dose_per_frame: float | None = None,
    pre_exposure: float = 0.0,
    weighted: bool = True,
    half_sums: bool = True,
    blank: NDArray[np.bool_] | None = None,
    bin_factor: int = 1,
    threads: int = 1,
) -> Sums:
    """Apply gain, defects and motion to raw frames (t, y, x) and sum them.

    gain: multipliers (y, x), 0 where there is none (taken as a defect). defects: True = to be replaced. field: the motion,
    estimated or true. dose_per_frame, pre_exposure: e/Å² on the specimen; without a dose there is no weighted sum. blank:
    frames to leave out (t,). bin_factor: the sums are cropped by this factor in Fourier space, to (y // factor, x // factor)
    (super resolution back to the camera's pixels: `--bin_factor` of RELION, `-FtBin` of MotionCor2). The interpolation's damping
    is undone in Fourier space by its exact mean response.

    Raises:
        BadInput: frames, gain, defects and field do not fit each other.
    """
    require_frames(frames)
    require_shape(gain, frames, "gain")
    require_shape(defects, frames, "defect map")
    count, height, width = frames.shape
    if field.frames != count or (field.height, field.width) != (height, width):
        raise BadInput(
            f"The motion is for {field.frames} frames of {field.width} × {field.height} pixels, "
            f"the movie has {count} of {width} × {height}."
        )
    factors = _dose_factors(count, voltage_kv, dose_per_frame, pre_exposure, pixel_size_angstrom) if weighted else None
    columns = _parity(count) if half_sums else np.ones((count, 1), np.float32)
    if factors is not None:
        columns = np.concatenate([columns, factors.frame_factors], axis=1)
    if blank is not None:
        columns = np.where(blank[:, None], np.float32(0), columns)
    padded = fft.fast_shape((height, width), bin_factor)
    columns = np.ascontiguousarray(columns, np.float32)
    sums, histogram = _accumulate(native(frames), gain, defects, field, columns, padded, threads)
    return _finish(sums, histogram, (height, width), factors, half_sums, bin_factor, threads)


def _parity(count: int) -> NDArray[np.float32]:
    odd = (np.arange(count) % 2).astype(np.float32)
    return np.stack([1 - odd, odd], axis=1)


def _dose_factors(
    count: int, voltage_kv: float, dose: float | None, pre_exposure: float, pixel_size_angstrom: float
) -> DoseFactors | None:
    if dose is None or not dose > 0:
        return None
    # radial frequencies from 0 to the corner of the square, cycles per pixel
    frequency = np.linspace(0, np.sqrt(0.5), _CURVE_POINTS) / pixel_size_angstrom
    return factorise(dose_weights(count, frequency, voltage_kv=voltage_kv, dose_per_frame=dose, pre_exposure=pre_exposure))


def _accumulate(
    frames: NDArray[Any],
    gain: NDArray[np.float32] | None,
    defects: NDArray[np.bool_] | None,
    field: MotionField,
    factors: NDArray[np.float32],
    padded: tuple[int, int],
    threads: int,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    _count, height, width = frames.shape
    bad = defects
    if gain is not None:
        gain = np.ascontiguousarray(gain, np.float32)
        unusable = ~(np.isfinite(gain) & (gain > 0))
        if unusable.any():
            bad = unusable if bad is None else bad | unusable
    repairs = plan_repairs(bad, (height, width))
    tile = _tile_size(field)
    whole, fraction = _tile_shifts(field, tile)
    sums = np.zeros((factors.shape[1], *padded), np.float32)

    def band(first: int, last: int) -> None:
        shift_and_accumulate(
            frames,
            np.zeros((0, 0), np.float32) if gain is None else gain,
            repairs.rows,
            repairs.table,
            whole[0],
            whole[1],
            fraction[0],
            fraction[1],
            kernel_table(),
            factors,
            sums,
            tile,
            first,
            last,
        )

    in_bands(band, whole.shape[2], threads)
    pairs = fraction[0].astype(np.intp) * (STEPS + 1) + fraction[1]
    used = np.any(factors != 0, axis=1)
    histogram = np.bincount(pairs[used].ravel(), minlength=(STEPS + 1) ** 2).reshape(STEPS + 1, STEPS + 1)
    return sums, histogram.astype(np.float64)


def _tile_size(field: MotionField) -> tuple[int, int]:
    """Choose tiles (rows, columns), that hold the motion constant within 0.1 px nearly everywhere."""
    sizes: list[int] = []
    for axis, length, largest, least in ((2, field.height, 16, 8), (3, field.width, 256, 32)):
        steps = np.nan_to_num(np.abs(np.diff(field.local_px, axis=axis))).max(axis=0)
        slope = float(np.percentile(steps, 95)) * (field.local_px.shape[axis] - 1) / max(length - 1, 1) if steps.size else 0.0
        size = largest
        while size > least and slope * size / 2 > _TILE_ERROR_PX:
            size //= 2
        sizes.append(size)
    return sizes[0], sizes[1]


def _tile_shifts(field: MotionField, tile: tuple[int, int]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return whole pixels and steps of the kernel table, each (2, t, tiles y, tiles x), at the middle of each tile."""
    y = np.minimum(np.arange(0, field.height, tile[0]) + (tile[0] - 1) / 2, field.height - 1)
    x = np.minimum(np.arange(0, field.width, tile[1]) + (tile[1] - 1) / 2, field.width - 1)
    shifts = np.empty((2, field.frames, len(y), len(x)))
    for t in range(field.frames):
        shifts[0, t], shifts[1, t] = field.at(t, y[:, None], x[None, :])
    # a shift beyond three pictures means nothing; the bound keeps the whole pixels in range
    limit = 3.0 * max(field.height, field.width)
    steps = np.rint(np.clip(np.nan_to_num(shifts), -limit, limit) * STEPS).astype(np.int64)
    return (steps // STEPS).astype(np.int32), (steps % STEPS).astype(np.int32)


def _finish(
    sums: NDArray[np.float32],
    histogram: NDArray[np.float64],
    shape: tuple[int, int],
    factors: DoseFactors | None,
    half_sums: bool,
    bin_factor: int,
    threads: int,
) -> Sums:
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

    radius = _radius_index(kept, bin_factor) if factors is not None else None
    weighted_spectrum: NDArray[np.complex64] | None = None
    if factors is not None and radius is not None:
        for curve in factors.curves[::-1]:
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
    if factors is not None and radius is not None:
        if weighted_spectrum is None:
            weighted_spectrum = np.zeros_like(parts[0])
        weighted_spectrum *= restore
        for part in parts:
            weighted_spectrum += part * factors.mean_curve[radius]
        weighted = picture(weighted_spectrum)
    del restore, radius, weighted_spectrum
    even = picture(parts.pop())
    if not half_sums:
        return Sums(even, weighted)
    odd = picture(parts.pop())
    return Sums(even + odd, weighted, even, odd)


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
    power = np.maximum(damping.real**2 + damping.imag**2, np.float32(_LEAST_RESPONSE**2))
    return (np.conj(damping) / power).astype(np.complex64)


def _radius_index(shape: tuple[int, int], bin_factor: int) -> NDArray[np.int16]:
    """Return for each mode the point of the dose curves that is nearest to its radial frequency, in pixels of the movie."""
    ky, kx = fft.frequency_axes(shape)
    scale = (_CURVE_POINTS - 1) / np.sqrt(0.5)
    radius = np.sqrt(ky[:, None] ** 2 + kx[None, :] ** 2)
    radius *= np.float32(scale / bin_factor)
    return np.rint(radius).astype(np.int16)
