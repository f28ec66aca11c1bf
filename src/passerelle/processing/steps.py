"""The stages of one movie, in order. Each says what it depends on; what it returns is kept by `records`."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.core.digest import fingerprint
from passerelle.formats import write_mrc
from passerelle.imaging.contamination import contamination_percent
from passerelle.imaging.correct import correct_movie
from passerelle.imaging.ctf_fit import CtfOptions, finest_pixel, fit_ctf
from passerelle.imaging.ctf_model import Optics
from passerelle.imaging.ctf_picture import spectrum_picture
from passerelle.imaging.defects import find_hot_pixels
from passerelle.imaging.gain import better_orientation, rank_orientations, residual_gain
from passerelle.imaging.ice import ice_ring_score
from passerelle.imaging.motion import MotionOptions, estimate_motion
from passerelle.imaging.motion_numbers import summarise_motion
from passerelle.imaging.spectrum import measure_spectrum
from passerelle.processing.pictures import as_jpeg, as_png, drift_plot, local_tracks, low_pass, shrink, to_grey
from passerelle.processing.workspace import Workspace


@dataclass
class Result:
    """What a step hands back: numbers with the unit in the name, outputs by role, sentences for a person."""

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    outputs: dict[str, str] = field(default_factory=dict[str, str])
    warnings: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Step:
    """A stage. `version` changes when its results would; `after` are the steps whose results it reads."""

    name: str
    version: int
    after: tuple[str, ...]
    depends: Callable[[Workspace], dict[str, Any]]
    run: Callable[[Workspace], Result]

    def fingerprint(self, work: Workspace) -> str:
        """Return what identifies this step's result: its version, what it depends on, and the steps before it."""
        before = {name: work.done[name].fingerprint for name in self.after}
        return fingerprint({"step": self.name, "version": self.version, "inputs": self.depends(work), "before": before})


# -- stack: the movie as it is read ------------------------------------------------------------------------------


def _stack_depends(work: Workspace) -> dict[str, Any]:
    task = work.task
    motion = task.recipe.motion
    return {
        "movie": task.movie,
        "frames": list(task.frames),
        "size": task.size,
        "mtime_ns": task.mtime_ns,
        "generation": task.generation,
        "use": [motion.first_frame, motion.last_frame, motion.eer_dose_per_fraction, motion.eer_upsampling],
        "values": {name: task.metadata.get(name) for name in ("pixel_size_angstrom", "voltage_kv", "dose_e_per_angstrom2")},
        "dose_per_frame": task.metadata.get("dose_per_frame_e_per_angstrom2"),
    }


def _stack(work: Workspace) -> Result:
    header = work.header
    used = work.frames.shape[0]
    result = Result({"frames": used, "height_px": header.height, "width_px": header.width})
    result.values["pixel_size_angstrom"] = work.pixel_size_angstrom
    if work.dose_per_frame is None:
        result.warnings.append("The dose is not known: no dose weighting. Set `dose_e_per_angstrom2` for this instrument.")
    else:
        result.values["dose_e_per_angstrom2"] = work.dose_per_frame * used
    return result


_CERTAIN_SIGMA = 8.0


# -- gain: is the reference the right one, and the right way round? -----------------------------------------------


def _gain_depends(work: Workspace) -> dict[str, Any]:
    task = work.task
    return {
        "gain": _identity(task.gain),
        "defects": _identity(task.defects),
        "recipe": task.recipe.gain.model_dump(),
        "check": task.check_gain,
    }


def _identity(path: str | None) -> list[Any] | None:
    """A reference file is known by its name, size and time: replaced in place, it is another one."""
    if path is None:
        return None
    try:
        status = Path(path).stat()
    except FileNotFoundError:
        return [path]  # its reader will say so in words
    return [path, status.st_size, status.st_mtime_ns]


def _gain(work: Workspace) -> Result:
    result = Result()
    raw, gain = work.statistics, work.gain
    if work.task.gain is not None and work.task.check_gain:
        _check_orientation(work, result)
    known = work.defects if gain is None else (gain <= 0) if work.defects is None else work.defects | (gain <= 0)
    hot = find_hot_pixels(raw.mean, noise_variance=raw.noise_variance, gain=gain, defects=known)
    bad = hot | raw.not_finite if known is None else hot | raw.not_finite | known
    corrected = raw.mean if gain is None else raw.mean * gain
    corrected = np.where(bad, np.float32(np.median(corrected)), corrected)
    spread, ratio = residual_gain(corrected, noise_variance=raw.noise_variance)
    result.values |= {"residual_gain_sd": spread, "residual_gain_ratio": ratio}
    result.values |= {"bad_pixels": int(bad.sum()), "blank_frames": int(raw.blank.sum())}
    if raw.blank.any():
        which = ", ".join(str(t + 1) for t in np.flatnonzero(raw.blank)[:10])
        result.warnings.append(f"{int(raw.blank.sum())} of {raw.blank.size} frames carry no counts and were left out: {which}.")
    stream = io.BytesIO()
    np.savez_compressed(stream, bad=np.packbits(bad), shape=np.array(bad.shape), blank=raw.blank)
    result.outputs["bad_pixels"] = work.records.write("bad-pixels.npz", stream.getvalue())
    return result


def _check_orientation(work: Workspace, result: Result) -> None:
    chosen = work.task.recipe.gain.orientation
    ranked = rank_orientations(work.statistics.mean, work.gain_as_written)
    result.values["orientations"] = {score.name: round(score.correlation, 4) for score in ranked}
    better = better_orientation(ranked, chosen)
    inverse = ranked[-1]
    if -inverse.correlation > ranked[0].correlation and -inverse.significance > _CERTAIN_SIGMA:
        other = "multiply" if work.task.recipe.gain.mode == "divide" else "divide"
        result.values["better_mode"] = other
        result.warnings.append(f"The gain reference fits the movie upside down in value: set gain.mode to {other}.")
    elif better is not None:
        result.values["better_orientation"] = better.name
        result.warnings.append(
            f"The gain reference fits the movie as {better.name}, not as {chosen}: set gain.orientation to {better.name}."
        )


def _unusable(work: Workspace) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the bad pixels (y, x) and the blank frames (t,) that the gain step found."""
    with np.load(work.folder / work.done["gain"].outputs["bad_pixels"], allow_pickle=False) as stored:
        height, width = (int(side) for side in stored["shape"])
        bad = np.unpackbits(stored["bad"], count=height * width).reshape(height, width).astype(bool)
        return bad, stored["blank"]


# -- motion --------------------------------------------------------------------------------------------------------


def _motion_depends(work: Workspace) -> dict[str, Any]:
    return {"recipe": work.task.recipe.motion.model_dump()}


def _motion(work: Workspace) -> Result:
    recipe = work.task.recipe.motion
    bad, _ = _unusable(work)
    options = MotionOptions(
        patches=(recipe.patches_y, recipe.patches_x),
        bfactor_angstrom2=recipe.bfactor_angstrom2,
        max_drift_px=recipe.max_drift_px,
        hot_pixels=False,  # the gain step has found them
    )
    estimate = estimate_motion(
        work.frames,
        gain=work.gain,
        defects=bad,
        pixel_size_angstrom=work.pixel_size_angstrom,
        options=options,
        statistics=work.statistics,
        threads=work.task.threads,
    )
    motion = estimate.field
    stream = io.BytesIO()
    np.savez_compressed(
        stream, global_px=motion.global_px, local_px=motion.local_px, size=np.array([motion.height, motion.width])
    )
    summary = summarise_motion(
        motion,
        pixel_size_angstrom=work.pixel_size_angstrom,
        dose_per_frame=work.dose_per_frame,
        pre_exposure=work.pre_exposure,
    )
    lost = int(estimate.frame_rejected.sum())
    result = Result(
        {
            "total_motion_angstrom": summary.total_angstrom,
            "early_motion_angstrom": summary.early_angstrom,
            "late_motion_angstrom": summary.late_angstrom,
            "max_frame_motion_angstrom": summary.largest_step_angstrom,
            "local_motion_px": summary.local_rms_px,
            "motion_residual_px": estimate.residual_px,
            "patches_rejected": int(estimate.patch_rejected.sum()),
            "frames_rejected": lost,
        }
    )
    if lost:
        result.warnings.append(f"The drift of {lost} of {motion.frames} frames could not be measured and is their neighbours'.")
    result.outputs["motion"] = work.records.write("motion.npz", stream.getvalue())
    local = local_tracks(motion, estimate.patch_centres_px)
    curves = {
        "drift": {
            "frame": list(range(1, motion.frames + 1)),
            "dy_angstrom": _rounded(motion.global_px[:, 0] * work.pixel_size_angstrom),
            "dx_angstrom": _rounded(motion.global_px[:, 1] * work.pixel_size_angstrom),
        },
        "local": {
            "height": motion.height,
            "width": motion.width,
            "y": _rounded(estimate.patch_centres_px[:, 0]),
            "x": _rounded(estimate.patch_centres_px[:, 1]),
            "dy_px": [_rounded(track[:, 0]) for track in local],
            "dx_px": [_rounded(track[:, 1]) for track in local],
        },
    }
    result.outputs["motion_curves"] = work.records.write("motion.json", json.dumps(curves).encode())
    work.__dict__["field"] = motion
    return result


def _rounded(values: NDArray[Any], digits: int = 4) -> list[float]:
    return [round(float(value), digits) for value in values]


# -- sums: the corrected micrographs ---------------------------------------------------------------------------------


def _sums_depends(work: Workspace) -> dict[str, Any]:
    return {"recipe": work.task.recipe.dose.model_dump()}


def _sums(work: Workspace) -> Result:
    recipe = work.task.recipe.dose
    dose = work.dose_per_frame
    bad, blank = _unusable(work)
    sums = correct_movie(
        work.frames,
        gain=work.gain,
        defects=bad,
        blank=blank,
        field=work.field,
        pixel_size_angstrom=work.pixel_size_angstrom,
        voltage_kv=work.voltage_kv,
        dose_per_frame=dose,
        pre_exposure=work.pre_exposure,
        weighted=recipe.weighted and bool(dose),
        half_sums=recipe.half_sums and work.frames.shape[0] > 1,
        threads=work.task.threads,
    )
    result = Result({"counts_per_pixel": float(sums.unweighted.mean())})
    images = {"micrograph": sums.unweighted, "micrograph_weighted": sums.weighted, "even": sums.even, "odd": sums.odd}
    for role, image in images.items():
        if image is None:
            continue
        name = f"{role.replace('_', '-')}.mrc"
        write_mrc(work.folder / name, image, work.pixel_size_angstrom, recipe.output)
        result.outputs[role] = name
        work.images[role] = image
    work.drop_frames()  # nothing after this needs them
    return result


# -- ctf ---------------------------------------------------------------------------------------------------------------


def _ctf_depends(work: Workspace) -> dict[str, Any]:
    names = ("spherical_aberration_mm", "amplitude_contrast", "phase_plate")
    return {"recipe": work.task.recipe.ctf.model_dump(), "values": {name: work.task.metadata.get(name) for name in names}}


def _ctf(work: Workspace) -> Result:
    recipe = work.task.recipe.ctf
    said = work.value("amplitude_contrast")
    spherical_aberration = work.value("spherical_aberration_mm")
    warnings: list[str] = []
    if spherical_aberration is None:
        spherical_aberration = 2.7
        warnings.append("The spherical aberration is not known: 2.7 mm was used. Set `spherical_aberration_mm`.")
    optics = Optics(
        voltage_kv=work.voltage_kv,
        spherical_aberration_mm=spherical_aberration,
        amplitude_contrast=recipe.amplitude_contrast if said is None else said,
        pixel_size_angstrom=work.pixel_size_angstrom,
    )
    options = CtfOptions(
        box_px=recipe.box_px,
        resolution_low_angstrom=recipe.resolution_low_angstrom,
        resolution_high_angstrom=recipe.resolution_high_angstrom,
        defocus_min_angstrom=recipe.defocus_min_angstrom,
        defocus_max_angstrom=recipe.defocus_max_angstrom,
        phase_shift=recipe.phase_shift or bool(work.task.metadata.get("phase_plate")),
    )
    micrograph = work.image("micrograph")
    threads = work.task.threads
    spectrum = measure_spectrum(
        micrograph,
        work.pixel_size_angstrom,
        box_px=options.box_px,
        threads=threads,
        finest_pixel_angstrom=finest_pixel(options),
    )
    fit = fit_ctf(spectrum, optics, options, threads=threads)
    result = Result(warnings=warnings)
    result.values = {
        "defocus_u_angstrom": fit.defocus_u_angstrom,
        "defocus_v_angstrom": fit.defocus_v_angstrom,
        "defocus_angstrom": (fit.defocus_u_angstrom + fit.defocus_v_angstrom) / 2,
        "astigmatism_angstrom": fit.defocus_u_angstrom - fit.defocus_v_angstrom,
        "astigmatism_angle_deg": fit.angle_deg,
        "ctf_score": fit.score,
        "ctf_resolution_angstrom": fit.resolution_angstrom,
    }
    if options.phase_shift:
        result.values["phase_shift_deg"] = fit.phase_shift_deg
    ice = ice_ring_score(spectrum, work.pixel_size_angstrom)
    if ice is not None:
        result.values["ice_ring_score"] = ice
    result.values["contamination_percent"] = contamination_percent(micrograph, work.pixel_size_angstrom)
    result.outputs["spectrum"] = work.records.write("spectrum.png", as_png(spectrum_picture(spectrum, fit)))
    curves = {
        "spacing_per_angstrom": _rounded(fit.spacing_per_angstrom, 6),
        "spectrum": _rounded(fit.spectrum),
        "model": _rounded(fit.model),
        "agreement": _rounded(fit.agreement),
    }
    result.outputs["ctf_curves"] = work.records.write("ctf.json", json.dumps({"ctf": curves}).encode())
    return result


# -- pictures ----------------------------------------------------------------------------------------------------------


def _pictures_depends(work: Workspace) -> dict[str, Any]:
    return {"recipe": work.task.recipe.pictures.model_dump()}


def _pictures(work: Workspace) -> Result:
    recipe = work.task.recipe.pictures
    shown = work.image("micrograph_weighted" if "micrograph_weighted" in work.done["sums"].outputs else "micrograph")
    smooth = low_pass(shown, recipe.low_pass_angstrom / work.pixel_size_angstrom)
    zoom = to_grey(shrink(smooth, recipe.zoom_px))
    small = to_grey(shrink(smooth, recipe.thumbnail_px))
    write = work.records.write
    return Result(
        outputs={
            "zoom": write("zoom.jpg", as_jpeg(zoom)),
            "thumbnail": write("thumbnail.jpg", as_jpeg(small, 80)),
            "drift": write("drift.svg", drift_plot(work.field, work.pixel_size_angstrom).encode()),
        }
    )


STEPS: tuple[Step, ...] = (
    Step("stack", 1, (), _stack_depends, _stack),
    Step("gain", 1, ("stack",), _gain_depends, _gain),
    Step("motion", 1, ("stack", "gain"), _motion_depends, _motion),
    Step("sums", 1, ("stack", "gain", "motion"), _sums_depends, _sums),
    Step("ctf", 1, ("sums",), _ctf_depends, _ctf),
    Step("pictures", 1, ("sums", "motion"), _pictures_depends, _pictures),
)
