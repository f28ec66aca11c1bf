"""Turn a plan into exposures: the specimen, its motion and its electrons, and now and then a bad one. Pure: no disk, no clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.imaging.field import MotionField
from passerelle.simulation.bad_exposures import contaminate, empty_hole
from passerelle.simulation.detector import Detector
from passerelle.simulation.drift import per_frame, random_field
from passerelle.simulation.electrons import Events, deal, deal_events
from passerelle.simulation.phantom import Conditions, phantom
from passerelle.simulation.plan import InstrumentPlan
from passerelle.simulation.specimen import Specimen

_DTYPES: dict[str, tuple[type[np.unsignedinteger[Any]], int]] = {
    "uint8": (np.uint8, 255),
    "uint16": (np.uint16, 65535),
    "uint4": (np.uint8, 15),
}
_MRC_BYTE_CEILING = 127  # mode 0 is signed


def frame_type(plan: InstrumentPlan) -> tuple[np.dtype[Any], int]:
    """Return the number format of raw frames and the count at which they saturate."""
    kind, ceiling = _DTYPES[plan.depth]
    if plan.depth == "uint8" and plan.format == "mrc":
        ceiling = _MRC_BYTE_CEILING
    return np.dtype(kind), ceiling


@dataclass(frozen=True, slots=True)
class Recorded:
    """An exposure as the camera recorded it, and as it was. field: mean motion of each frame. electrons: the specimen at rest."""

    specimen: Specimen
    fault: str
    field: MotionField
    electrons: NDArray[np.uint16]
    frames: NDArray[Any] | Events


def fault_of(plan: InstrumentPlan, number: int) -> str:
    """Return what is wrong with exposure `number` on purpose, "" for a good one."""
    if plan.bad_every == 0 or not plan.faults or number % plan.bad_every != plan.bad_every - 1:
        return ""
    return plan.faults[number // plan.bad_every % len(plan.faults)]


def conditions_of(plan: InstrumentPlan, number: int, pixel_size_angstrom: float, dose_e_per_angstrom2: float) -> Conditions:
    """Return how exposure `number` of a computed specimen is looked at: defocus spread over the range, some astigmatism."""
    rng = np.random.default_rng([plan.seed, number, 7])
    mean = rng.uniform(plan.defocus_min_angstrom, plan.defocus_max_angstrom)
    half = rng.uniform(20, 250)
    return Conditions(
        pixel_size_angstrom=pixel_size_angstrom,
        dose_e_per_angstrom2=dose_e_per_angstrom2,
        defocus_u_angstrom=round(mean + half, 1),
        defocus_v_angstrom=round(mean - half, 1),
        defocus_angle_deg=round(rng.uniform(-90, 90), 2),
    )


def record(plan: InstrumentPlan, number: int, specimen: Specimen, detector: Detector) -> Recorded:
    """Expose a specimen as the plan asks for exposure `number`; the plan's seed and the number decide everything."""
    fault = fault_of(plan, number)
    rng = np.random.default_rng([plan.seed, number])
    height, width = specimen.picture.shape
    seeds = [int(s) for s in rng.integers(0, 2**62, 5)]
    specimen = _spoil(plan, number, specimen, fault, seeds[0])
    electrons = specimen.electrons(seeds[1])
    if fault == "ice":
        electrons = contaminate(electrons, specimen.pixel_size_angstrom, seed=seeds[2])
    drift = plan.drift_px * rng.uniform(0.3, 1.0)
    steps = plan.steps_per_frame
    if fault == "drift":  # a stage that had not come to rest: far, and blurred within each frame
        drift, steps = max(6 * plan.drift_px, 90.0), max(steps, 4)
    count = plan.frames * plan.eer_raw_per_frame if plan.format == "eer" else plan.frames
    field = random_field(
        count, height, width, global_px=drift, local_px=plan.local_motion_px, seed=seeds[3], steps_per_frame=steps
    )
    frames = _detect(plan, detector, electrons, field, steps, seeds[4])
    return Recorded(specimen, fault, per_frame(field, steps), electrons, frames)


def _detect(
    plan: InstrumentPlan, detector: Detector, electrons: NDArray[np.uint16], field: MotionField, steps: int, seed: int
) -> NDArray[Any] | Events:
    if plan.format == "eer":
        seen = detector.event_efficiency() if plan.gain_pattern else None
        return deal_events(electrons, field, seed=seed, steps_per_frame=steps, efficiency=seen)
    dtype, ceiling = frame_type(plan)
    efficiency = detector.efficiency() if plan.gain_pattern else None
    frames = deal(electrons, field, seed=seed, steps_per_frame=steps, efficiency=efficiency, dtype=dtype, ceiling=ceiling)
    detector.add_hot_pixels(frames, seed, ceiling)
    return frames


def _spoil(plan: InstrumentPlan, number: int, specimen: Specimen, fault: str, seed: int) -> Specimen:
    height, width = specimen.picture.shape
    if fault not in ("empty", "astigmatism"):
        return specimen
    conditions = conditions_of(plan, number, specimen.pixel_size_angstrom, specimen.dose_e_per_angstrom2)
    if fault == "empty":
        spoilt = empty_hole(height, width, conditions)
    else:
        strong = replace(conditions, defocus_u_angstrom=conditions.defocus_u_angstrom + 9000.0)
        spoilt = phantom(height, width, strong, seed=seed)
    return replace(spoilt, applied_defocus_angstrom=specimen.applied_defocus_angstrom)
