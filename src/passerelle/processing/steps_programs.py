"""The stages of motion, sums and CTF by an external program: the same step, the same results, what it cannot give left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import BadConfiguration, BadFile, NotFound, ProgramFailed, storage_errors
from passerelle.formats import read_image, write_mrc
from passerelle.imaging.correct import correct_movie
from passerelle.imaging.ctf_fit import CtfFit, CtfOptions
from passerelle.imaging.ctf_model import Optics, normalize_astigmatism
from passerelle.imaging.field import MotionField
from passerelle.processing.program_inputs import motion_request, private_folder
from passerelle.processing.step import Result
from passerelle.processing.steps_raw import unusable_pixels
from passerelle.processing.task import ProgramUse
from passerelle.processing.workspace import Workspace
from passerelle.programs import KINDS, Ended, ctffind, motioncor, relion, run_to_end
from passerelle.programs.motion import CorrectedMovie, MotionRequest

_ENVIRONMENT = {"LC_ALL": "C"}  # numbers with a point, whatever the account's language
_BEFORE = 1.25  # the curves begin so much before the fit, as of our own


class _MotionProgram(NamedTuple):
    prepare: Callable[[MotionRequest, Path, str, Sequence[str]], list[str]]
    read: Callable[[MotionRequest, Path], CorrectedMovie]


_MOTION: dict[str, _MotionProgram] = {
    "relion": _MotionProgram(relion.prepare, relion.read),
    "motioncor2": _MotionProgram(partial(motioncor.prepare, generation=2), partial(motioncor.read, generation=2)),
    "motioncor3": _MotionProgram(partial(motioncor.prepare, generation=3), partial(motioncor.read, generation=3)),
}
_CTF: dict[str, ctffind.Generation] = {"ctffind4": 4, "ctffind5": 5}


def program_identity(work: Workspace, name: str) -> dict[str, Any]:
    """Name what the results of an external program depend on beside the recipe; nothing for our own."""
    if name == "passerelle":
        return {}
    use = _use(work, name)
    return {"program": name, "version": use.version, "arguments": list(use.arguments)}


def _use(work: Workspace, name: str) -> ProgramUse:
    use = work.task.programs.get(name)
    if use is None:
        raise BadConfiguration(f"{name} is to be used, and this task does not say where it is.", path=work.task.movie)
    return use


class ProgramMotion(NamedTuple):
    """What a program left of a movie, kept in the movie's folder. stands_at: the frame as in which the pictures stand."""

    field: MotionField
    stands_at: int
    interpolated: int  # frames without counts: their motion is their neighbours'
    pictures: dict[str, str]  # role -> file
    program: str  # its name and version, for people


def correct_by_program(work: Workspace, name: str) -> ProgramMotion:
    """Have a program correct the movie; keep its pictures, cropped and in the number format that the recipe asks for.

    Raises:
        ProgramFailed, Busy, NotFound: as `programs.run_to_end`; it failed, left no motion or no picture, or what it left is none.
    """
    use, program = _use(work, name), _MOTION[name]
    _, blank = unusable_pixels(work)
    with private_folder(work) as folder:
        request = motion_request(work, folder)
        work.drop_frames()  # the program needs the memory
        command = program.prepare(request, folder, use.executable, use.arguments)
        ended = run_to_end(command, seconds=use.seconds, folder=folder, environment=_ENVIRONMENT)
        ended.check()
        try:
            corrected = program.read(request, folder)
            pictures = {role: _picture(path, request) for role, path in corrected.pictures.items()}
        except ProgramFailed as error:
            raise _with_its_words(error, ended, folder) from error
        kept = {role: _keep(work, role, image) for role, image in pictures.items()}
    field, interpolated = _without(corrected.field, blank)
    return ProgramMotion(field, corrected.stands_at, interpolated, kept, f"{KINDS[name].label} {use.version}")


def _picture(path: Path, request: MotionRequest) -> NDArray[np.float32]:
    try:
        image = read_image(path)
    except NotFound as error:
        raise ProgramFailed("was not written.", path=path) from error
    except BadFile as error:
        raise ProgramFailed(f"is no whole picture: {error.message}", path=path) from error
    if image.shape != (request.height, request.width):
        words = f"has {image.shape[1]} × {image.shape[0]} pixels; {request.width} × {request.height} were expected."
        raise ProgramFailed(words, advice="Do its extra arguments change the size?", path=path)
    if not np.isfinite(image).all():
        raise ProgramFailed("holds pixels that are no numbers.", path=path)
    return image


def _with_its_words(error: ProgramFailed, ended: Ended, folder: Path) -> ProgramFailed:
    """Name the file by its place in the program's folder, which is gone when a person reads this, and what the program said."""
    place = Path(error.path or folder)
    name = place.relative_to(folder) if place.is_relative_to(folder) else place
    last = f" Its last words: {ended.last_words}" if ended.last_words else ""
    return ProgramFailed(f"{name} {error.message}{last}", advice=error.advice)


def _keep(work: Workspace, role: str, image: NDArray[np.float32]) -> str:
    if work.bin_factor > 1:
        image = _cropped(work, image)
    name = f"{role.replace('_', '-')}.mrc"
    write_mrc(work.folder / name, image, work.pixel_size_angstrom * work.bin_factor, work.task.recipe.dose.output)
    if work.task.recipe.dose.output == "float32" and role not in ("even", "odd"):
        work.images[role] = image
    return name


def _cropped(work: Workspace, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Crop in Fourier space as our own sums are: what programs do with a factor differs, even what pixels their logs count in."""
    height, width = image.shape
    still = MotionField(np.zeros((1, 2)), np.zeros((2, 1, 2, 2), np.float32), height, width)
    return correct_movie(
        image[None],
        gain=None,
        defects=None,
        field=still,
        pixel_size_angstrom=work.pixel_size_angstrom,
        weighted=False,
        half_sums=False,
        bin_factor=work.bin_factor,
        threads=work.task.threads,
    ).unweighted


def _without(field: MotionField, blank: NDArray[np.bool_]) -> tuple[MotionField, int]:
    """Return the field with the motion of blank frames (t,) taken from their neighbours; a program finds anything there."""
    lost = int(blank.sum())
    if lost == 0 or lost == len(blank):
        return field, lost
    good = np.flatnonzero(~blank)
    every = np.arange(len(blank))

    def filled(values: NDArray[Any]) -> NDArray[Any]:
        flat = values.reshape(len(blank), -1)
        return np.stack([np.interp(every, good, column[good]) for column in flat.T], axis=1).reshape(values.shape)

    drift = filled(field.global_px)
    local = filled(field.local_px.swapaxes(0, 1)).swapaxes(0, 1).astype(np.float32)
    middle = len(blank) // 2
    return MotionField(drift - drift[middle], local - local[:, middle : middle + 1], field.height, field.width), lost


def sums_by_program(work: Workspace) -> Result:
    """Hand on the pictures that the program has written in the motion step."""
    written = work.done["motion"].outputs
    roles = [role for role in ("micrograph", "micrograph_weighted", "even", "odd") if role in written]
    result = Result({"counts_per_pixel": float(work.image("micrograph").mean())}, {role: written[role] for role in roles})
    if work.task.recipe.dose.half_sums and "even" not in written:
        label = KINDS[work.task.recipe.motion.program].label
        result.warnings.append(f"No sums of even and odd frames: {label} did not make them.")
    return result


def fit_by_program(work: Workspace, name: str, optics: Optics, options: CtfOptions) -> tuple[CtfFit, str]:
    """Have a program fit the CTF of the unweighted micrograph; return the fit, and what made it, for people.

    Raises:
        ProgramFailed, Busy, NotFound: as `programs.run_to_end`; it failed, or left no fit.
    """
    use, generation = _use(work, name), _CTF[name]
    micrograph = "micrograph.mrc"
    with private_folder(work) as folder:
        written = work.folder / work.done["sums"].outputs["micrograph"]
        if work.task.recipe.dose.output == "float32":
            with storage_errors(folder):
                (folder / micrograph).symlink_to(written.absolute())
        else:
            write_mrc(folder / micrograph, work.image("micrograph"), optics.pixel_size_angstrom)
        request = ctffind.CtfRequest(
            micrograph=micrograph,
            pixel_size_angstrom=optics.pixel_size_angstrom,
            voltage_kv=optics.voltage_kv,
            spherical_aberration_mm=optics.spherical_aberration_mm,
            amplitude_contrast=optics.amplitude_contrast,
            box_px=options.box_px,
            resolution_low_angstrom=options.resolution_low_angstrom,
            resolution_high_angstrom=options.resolution_high_angstrom,
            defocus_min_angstrom=options.defocus_min_angstrom,
            defocus_max_angstrom=options.defocus_max_angstrom,
            phase_shift=options.phase_shift,
        )
        ended = run_to_end(
            ctffind.command(use.executable, use.arguments),
            seconds=use.seconds,
            folder=folder,
            answers=ctffind.answers(request, generation=generation),
            environment=_ENVIRONMENT,
        )
        ended.check()
        try:
            found = ctffind.read(folder)
        except ProgramFailed as error:
            raise _with_its_words(error, ended, folder) from error
    u, v, angle = normalize_astigmatism(found.defocus_1_angstrom, found.defocus_2_angstrom, found.angle_deg)
    shown = found.spacing_per_angstrom * options.resolution_low_angstrom * _BEFORE >= 1
    fit = CtfFit(
        optics=optics,
        defocus_u_angstrom=u,
        defocus_v_angstrom=v,
        angle_deg=angle,
        phase_shift_deg=found.phase_shift_deg,
        score=found.score,
        significance=math.nan,
        resolution_angstrom=found.resolution_angstrom,
        spacing_per_angstrom=found.spacing_per_angstrom[shown],
        spectrum=found.spectrum[shown],
        model=found.model[shown],
        agreement=found.agreement[shown],
    )
    return fit, f"CTFFIND {found.version}"
