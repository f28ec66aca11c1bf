"""What every program of motion correction is asked and what it hands back, in the words and the signs of this product."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import ProgramFailed
from passerelle.imaging.field import MotionField

GRID = 17  # control points a side of the field that is handed out, as of our own estimate
_MOST_SHIFT_PX = 1e5


@dataclass(frozen=True, slots=True)
class MotionRequest:
    """One movie to be corrected. Files are names inside the folder that the program runs in: plain, without blanks.

    movie: `movie.mrcs` or `movie.tif`. gain: factors to be multiplied by, in the orientation of the frames. defects: a map, 1 =
    bad. frames, height, width: of the movie. dose_per_frame, pre_exposure: e/Å²; without a dose there is no weighted sum.
    patches: along y and x. half_sums: even and odd frames, where the program can.
    """

    movie: str
    frames: int
    height: int
    width: int
    pixel_size_angstrom: float
    voltage_kv: float
    gain: str | None = None
    defects: str | None = None
    dose_per_frame: float | None = None
    pre_exposure: float = 0.0
    weighted: bool = True
    half_sums: bool = False
    patches: tuple[int, int] = (5, 5)
    bfactor_angstrom2: float = 150.0
    threads: int = 1

    @property
    def doses(self) -> float | None:
        """Return the dose of a frame if a weighted sum is wanted and can be had."""
        return self.dose_per_frame if self.weighted and self.dose_per_frame else None

    @property
    def bfactor_px2(self) -> float:
        """The B-factor in square pixels, as RELION and MotionCor count it."""
        return self.bfactor_angstrom2 / self.pixel_size_angstrom**2


@dataclass(frozen=True, slots=True)
class CorrectedMovie:
    """What a program made. field: the motion in the convention of `imaging.field`, zero at the middle frame.

    stands_at: the frame (from 0) in which the specimen stands as in the pictures; RELION takes the first. pictures: files by role
    (micrograph, micrograph_weighted, even, odd).
    """

    field: MotionField
    stands_at: int
    pictures: dict[str, Path]


def field_of(global_px: NDArray[Any], local_px: NDArray[Any], request: MotionRequest, *, program: str, path: Path) -> MotionField:
    """Return a field zero at the middle frame, its local part with a mean of zero over the picture.

    global_px: (t, 2) as (dy, dx). local_px: (2, t, grid, grid). Both say where the specimen stands, not how frames are moved.

    Raises:
        ProgramFailed: not a number for each frame.
    """
    if global_px.shape != (request.frames, 2):
        words = f"holds the motion of {len(global_px)} frames; the movie has {request.frames}."
        raise ProgramFailed(words, advice=f"See what {program} says of this movie.", path=path)
    for values in (global_px, local_px):
        if not (np.isfinite(values).all() and np.abs(values).max(initial=0.0) < _MOST_SHIFT_PX):
            raise ProgramFailed("holds motion that is no number.", advice=f"See what {program} says of this movie.", path=path)
    middle = request.frames // 2
    local = local_px - local_px[:, middle : middle + 1]
    mean = local.mean(axis=(2, 3))
    drift = global_px + mean.T
    centred = (local - mean[:, :, None, None]).astype(np.float32)
    return MotionField(np.asarray(drift - drift[middle], np.float64), centred, request.height, request.width)


def grid_places() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return y and x of the field's control points, (grid, grid), as fractions 0 … 1 of the picture."""
    side = np.linspace(0, 1, GRID)
    y, x = np.meshgrid(side, side, indexing="ij")
    return y, x
