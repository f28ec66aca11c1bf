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
from passerelle.imaging.combine import CURVE_POINTS
from passerelle.imaging.devices import kernels_for
from passerelle.imaging.dose import DoseFactors, dose_weights, factorise
from passerelle.imaging.field import MotionField
from passerelle.imaging.frames import require_shape
from passerelle.imaging.interpolation import STEPS
from passerelle.imaging.kernels import Held, Kernels, Shifts
from passerelle.imaging.kernels_shift import LARGEST_TILE

_TILE_ERROR_PX = 0.1


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
    frames: NDArray[Any] | Held,
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
    device: str | Kernels = "cpu",
) -> Sums:
    """Apply gain, defects and motion to raw frames (t, y, x) and sum them.

    gain: multipliers (y, x), 0 where there is none (taken as a defect). defects: True = to be replaced. field: the motion,
    estimated or true. dose_per_frame, pre_exposure: e/Å² on the specimen; without a dose there is no weighted sum. blank:
    frames to leave out (t,). bin_factor: the sums are cropped by this factor in Fourier space, to (y // factor, x // factor)
    (super resolution back to the camera's pixels: `--bin_factor` of RELION, `-FtBin` of MotionCor2). The interpolation's damping
    is undone in Fourier space by its exact mean response. device: see `kernels_for`; frames may be those that it holds.

    Raises:
        BadInput: frames, gain, defects and field do not fit each other.
    """
    kernels = kernels_for(device, threads)
    frames = kernels.hold(frames)
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
    tile = _tile_size(field)
    shifts = Shifts(tile, *_tile_shifts(field, tile))
    sums = kernels.accumulate(
        frames,
        gain=gain,
        defects=defects,
        shifts=shifts,
        factors=np.ascontiguousarray(columns, np.float32),
        padded=fft.fast_shape((height, width), bin_factor),
    )
    return Sums(*kernels.combine(sums, _fractions(shifts, columns), (height, width), factors, half_sums, bin_factor))


def _fractions(shifts: Shifts, columns: NDArray[np.float32]) -> NDArray[np.float64]:
    """Count how often each pair of fractions of a pixel is used, (STEPS + 1, STEPS + 1) along y and x."""
    pairs = shifts.fraction[0].astype(np.intp) * (STEPS + 1) + shifts.fraction[1]
    used = np.any(columns != 0, axis=1)
    histogram = np.bincount(pairs[used].ravel(), minlength=(STEPS + 1) ** 2).reshape(STEPS + 1, STEPS + 1)
    return histogram.astype(np.float64)


def _parity(count: int) -> NDArray[np.float32]:
    odd = (np.arange(count) % 2).astype(np.float32)
    return np.stack([1 - odd, odd], axis=1)


def _dose_factors(
    count: int, voltage_kv: float, dose: float | None, pre_exposure: float, pixel_size_angstrom: float
) -> DoseFactors | None:
    if dose is None or not dose > 0:
        return None
    # radial frequencies from 0 to the corner of the square, cycles per pixel
    frequency = np.linspace(0, np.sqrt(0.5), CURVE_POINTS) / pixel_size_angstrom
    return factorise(dose_weights(count, frequency, voltage_kv=voltage_kv, dose_per_frame=dose, pre_exposure=pre_exposure))


def _tile_size(field: MotionField) -> tuple[int, int]:
    """Choose tiles (rows, columns), that hold the motion constant within 0.1 px nearly everywhere."""
    sizes: list[int] = []
    for axis, length, largest, least in ((2, field.height, LARGEST_TILE[0], 8), (3, field.width, LARGEST_TILE[1], 32)):
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
