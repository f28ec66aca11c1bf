"""How the specimen moved during the exposure: from raw frames to a smooth motion field.

Told in order: look at the raw frames (blank frames, hot pixels) → gain, defects and binning in one pass → drift of the whole
picture: first guess from pairs of frames at low resolution, then refined → local motion: patches of the binned frames, all
fitted together by one model that is smooth in space and time, patches and frames that do not follow it losing their weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.imaging.defects import find_hot_pixels
from passerelle.imaging.devices import kernels_for
from passerelle.imaging.field import MotionField
from passerelle.imaging.frames import FrameStatistics, require_shape
from passerelle.imaging.kernels import Held, Kernels
from passerelle.imaging.motion_global import find_drift
from passerelle.imaging.motion_local import LocalMotion, find_local_motion, possible_patches
from passerelle.imaging.motion_pattern import pattern_strength
from passerelle.imaging.reduce import choose_binning


@dataclass(frozen=True, slots=True)
class MotionOptions:
    """How motion is looked for. patches: along y and x; (1, 1) finds the drift of the whole picture only. bfactor_angstrom2:
    correlations are weighted by exp(-B s² / 4). max_drift_px: the largest drift between two frames that is looked for.
    time_terms: splines over the exposure for local motion.
    hot_pixels: look for them first."""

    patches: tuple[int, int] = (5, 5)
    bfactor_angstrom2: float = 150.0
    max_drift_px: float = 60.0
    time_terms: int = 8
    hot_pixels: bool = True
    binning: int | None = None


@dataclass(frozen=True, slots=True)
class MotionEstimate:
    """What was found. Arrays over patches and frames are (n, t, …); pixels are those of the movie.

    field: the motion, to be used for correction. patch_centres_px (n, 2) as (y, x). patch_shifts_px (n, t, 2): measured, before
    smoothing, as (dy, dx), zero at the middle frame. patch_rejected (n,): patches without signal or against the others.
    shift_rejected (n, t): single measurements left out. blank (t,): frames without content, left out. frame_rejected (t,):
    frames whose drift was not found and is taken from their neighbours. residual_px: RMS of measured minus smooth motion over
    what was kept. hot_pixels (y, x): bad pixels found on the way, beyond the gain's and the given defects. clarity (t,): height
    of each frame's correlation peak in standard deviations.
    """

    field: MotionField
    patch_centres_px: NDArray[np.float64]
    patch_shifts_px: NDArray[np.float64]
    patch_rejected: NDArray[np.bool_]
    shift_rejected: NDArray[np.bool_]
    blank: NDArray[np.bool_]
    frame_rejected: NDArray[np.bool_]
    residual_px: float
    hot_pixels: NDArray[np.bool_]
    clarity: NDArray[np.float64]
    pattern_strength: float
    binning: int


def estimate_motion(
    frames: NDArray[Any] | Held,
    *,
    gain: NDArray[np.float32] | None,
    defects: NDArray[np.bool_] | None,
    pixel_size_angstrom: float,
    options: MotionOptions = MotionOptions(),
    statistics: FrameStatistics | None = None,
    threads: int = 1,
    device: str | Kernels = "cpu",
) -> MotionEstimate:
    """Estimate the motion in raw frames (t, y, x), native dtype.

    gain: multipliers (y, x), 0 where there is none. defects: (y, x), True = bad. statistics: of these frames, where the caller
    has them. device: see `kernels_for`; frames may be those that it holds.

    Raises:
        BadInput: frames, gain and defects do not fit each other.
    """
    kernels = kernels_for(device, threads)
    frames = kernels.hold(frames)
    require_shape(gain, frames, "gain")
    require_shape(defects, frames, "defect map")
    if statistics is None:
        statistics = kernels.statistics(frames)
    hot = statistics.not_finite
    if options.hot_pixels:
        hot = hot | find_hot_pixels(statistics.mean, noise_variance=statistics.noise_variance, gain=gain, defects=defects)
    bad = hot if defects is None else hot | defects
    size = (frames.shape[1], frames.shape[2])
    binning = options.binning or choose_binning(size, pixel_size_angstrom, options.bfactor_angstrom2)
    binned = kernels.reduce(frames, gain=gain, defects=bad, binning=binning)
    usable = ~statistics.blank
    pattern = pattern_strength(statistics, kernels.chess_board(statistics.mean, gain, bad), int(usable.sum()))
    drift = find_drift(
        binned,
        usable=usable,
        binning=binning,
        pixel_size_angstrom=pixel_size_angstrom,
        bfactor_angstrom2=options.bfactor_angstrom2,
        max_drift_px=options.max_drift_px,
        pattern=pattern,
        kernels=kernels,
        rough=possible_patches(options.patches, size) != (1, 1),
    )
    local: LocalMotion = find_local_motion(
        binned,
        drift.track_px,
        usable=usable & ~drift.rejected,
        size=size,
        binning=binning,
        pixel_size_angstrom=pixel_size_angstrom,
        bfactor_angstrom2=options.bfactor_angstrom2,
        patches=options.patches,
        time_count=options.time_terms,
        pattern=pattern,
        kernels=kernels,
    )
    return MotionEstimate(
        MotionField(local.global_px, local.local_px, size[0], size[1]),
        local.centres_px,
        local.shifts_px,
        local.patch_rejected,
        local.shift_rejected,
        statistics.blank,
        drift.rejected,
        local.residual_px,
        hot,
        drift.clarity,
        pattern,
        binning,
    )
