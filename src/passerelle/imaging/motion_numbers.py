"""Motion in words that people use: how far the specimen moved in all, early and late in the exposure."""

# numpy, scipy and numba leave types unknown
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passerelle.imaging.field import MotionField

EARLY_DOSE_E_PER_ANGSTROM2 = 4.0


@dataclass(frozen=True, slots=True)
class MotionSummary:
    """Lengths of the global track in angstrom: all steps, those up to a dose of 4 e/Å², those after; the longest step; and the
    RMS of the local motion about the global one, pixels."""

    total_angstrom: float
    early_angstrom: float
    late_angstrom: float
    largest_step_angstrom: float
    local_rms_px: float


def summarise_motion(
    field: MotionField, *, pixel_size_angstrom: float, dose_per_frame: float | None, pre_exposure: float = 0.0
) -> MotionSummary:
    """Sum the steps between frames of a motion field; doses in e/Å².

    A step belongs to the early part by the share of it that lies before 4 e/Å², frames taken at the middle of their dose.
    Without a dose the first quarter of the exposure counts as early.
    """
    steps = np.hypot(*np.diff(field.global_px, axis=0).T) * pixel_size_angstrom if field.frames > 1 else np.zeros(0)
    starts = np.arange(len(steps)) + 0.5
    if dose_per_frame is not None and dose_per_frame > 0:
        share = np.clip((EARLY_DOSE_E_PER_ANGSTROM2 - pre_exposure) / dose_per_frame - starts, 0, 1)
    else:
        share = np.clip(field.frames / 4 - starts, 0, 1)
    early = float(steps @ share)
    total = float(steps.sum())
    return MotionSummary(total, early, total - early, float(steps.max(initial=0.0)), _rms(field.local_px))


def _rms(local_px: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.sum(local_px.astype(np.float64) ** 2, axis=0)))) if local_px.size else 0.0
