"""The peer: RELION's own motion correction on one movie, and what its STAR file says of the motion."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.measure import Cost, run_command

PROGRAM = shutil.which("relion_run_motioncorr")


@dataclass(frozen=True)
class RelionMotion:
    """The motion that RELION found. global_px: (t, 2) as (dy, dx); coefficients: (2, 18) of its third-order polynomial."""

    global_px: np.ndarray
    coefficients: np.ndarray
    height: int
    width: int

    def at(self, frame: int, y: float, x: float) -> tuple[float, float]:
        """Return RELION's shift (dy, dx) at a place of a frame; its polynomial is cubic in time, quadratic in space."""
        u, v = x / self.width - 0.5, y / self.height - 0.5
        time = np.array([frame, frame**2, frame**3], float)
        space = np.array([1.0, u, u * u, v, v * v, u * v])
        basis = np.outer(space, time).ravel()
        dx, dy = self.coefficients @ basis
        return float(self.global_px[frame, 0] + dy), float(self.global_px[frame, 1] + dx)


def run_relion(
    movie: Path, gain: Path | None, folder: Path, *, pixel_size: float, dose_per_frame: float, threads: int = 1
) -> Cost:
    """Correct `movie` with 5 × 5 patches, dose-weighted and unweighted sums; results in folder/out."""
    if PROGRAM is None:
        raise SystemExit("RELION is not installed: install the Debian package `relion`, then run this again.")
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    star = folder / "movies.star"
    star.write_text(_STAR.format(pixel_size=pixel_size, movie=movie.name))
    link = folder / movie.name
    link.unlink(missing_ok=True)
    link.symlink_to(movie)
    command = [PROGRAM, "--i", star.name, "--o", "out/", "--use_own", "--j", str(threads), "--patch_x", "5", "--patch_y", "5"]
    command += ["--bfactor", "150", "--dose_per_frame", str(dose_per_frame), "--preexposure", "0"]
    command += ["--dose_weighting", "--save_noDW", "--bin_factor", "1", "--seed", "1"]
    if gain is not None:
        command += ["--gainref", str(gain)]
    return run_command(command, cwd=folder, log=folder / "relion.log")


def read_motion(folder: Path, height: int, width: int) -> RelionMotion:
    """Read the motion of the one movie in folder/out."""
    path = next(folder.glob("out/**/*.star"), None)
    candidates = [found for found in folder.glob("out/**/*.star") if "data_global_shift" in found.read_text()]
    if not candidates:
        raise SystemExit(f"RELION left no motion under {path or folder}")
    text = candidates[0].read_text()
    shifts = np.array(_rows(text, "global_shift"), float)
    model = np.array(_rows(text, "local_motion_model"), float) if "data_local_motion_model" in text else np.zeros((36, 2))
    coefficients = model[np.argsort(model[:, 0]), 1].reshape(2, 18)
    return RelionMotion(shifts[:, [2, 1]], coefficients, height, width)


def _rows(text: str, block: str) -> list[list[str]]:
    body = text.split(f"data_{block}", 1)[1]
    body = re.split(r"\ndata_", body, maxsplit=1)[0]
    lines = [line.split() for line in body.splitlines()]
    return [line for line in lines if line and not line[0].startswith(("_", "loop_", "#", "data_"))]


def sums(folder: Path) -> tuple[Path, Path]:
    """Return RELION's unweighted and dose-weighted micrographs in folder/out."""
    written = [Path(found) for found in folder.glob("out/**/*.mrc")]
    unweighted = next(path for path in written if path.stem.endswith("_noDW"))
    weighted = next(path for path in written if not path.stem.endswith("_noDW") and os.path.getsize(path) > 1 << 20)
    return unweighted, weighted


_STAR = """# version 30001

data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnMicrographOriginalPixelSize #3
_rlnVoltage #4
_rlnSphericalAberration #5
_rlnAmplitudeContrast #6
opticsGroup1 1 {pixel_size} 300 2.7 0.1


# version 30001

data_movies

loop_
_rlnMicrographMovieName #1
_rlnOpticsGroup #2
{movie} 1

"""
