"""The stages that make micrographs of frames: motion, and the corrected sums."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.formats import write_mrc
from passerelle.imaging.correct import correct_movie
from passerelle.imaging.field import MotionField
from passerelle.imaging.motion import MotionOptions, estimate_motion
from passerelle.imaging.motion_numbers import summarise_motion
from passerelle.processing.pictures import local_tracks
from passerelle.processing.step import Result, rounded
from passerelle.processing.steps_programs import correct_by_program, program_identity, sums_by_program
from passerelle.processing.steps_raw import unusable_pixels
from passerelle.processing.workspace import Workspace


def motion_depends(work: Workspace) -> dict[str, Any]:
    """Name the parameters of the alignment; a program makes its sums in the same run."""
    recipe = work.task.recipe.motion
    depends = {"recipe": recipe.model_dump(exclude={"bin_factor", "program"})}
    if recipe.program != "passerelle":
        depends |= {"sums": sums_depends(work), **program_identity(work, recipe.program)}
    return depends


def run_motion(work: Workspace) -> Result:
    """Find how the specimen moved."""
    recipe = work.task.recipe.motion
    if recipe.program != "passerelle":
        return _run_motion_by_program(work)
    bad, _ = unusable_pixels(work)
    options = MotionOptions(
        patches=(recipe.patches_y, recipe.patches_x),
        bfactor_angstrom2=recipe.bfactor_angstrom2,
        max_drift_px=recipe.max_drift_px * work.super_resolution,
        hot_pixels=False,  # the gain step has found them
    )
    estimate = estimate_motion(
        work.held,
        gain=work.gain,
        defects=bad,
        pixel_size_angstrom=work.pixel_size_angstrom,
        options=options,
        statistics=work.statistics,
        device=work.kernels,
    )
    result = _recorded(work, estimate.field, estimate.patch_centres_px, int(estimate.frame_rejected.sum()))
    result.device = work.task.device
    result.values |= {
        "motion_residual_px": math.nan if estimate.frame_rejected.all() else estimate.residual_px,
        "patches_rejected": int(estimate.patch_rejected.sum()),
    }
    return result


def _run_motion_by_program(work: Workspace) -> Result:
    recipe = work.task.recipe.motion
    found = correct_by_program(work, recipe.program)
    field = found.field
    y, x = (np.arange(n) + 0.5 for n in (recipe.patches_y, recipe.patches_x))
    centres = np.stack(np.meshgrid(y * field.height / recipe.patches_y, x * field.width / recipe.patches_x, indexing="ij"), -1)
    result = _recorded(work, field, centres.reshape(-1, 2), found.interpolated, stands_at=found.stands_at)
    result.outputs |= found.pictures
    result.values["program"] = found.program
    return result


def _recorded(
    work: Workspace, motion: MotionField, centres_px: NDArray[np.float64], lost: int, *, stands_at: int | None = None
) -> Result:
    """Write a motion and its curves, summed up in numbers.

    centres_px (n, 2): where local tracks are shown. lost: frames whose drift is their neighbours'. stands_at: the frame as in
    which the specimen stands in the micrographs; the middle one, where the field is zero, if left out.
    """
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        global_px=motion.global_px,
        local_px=motion.local_px,
        size=np.array([motion.height, motion.width]),
        stands_at=motion.frames // 2 if stands_at is None else stands_at,
    )
    summary = summarise_motion(
        motion,
        pixel_size_angstrom=work.pixel_size_angstrom,
        dose_per_frame=work.dose_per_frame,
        pre_exposure=work.pre_exposure,
    )
    result = Result(
        {
            "total_motion_angstrom": summary.total_angstrom,
            "early_motion_angstrom": summary.early_angstrom,
            "late_motion_angstrom": summary.late_angstrom,
            "max_frame_motion_angstrom": summary.largest_step_angstrom,
            "local_motion_px": summary.local_rms_px,
            "frames_rejected": lost,
        }
    )
    if lost == motion.frames:
        # zeros would read as a specimen that stood still: what was not measured is no number
        result.values |= dict.fromkeys((name for name in result.values if "motion" in name), math.nan)
        result.warnings.append("The drift could not be measured: too little signal. The frames were summed as they are.")
    elif lost:
        result.warnings.append(f"The drift of {lost} of {motion.frames} frames could not be measured and is their neighbours'.")
    result.outputs["motion"] = work.records.write("motion.npz", stream.getvalue())
    local = local_tracks(motion, centres_px)
    curves = {
        "drift": {
            "frame": list(range(1, motion.frames + 1)),
            "dy_angstrom": rounded(motion.global_px[:, 0] * work.pixel_size_angstrom),
            "dx_angstrom": rounded(motion.global_px[:, 1] * work.pixel_size_angstrom),
        },
        "local": {
            "height": motion.height,
            "width": motion.width,
            "y": rounded(centres_px[:, 0]),
            "x": rounded(centres_px[:, 1]),
            "dy_px": [rounded(track[:, 0]) for track in local],
            "dx_px": [rounded(track[:, 1]) for track in local],
        },
    }
    result.outputs["motion_curves"] = work.records.write("motion.json", json.dumps(curves).encode())
    work.__dict__["field"] = motion
    return result


def sums_depends(work: Workspace) -> dict[str, Any]:
    """Name the parameters of dose weighting, size and output."""
    return {
        "recipe": work.task.recipe.dose.model_dump(),
        "bin_factor": work.task.recipe.motion.bin_factor,
        "super_resolution": work.task.metadata.get("super_resolution"),
    }


def run_sums(work: Workspace) -> Result:
    """Write the corrected micrographs."""
    by_program = work.task.recipe.motion.program != "passerelle"
    result = sums_by_program(work) if by_program else _own_sums(work)
    pixel = work.pixel_size_angstrom * work.bin_factor
    result.values["pixel_size_angstrom"] = pixel
    if work.bin_factor > 1:
        result.values["bin_factor"] = work.bin_factor
    if work.bin_factor > 1 and work.task.recipe.motion.bin_factor is None:
        result.warnings.append(_said_of_the_crop(work, pixel))
    work.drop_frames()  # nothing after this needs them
    return result


def _own_sums(work: Workspace) -> Result:
    recipe = work.task.recipe.dose
    dose = work.dose_per_frame
    bad, blank = unusable_pixels(work)
    sums = correct_movie(
        work.held,
        gain=work.gain,
        defects=bad,
        blank=blank,
        field=work.field,
        pixel_size_angstrom=work.pixel_size_angstrom,
        voltage_kv=work.voltage_kv,
        dose_per_frame=dose,
        pre_exposure=work.pre_exposure,
        weighted=recipe.weighted and bool(dose),
        half_sums=recipe.half_sums and work.held.shape[0] > 1,
        bin_factor=work.bin_factor,
        device=work.kernels,
    )
    result = Result({"counts_per_pixel": float(sums.unweighted.mean())}, device=work.task.device)
    images = {"micrograph": sums.unweighted, "micrograph_weighted": sums.weighted, "even": sums.even, "odd": sums.odd}
    for role, image in images.items():
        if image is None:
            continue
        name = f"{role.replace('_', '-')}.mrc"
        write_mrc(work.folder / name, image, work.pixel_size_angstrom * work.bin_factor, recipe.output)
        result.outputs[role] = name
        if recipe.output == "float32" and role not in ("even", "odd"):
            work.images[role] = image  # as written; 16-bit floats are read back: a resumed run sees no other numbers
    return result


def _said_of_the_crop(work: Workspace, pixel_size_angstrom: float) -> str:
    return (
        f"The frames ({work.header.width} × {work.header.height}) are finer than the camera's pixels: the micrographs were "
        f"cropped {work.bin_factor} × in Fourier space, to pixels of {pixel_size_angstrom:.4g} Å. "
        "Set motion.bin_factor to 1 to keep all."
    )
