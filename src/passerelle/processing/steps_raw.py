"""The stages on raw frames: what the movie is, and whether its gain reference is the right one."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.imaging.defects import find_hot_pixels
from passerelle.imaging.gain import better_orientation, rank_orientations, residual_gain
from passerelle.processing.step import Result
from passerelle.processing.workspace import Workspace

_CERTAIN_SIGMA = 8.0


def stack_depends(work: Workspace) -> dict[str, Any]:
    """Name all that the frames depend on."""
    task = work.task
    motion = task.recipe.motion
    return {
        "movie": task.movie,
        "frames": list(task.frames),
        "files": [known[1:] for known in work.raw_files.movie],
        "generation": task.generation,
        "use": [motion.first_frame, motion.last_frame, motion.eer_dose_per_fraction, motion.eer_upsampling],
        "values": {name: task.metadata.get(name) for name in ("pixel_size_angstrom", "voltage_kv", "dose_e_per_angstrom2")},
        "dose_per_frame": task.metadata.get("dose_per_frame_e_per_angstrom2"),
    }


def run_stack(work: Workspace) -> Result:
    """Read the movie; say what it is."""
    header = work.header
    used = work.frames.shape[0]
    result = Result({"frames": used, "height_px": header.height, "width_px": header.width})
    result.values["pixel_size_angstrom"] = work.pixel_size_angstrom
    if work.dose_per_frame is None:
        result.warnings.append("The dose is not known: no dose weighting. Set `dose_e_per_angstrom2` for this instrument.")
    else:
        result.values["dose_e_per_angstrom2"] = work.dose_per_frame * used
    return result


def gain_depends(work: Workspace) -> dict[str, Any]:
    """Name the references and how they are used."""
    task = work.task
    return {
        "gain": work.raw_files.gain,
        "defects": work.raw_files.defects,
        "recipe": task.recipe.gain.model_dump(),
        "check": task.check_gain,
    }


def run_gain(work: Workspace) -> Result:
    """Check the gain: the right one, the right way round? Find bad pixels and blank frames."""
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


def unusable_pixels(work: Workspace) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the bad pixels (y, x) and the blank frames (t,) that the gain step found."""
    with np.load(work.folder / work.done["gain"].outputs["bad_pixels"], allow_pickle=False) as stored:
        height, width = (int(side) for side in stored["shape"])
        bad = np.unpackbits(stored["bad"], count=height * width).reshape(height, width).astype(bool)
        return bad, stored["blank"]
