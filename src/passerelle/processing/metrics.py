"""Every number by which a micrograph is judged: name, unit, meaning, default thresholds. One table for pages, CLI and STAR."""

from __future__ import annotations

from dataclasses import dataclass

from passerelle.processing.recipe import Threshold


@dataclass(frozen=True, slots=True)
class Metric:
    """A number of one micrograph. Values are stored in `unit`; pages show `value * scale` with `shown_unit`."""

    name: str
    label: str
    unit: str
    meaning: str
    digits: int = 1
    scale: float = 1.0
    shown_unit: str = ""
    threshold: Threshold | None = None


# Defaults that other systems ship (CTF 6 Å: RELION, MDCatch; defocus and astigmatism: Scipion; residual gain: Scipion).
METRICS: tuple[Metric, ...] = (
    Metric(
        "ctf_resolution_angstrom",
        "CTF fit resolution",
        "Å",
        "the finest spacing to which the fitted rings agree with the spectrum",
        2,
        threshold=Threshold(warn_max=6.0, reject_max=10.0),
    ),
    Metric(
        "defocus_angstrom",
        "Defocus",
        "Å",
        "mean of defocus U and V; positive is underfocus",
        2,
        1e-4,
        "µm",
        Threshold(warn_min=1000.0, warn_max=40000.0),
    ),
    Metric("astigmatism_angstrom", "Astigmatism", "Å", "defocus U minus defocus V", 0, threshold=Threshold(warn_max=2000.0)),
    Metric("astigmatism_angle_deg", "Astigmatism angle", "°", "direction of defocus U, counter-clockwise from x", 0),
    Metric("phase_shift_deg", "Phase shift", "°", "additional phase shift of a phase plate", 1),
    Metric(
        "ctf_score",
        "CTF score",
        "",
        "correlation of the fitted rings with the spectrum",
        3,
        threshold=Threshold(warn_min=0.05),
    ),
    Metric(
        "ice_ring_score",
        "Ice ring",
        "",
        "power of the ring at 3.7 Å above its surroundings, relative to them",
        2,
        threshold=Threshold(warn_max=0.5),
    ),
    Metric(
        "total_motion_angstrom",
        "Total motion",
        "Å",
        "sum of the steps of the global drift over all frames",
        1,
        threshold=Threshold(warn_max=100.0),
    ),
    Metric("early_motion_angstrom", "Early motion", "Å", "drift up to a dose of 4 e/Å²", 1),
    Metric("late_motion_angstrom", "Late motion", "Å", "drift after a dose of 4 e/Å²", 1),
    Metric("max_frame_motion_angstrom", "Largest step", "Å", "the largest drift between two frames", 1),
    Metric("local_motion_px", "Local motion", "px", "RMS of the local motion about the global drift", 2),
    Metric(
        "contamination_percent",
        "Contamination",
        "%",
        "share of the picture covered by ice crystals, carbon edge or other objects too dark or bright",
        0,
        threshold=Threshold(warn_max=10.0, reject_max=40.0),
    ),
    Metric("dose_e_per_angstrom2", "Dose", "e/Å²", "dose of the whole exposure on the specimen", 1),
    Metric("counts_per_pixel", "Counts", "e/px", "mean of the unweighted sum", 2),
    Metric(
        "residual_gain_sd",
        "Residual gain SD",
        "",
        "standard deviation of the mean frame after gain correction, relative to its mean, beyond shot noise",
        3,
        threshold=Threshold(warn_max=0.04),
    ),
    Metric(
        "residual_gain_ratio",
        "Residual gain ratio",
        "",
        "97.5th over 2.5th percentile of the smoothed mean frame",
        2,
        threshold=Threshold(warn_max=1.15),
    ),
    Metric("frames", "Frames", "", "frames summed", 0),
    Metric("pixel_size_angstrom", "Pixel", "Å", "size of a pixel of the micrograph on the specimen", 4),
    Metric("processing_seconds", "Processing time", "s", "wall time of all steps", 1),
)

BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}


def default_thresholds() -> dict[str, Threshold]:
    """Return the thresholds that are in force until a person sets others."""
    return {metric.name: metric.threshold for metric in METRICS if metric.threshold is not None}
