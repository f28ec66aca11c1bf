"""What an external program is given of a movie: a folder of its own, and inputs in forms that it reads, under plain names.

Programs choke on blanks, leading dashes and line breaks in names, and on what a reader of ours takes in its stride: EER, 4-bit
pixels, single frames, DM, 16-bit floats. So the movie gets a link of a plain name where the program reads it as it is, and is
written anew where it does not; the gain is always written as we use it (turned, inverted, of the frames' size).
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import storage_errors
from passerelle.formats import write_mrc, write_mrc_stack
from passerelle.processing.steps_raw import unusable_pixels
from passerelle.processing.workspace import Workspace
from passerelle.programs.motion import MotionRequest

_FOLDER = "program"
_READ_AS_MRC = frozenset({"i1", "i2", "u2", "f4"})
_READ_AS_TIFF = frozenset({"u1", "u2", "i2", "f4"})
_Written = Literal["int8", "int16", "uint16", "float32"]
_WRITTEN_AS: dict[str, _Written] = {"i1": "int8", "i2": "int16", "u2": "uint16"}
_LARGEST_INT8 = 127


@contextmanager
def private_folder(work: Workspace) -> Generator[Path]:
    """Make an empty folder inside the movie's own and remove it with all that is in it; the movie's claim keeps others out.

    Raises:
        OutOfSpace, StorageError, NotAllowed: as the operating system says.
    """
    folder = work.folder / _FOLDER
    with storage_errors(folder):
        _remove(folder)  # a run that was killed leaves its own
        folder.mkdir()
    try:
        yield folder
    finally:
        with storage_errors(folder):
            _remove(folder)


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def motion_request(work: Workspace, folder: Path) -> MotionRequest:
    """Write or link a movie's inputs into `folder` and return what is asked of the program.

    Raises:
        BadFile, NotFound, StorageError: an input cannot be read, or there is no room for it.
    """
    recipe = work.task.recipe
    bad, _ = unusable_pixels(work)
    pixel = work.pixel_size_angstrom
    gain = defects = None
    if work.gain is not None:
        gain = "gain.mrc"
        write_mrc(folder / gain, work.gain, pixel)
    if bad.any():
        defects = "defects.mrc"
        write_mrc_stack(folder / defects, [bad.astype(np.int8)], pixel, "int8")
    movie, frames = _movie(work, folder)
    return MotionRequest(
        movie=movie,
        frames=frames,
        height=work.header.height,
        width=work.header.width,
        pixel_size_angstrom=pixel,
        voltage_kv=work.voltage_kv,
        gain=gain,
        defects=defects,
        dose_per_frame=work.dose_per_frame,
        pre_exposure=work.pre_exposure,
        weighted=recipe.dose.weighted,
        half_sums=recipe.dose.half_sums and frames > 1,
        patches=(recipe.motion.patches_y, recipe.motion.patches_x),
        bfactor_angstrom2=recipe.motion.bfactor_angstrom2,
        threads=work.task.threads,
    )


def _movie(work: Workspace, folder: Path) -> tuple[str, int]:
    """Return the movie's name inside `folder` and how many frames it has there."""
    name = _readable_as_it_is(work)
    if name is not None:
        with storage_errors(folder / name):
            (folder / name).symlink_to(Path(work.task.movie).absolute())
        return name, work.header.frames
    frames = work.frames
    kind: _Written = _WRITTEN_AS.get(_kind(frames.dtype), "float32")
    if frames.dtype == np.uint8:
        # mode 0 is read as signed bytes by some and as unsigned ones by others
        kind = "int8" if int(frames.max(initial=0)) <= _LARGEST_INT8 else "uint16"
    write_mrc_stack(folder / "movie.mrcs", _converted(frames, kind), work.pixel_size_angstrom, kind)
    work.drop_frames()  # the program needs the memory
    return "movie.mrcs", len(frames)


def _converted(frames: NDArray[Any], kind: _Written) -> Iterator[NDArray[Any]]:
    for frame in frames:
        if kind == "int8":
            yield frame.view(np.int8) if frame.dtype == np.uint8 else frame
        elif kind == "float32":
            yield np.nan_to_num(frame.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)  # such pixels are in the defect map
        else:
            yield frame


def _readable_as_it_is(work: Workspace) -> str | None:
    """Return a plain name for the movie's file where RELION and MotionCor read it as we do, whole; None where they do not."""
    header, motion = work.header, work.task.recipe.motion
    part = motion.first_frame > 0 or (motion.last_frame is not None and motion.last_frame < header.frames - 1)
    if work.task.frames or part or header.dtype.byteorder == ">":
        return None
    kind = _kind(header.dtype)
    if kind == "f4" and work.statistics.not_finite.any():
        return None
    if header.format == "MRC" and kind in _READ_AS_MRC:
        return "movie.mrcs"
    if header.format == "TIFF" and kind in _READ_AS_TIFF:
        return "movie.tif"
    return None


def _kind(dtype: np.dtype[Any]) -> str:
    return f"{dtype.kind}{dtype.itemsize}"
