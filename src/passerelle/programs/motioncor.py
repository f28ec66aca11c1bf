"""MotionCor2 and MotionCor3: the command line, and the logs of motion that they leave.

A log says by how many pixels a frame is moved (out(x) = in(x - s)), so the specimen's motion has the other sign. Names of logs
and columns of the local one differ between versions:

    MotionCor2 with -LogFile PREFIX   PREFIX0-Full.log, PREFIX0-Patch-Full.log, PREFIX0-Patch-Patch.log
    MotionCor2 ≥ 1.4.7, MotionCor3    with -LogDir FOLDER: FOLDER/MOVIE-Full.log, MOVIE-Patch-Full.log, MOVIE-Patch-Patch.log
    MotionCor2                        frame, x, y, shift x and y, fitted shift x and y     (7 columns)
    MotionCor3                        frame, x, y, shift x and y, 1 where it is not used   (6 columns)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import ProgramFailed, storage_errors
from passerelle.programs.motion import GRID, CorrectedMovie, MotionRequest, field_of, grid_places
from passerelle.programs.texts import lines_of, numbers

_LOGS = "log"
_LARGEST = 1e6  # no place and no shift is so large
_NEAR, _FAR = 100.0, 0.6  # MotionCor3, GCorrectPatchShift: weights exp(-100 r), none beyond 0.6 of the picture

Generation = Literal[2, 3]


def prepare(
    request: MotionRequest, folder: Path, executable: str, arguments: Sequence[str] = (), *, generation: Generation
) -> list[str]:
    """Make the folder of logs; return the command, to be run in `folder`.

    Raises:
        StorageError: the folder could not be made.
    """
    with storage_errors(folder):
        (folder / _LOGS).mkdir(exist_ok=True)
    tiff = request.movie.endswith((".tif", ".tiff"))
    command = [executable, "-InTiff" if tiff else "-InMrc", request.movie, "-OutMrc", "out.mrc", "-LogDir", f"{_LOGS}/"]
    if generation == 2:
        command += ["-LogFile", f"{_LOGS}/{Path(request.movie).stem}"]  # what versions before -LogDir want; others pass over it
    command += [
        "-PixSize",
        f"{request.pixel_size_angstrom:.9g}",
        "-kV",
        f"{request.voltage_kv:.9g}",
    ]
    command += ["-Bft", f"{request.bfactor_px2:.6g}"]
    if min(request.patches) > 1:  # with one patch along a side there is no local alignment
        command += ["-Patch", str(request.patches[1]), str(request.patches[0])]
    if request.doses:
        command += ["-FmDose", f"{request.doses:.9g}", "-InitDose", f"{request.pre_exposure:.9g}"]
    if request.gain is not None:
        command += ["-Gain", request.gain]
    if request.defects is not None:
        command += ["-DefectMap", request.defects]
    if request.half_sums:
        command += ["-SplitSum", "1"]
    return [*command, *arguments]


def read(request: MotionRequest, folder: Path, *, generation: Generation) -> CorrectedMovie:
    """Read what MotionCor left in `folder`.

    Raises:
        ProgramFailed: its logs or its pictures are not there, not whole, or of another movie.
    """
    name = f"MotionCor{generation}"
    path = _log(folder, "-Full.log", name)
    rows = _rows(path, name)
    if any(len(row) < 3 for row in rows):
        raise ProgramFailed("holds a line of less than 3 numbers: it was not written to its end.", path=path)
    drift = -_in_frames(np.array([row[:3] for row in rows]), request, path, name)[:, ::-1]
    local = np.zeros((2, request.frames, GRID, GRID))
    if min(request.patches) > 1:
        local_path = _log(folder, "-Patch-Patch.log", name)
        local = -_local(_rows(local_path, name), request, local_path, name)
    field = field_of(drift, local, request, program=name, path=path)
    pictures = {"micrograph": folder / "out.mrc"}
    if request.doses:
        pictures["micrograph_weighted"] = folder / "out_DW.mrc"
    if request.half_sums:
        # MotionCor counts frames from 1 in words and from 0 in its sums: _ODD is written from frames 0, 2, 4 …
        pictures |= {"even": folder / "out_ODD.mrc", "odd": folder / "out_EVN.mrc"}
    return CorrectedMovie(field, request.frames // 2, pictures)


def _log(folder: Path, ending: str, name: str) -> Path:
    found = sorted(path for path in (folder / _LOGS).glob(f"*{ending}"))
    if not found:
        raise ProgramFailed(f"holds no log *{ending}: {name} found no motion.", path=folder / _LOGS)
    return found[0]


def _rows(path: Path, name: str) -> list[list[float]]:
    rows = [numbers(words, path=path, program=name) for words in _lines(lines_of(path, program=name))]
    if not all(abs(value) < _LARGEST for row in rows for value in row):
        raise ProgramFailed("holds motion that is no number.", advice=f"See what {name} says of this movie.", path=path)
    return rows


def _lines(lines: list[str]) -> Iterator[list[str]]:
    for line in lines:
        words = line.split()
        if words and not words[0].startswith("#"):
            yield words


def _in_frames(rows: NDArray[Any], request: MotionRequest, path: Path, name: str) -> NDArray[np.float64]:
    """Return (t, 2) as (x, y) from rows of frame number, x, y; frames are counted from 1, or from 0 in old versions."""
    expected = np.arange(request.frames)
    if len(rows) != request.frames or not any(np.array_equal(rows[:, 0], expected + first) for first in (0, 1)):
        raise ProgramFailed(
            f"holds the motion of {len(rows)} frames, or not in order; the movie has {request.frames}.",
            advice=f"Was {name} stopped while it wrote?",
            path=path,
        )
    return np.asarray(rows[:, 1:3], np.float64)


def _local(rows: list[list[float]], request: MotionRequest, path: Path, name: str) -> NDArray[np.float64]:
    """Return the local shifts on the grid of a field, (2, t, grid, grid) as (y, x)."""
    columns = {len(row) for row in rows}
    count = request.patches[0] * request.patches[1]
    if columns - {6, 7} or len(columns) != 1 or len(rows) != count * request.frames:
        raise ProgramFailed(
            f"holds {len(rows)} lines of {sorted(columns)} numbers; {count} patches of {request.frames} frames, 6 or 7 numbers "
            "a line, were expected.",
            advice=f"Was {name} stopped while it wrote?",
            path=path,
        )
    table = np.array(rows).reshape(count, request.frames, -1)
    for patch in table:
        _in_frames(patch[:, [0, 3, 4]], request, path, name)
    x, y = table[:, 0, 1] / request.width, table[:, 0, 2] / request.height
    if columns == {7}:
        return _fitted(x, y, table[:, :, 5:7])
    return _weighted(x, y, table[:, :, 3:5], table[:, :, 5] != 0)


def _fitted(x: NDArray[Any], y: NDArray[Any], shifts: NDArray[Any]) -> NDArray[np.float64]:
    """Fit a quadratic surface to each frame's fitted shifts (n, t, 2) of MotionCor2, which come from one (Zheng et al. 2017)."""
    grid_y, grid_x = grid_places()
    surface = _terms(x, y)
    if len(x) < surface.shape[1]:  # few patches: a plane
        surface = surface[:, :3]
    flat = shifts.reshape(len(x), -1)
    coefficients = np.linalg.lstsq(surface, flat, rcond=None)[0]
    at = _terms(grid_x.ravel(), grid_y.ravel())[:, : surface.shape[1]] @ coefficients
    return at.reshape(GRID, GRID, shifts.shape[1], 2).transpose(3, 2, 0, 1)[::-1]


def _terms(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)


def _weighted(x: NDArray[Any], y: NDArray[Any], shifts: NDArray[Any], bad: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Interpolate each frame's shifts (n, t, 2) as MotionCor3 does when it corrects: by the distance to every patch in use."""
    grid_y, grid_x = grid_places()
    distance = np.hypot(grid_x.ravel()[:, None] - x, grid_y.ravel()[:, None] - y)  # (grid², n)
    nearest = distance.min(axis=1, keepdims=True)
    weight = np.where(distance <= _FAR, np.exp(-_NEAR * (distance - nearest)), 0.0)  # the common factor keeps them from vanishing
    used = ~bad  # (n, t)
    total = weight @ used
    summed = np.einsum("gn,ntc->gtc", weight, np.where(used[..., None], shifts, 0.0))
    at = np.divide(summed, total[..., None], out=np.zeros_like(summed), where=total[..., None] > 0)
    return at.reshape(GRID, GRID, shifts.shape[1], 2).transpose(3, 2, 0, 1)[::-1]
