"""Arrays to arrays: the mathematics of the field. No path, no configuration, no database in here."""

from passerelle.imaging.contamination import contamination_mask, contamination_percent
from passerelle.imaging.correct import Sums, correct_movie
from passerelle.imaging.ctf_fit import CtfFit, CtfOptions, fit_ctf
from passerelle.imaging.ctf_model import Optics, ctf_1d, ctf_2d, ctf_phase
from passerelle.imaging.ctf_picture import spectrum_picture
from passerelle.imaging.defects import find_hot_pixels
from passerelle.imaging.dose import critical_dose, dose_weights
from passerelle.imaging.field import MotionField
from passerelle.imaging.fourier_ring import fourier_ring_correlation
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
from passerelle.imaging.ice import ice_ring_score
from passerelle.imaging.motion import MotionEstimate, MotionOptions, estimate_motion
from passerelle.imaging.motion_numbers import MotionSummary, summarise_motion
from passerelle.imaging.spectrum import Spectrum, measure_spectrum, power_spectrum

__all__ = [
    "ORIENTATIONS",
    "CtfFit",
    "CtfOptions",
    "FrameStatistics",
    "MotionEstimate",
    "MotionField",
    "MotionOptions",
    "MotionSummary",
    "Optics",
    "OrientationScore",
    "Spectrum",
    "Sums",
    "better_orientation",
    "contamination_mask",
    "contamination_percent",
    "correct_movie",
    "critical_dose",
    "ctf_1d",
    "ctf_2d",
    "ctf_phase",
    "dose_weights",
    "estimate_motion",
    "find_hot_pixels",
    "fit_ctf",
    "fourier_ring_correlation",
    "frame_statistics",
    "ice_ring_score",
    "measure_spectrum",
    "multiplier",
    "orient",
    "power_spectrum",
    "rank_orientations",
    "residual_gain",
    "spectrum_picture",
    "summarise_motion",
]
