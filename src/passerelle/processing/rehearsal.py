"""Process tiny movies of every kind that cameras write: all kernels are compiled, and cached, ahead of the first real one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from passerelle.core.errors import PasserelleError
from passerelle.formats import write_mrc, write_mrc_stack
from passerelle.formats.eer_write import write_eer_movie
from passerelle.formats.tiff_write import write_tiff_movie
from passerelle.processing.movie import process_movie
from passerelle.processing.recipe import CtfRecipe, DoseRecipe, MotionRecipe, Recipe
from passerelle.processing.task import MovieTask

_SIDE, _FRAMES = 320, 6
_WHOLE_RECIPE = Recipe(motion=MotionRecipe(patches_y=2, patches_x=2), dose=DoseRecipe(half_sums=True), ctf=CtfRecipe(box_px=256))
_METADATA = {
    "voltage_kv": 300.0,
    "spherical_aberration_mm": 2.7,
    "pixel_size_angstrom": 1.0,
    "dose_per_frame_e_per_angstrom2": 1.0,
    "dose_e_per_angstrom2": float(_FRAMES),
}


def _stack(kind: str) -> np.ndarray:
    rng = np.random.default_rng(1)
    specimen = rng.random((_SIDE, _SIDE)) < 0.05
    return rng.poisson(2.0 + 6.0 * specimen, (_FRAMES, _SIDE, _SIDE)).astype(kind)


def _tiff(path: Path) -> None:
    write_tiff_movie(path, _stack("uint8"), 1.0)


def _eer(path: Path) -> None:
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, _SIDE, (4000, 2)) for _ in range(2 * _FRAMES)]
    write_eer_movie(path, frames, _SIDE, _SIDE, pixel_size_angstrom=1.0, dose_e_per_angstrom2=float(_FRAMES))


def _mrc(kind: str) -> Callable[[Path], None]:
    return lambda path: write_mrc_stack(path, _stack(kind), 1.0, kind)  # pyright: ignore[reportArgumentType]


# name -> how it is written; the commonest first, as a real movie may come while this still goes on
KINDS: dict[str, Callable[[Path], None]] = {
    "uint8.tiff": _tiff,
    "int16.mrc": _mrc("int16"),
    "events.eer": _eer,
    "int8.mrc": _mrc("int8"),
    "uint16.mrc": _mrc("uint16"),
    "float32.mrc": _mrc("float32"),
}


def rehearse(*, kinds: tuple[str, ...] = tuple(KINDS)) -> list[str]:
    """Process a movie of each kind, with and without a gain, in a temporary folder. Return what went wrong, in words."""
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="passerelle-") as place:
        folder = Path(place)
        gain = folder / "gain.mrc"
        write_mrc(gain, np.ones((_SIDE, _SIDE), np.float32), 1.0)
        for name in kinds:
            path = folder / name
            KINDS[name](path)
            for reference in (str(gain), None):
                problems += _rehearse(path, reference, folder / "out")
    return problems


def _rehearse(path: Path, gain: str | None, out: Path) -> list[str]:
    status = path.stat()
    task = MovieTask(
        movie_id=0,
        name=path.name,
        movie=str(path),
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        metadata=_METADATA,
        gain=gain,
        check_gain=gain is not None,
        recipe=_WHOLE_RECIPE,
        thresholds={},
        folder=str(out / f"{path.name}-{gain is not None}"),
    )
    try:
        outcome = process_movie(task)
    except PasserelleError as problem:  # not even a folder for it
        return [str(problem)]
    return [] if outcome.error is None else [outcome.error.message]
