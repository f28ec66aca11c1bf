"""Arrays to arrays: the mathematics of the field. No path, no configuration, no database in here."""

from passerelle.imaging.correct import Sums, correct_movie
from passerelle.imaging.defects import find_hot_pixels
from passerelle.imaging.dose import critical_dose, dose_weights
from passerelle.imaging.field import MotionField
from passerelle.imaging.frames import FrameStatistics, frame_statistics
from passerelle.imaging.gain import (
    ORIENTATIONS,
    OrientationScore,
    better_orientation,
    multiplier,
    orient,
    rank_orientations,
    residual_gain,
)
from passerelle.imaging.motion import MotionEstimate, MotionOptions, estimate_motion
from passerelle.imaging.motion_numbers import MotionSummary, summarise_motion

__all__ = [
    "ORIENTATIONS",
    "FrameStatistics",
    "MotionEstimate",
    "MotionField",
    "MotionOptions",
    "MotionSummary",
    "OrientationScore",
    "Sums",
    "better_orientation",
    "correct_movie",
    "critical_dose",
    "dose_weights",
    "estimate_motion",
    "find_hot_pixels",
    "frame_statistics",
    "multiplier",
    "orient",
    "rank_orientations",
    "residual_gain",
    "summarise_motion",
]
