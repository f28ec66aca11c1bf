"""The peer: RELION's own motion correction on one movie, run and read as the product runs and reads it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from bench.measure import Cost, run_command
from passerelle.formats import open_movie
from passerelle.imaging.field import MotionField
from passerelle.programs import relion
from passerelle.programs.motion import MotionRequest

PROGRAM = shutil.which("relion_run_motioncorr")
_BFACTOR_PX2 = 150.0  # RELION's default


def run_relion(
    movie: Path, gain: Path | None, folder: Path, *, pixel_size: float, dose_per_frame: float, threads: int = 1
) -> Cost:
    """Correct `movie` with 5 × 5 patches, dose-weighted and unweighted sums; results in folder/out."""
    if PROGRAM is None:
        raise SystemExit("RELION is not installed: install the Debian package `relion`, then run this again.")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "out", ignore_errors=True)
    request = replace(_request(movie), pixel_size_angstrom=pixel_size, dose_per_frame=dose_per_frame, threads=threads)
    request = replace(request, bfactor_angstrom2=_BFACTOR_PX2 * pixel_size**2, gain=None if gain is None else str(gain))
    for old in folder.glob("movie.*"):
        old.unlink()
    (folder / request.movie).symlink_to(movie)
    command = relion.prepare(request, folder, PROGRAM, ["--seed", "1"])
    return run_command(command, cwd=folder, log=folder / "relion.log")


def read_motion(folder: Path) -> MotionField:
    """Read the motion of the one movie in folder/out, in the convention of the product."""
    return relion.read(_request(_movie(folder)), folder).field


def sums(folder: Path) -> tuple[Path, Path]:
    """Return RELION's unweighted and dose-weighted micrographs in folder/out."""
    pictures = relion.read(_request(_movie(folder)), folder).pictures
    return pictures["micrograph"], pictures["micrograph_weighted"]


def _movie(folder: Path) -> Path:
    return next(path for path in folder.glob("movie.*") if path.is_symlink())


def _request(movie: Path) -> MotionRequest:
    with open_movie(movie) as reader:
        header = reader.header
    return MotionRequest(
        movie="movie.tif" if movie.suffix == ".tif" else "movie.mrcs",
        frames=header.frames,
        height=header.height,
        width=header.width,
        pixel_size_angstrom=1.0,
        voltage_kv=300.0,
        dose_per_frame=1.0,
    )
