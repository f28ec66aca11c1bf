"""RELION's own motion correction (relion_run_motioncorr, RELION 3.1 and newer): command line, and the STAR file that it leaves.

Its STAR file holds by how many pixels each frame is moved, so the specimen's motion has the other sign; the local part is a
polynomial (Zivanov et al. 2019, IUCrJ 6, 5), cubic in the frame's number from 0 and quadratic in the place, zero in the first
frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import BadInput, ProgramFailed
from passerelle.formats import StarBlock, read_star, write_star
from passerelle.programs.motion import CorrectedMovie, MotionRequest, field_of, grid_places
from passerelle.programs.texts import numbers

NAME = "RELION"
_OUT = "out"
_LIST = "movies.star"
_TERMS = 18  # of one direction: 6 of space by 3 of time


def prepare(request: MotionRequest, folder: Path, executable: str, arguments: Sequence[str] = ()) -> list[str]:
    """Write the list of the one movie into `folder`; return the command, to be run there.

    Raises:
        StorageError: the list could not be written.
    """
    optics = {
        "rlnOpticsGroupName": "opticsGroup1",
        "rlnOpticsGroup": 1,
        "rlnMicrographOriginalPixelSize": request.pixel_size_angstrom,
        "rlnVoltage": request.voltage_kv,
        "rlnSphericalAberration": 2.7,  # asked for, and not used
        "rlnAmplitudeContrast": 0.1,
    }
    movie = {"rlnMicrographMovieName": request.movie, "rlnOpticsGroup": 1}
    blocks = {name: StarBlock.of_rows(tuple(row), [tuple(row.values())]) for name, row in (("optics", optics), ("movies", movie))}
    write_star(folder / _LIST, blocks)
    command = [executable, "--i", _LIST, "--o", f"{_OUT}/", "--use_own", "--j", str(request.threads)]
    command += ["--patch_x", str(request.patches[1]), "--patch_y", str(request.patches[0])]
    command += ["--bfactor", f"{request.bfactor_px2:.6g}", "--bin_factor", "1"]
    if request.doses:
        command += ["--dose_weighting", "--save_noDW", "--dose_per_frame", f"{request.doses:.9g}"]
        command += ["--preexposure", f"{request.pre_exposure:.9g}"]
    if request.gain is not None:
        command += ["--gainref", request.gain]
    if request.defects is not None:
        command += ["--defect_file", request.defects]
    return [*command, *arguments]


def read(request: MotionRequest, folder: Path) -> CorrectedMovie:
    """Read what RELION left in `folder`.

    Raises:
        ProgramFailed: its motion or its pictures are not there, not whole, or of another movie.
    """
    root = folder / _OUT / Path(request.movie).stem
    path = root.with_suffix(".star")
    drift, local = _motion(path, request)
    field = field_of(drift, local, request, program=NAME, path=path)
    main = root.with_suffix(".mrc")
    pictures = {"micrograph": main}
    if request.doses:
        pictures = {"micrograph": root.with_name(f"{root.name}_noDW.mrc"), "micrograph_weighted": main}
    # RELION 5 with --even_odd_split among its arguments; its frames count from 0, too
    halves = {"even": root.with_name(f"{root.name}_EVN.mrc"), "odd": root.with_name(f"{root.name}_ODD.mrc")}
    if all(path.is_file() for path in halves.values()):
        pictures |= halves
    return CorrectedMovie(field, 0, pictures)


def _motion(path: Path, request: MotionRequest) -> tuple[NDArray[Any], NDArray[Any]]:
    if not path.is_file():
        raise ProgramFailed(f"was not written: {NAME} found no motion.", path=path)
    try:
        blocks = read_star(path)
        shifts = blocks["global_shift"]
        frame, x, y = (shifts.column(f"rlnMicrograph{name}") for name in ("FrameNumber", "ShiftX", "ShiftY"))
        size = [int(blocks["general"].column(f"rlnImageSize{axis}")[0]) for axis in "XYZ"]
        model = blocks.get("local_motion_model")
        places = [] if model is None else model.column("rlnMotionModelCoeffsIdx")
        values = [] if model is None else model.column("rlnMotionModelCoeff")
    except (KeyError, IndexError, ValueError) as error:
        raise ProgramFailed(f"is not as {NAME} writes it: {error} is missing.", path=path) from error
    except BadInput as error:
        raise ProgramFailed(f"is not as {NAME} writes it: {error.message}", path=path) from error
    if size != [request.width, request.height, request.frames]:
        raise ProgramFailed(
            f"is of a movie of {' × '.join(map(str, size))}; this one has {request.width} × {request.height} × {request.frames}.",
            path=path,
        )
    rows = [numbers(words, path=path, program=NAME) for words in zip(frame, y, x, strict=True)]
    drift = np.array([row[1:] for row in sorted(rows)]).reshape(-1, 2)
    coefficients = np.zeros(2 * _TERMS)
    if model is not None:
        index = numbers(places, path=path, program=NAME)
        if sorted(index) != list(range(2 * _TERMS)):
            raise ProgramFailed(f"holds a local motion of {len(index)} coefficients; {2 * _TERMS} were expected.", path=path)
        coefficients[[int(place) for place in index]] = numbers(values, path=path, program=NAME)
    return -drift, -_local(coefficients.reshape(2, _TERMS), request.frames)


def _local(coefficients: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """Return RELION's polynomial on the grid of a field: (2, t, grid, grid) as (y, x); its own coefficients begin with x."""
    y, x = grid_places()
    u, v = x - 0.5, y - 0.5
    space = np.stack([np.ones_like(u), u, u * u, v, v * v, u * v])
    z = np.arange(frames, dtype=np.float64)
    time = np.stack([z, z**2, z**3])
    along = np.einsum("csk,sij,kt->ctij", coefficients.reshape(2, 6, 3), space, time)
    return along[::-1]
