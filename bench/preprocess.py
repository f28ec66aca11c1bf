"""The pre-processing of one movie against RELION 3.1's own motion correction, on the same simulated movie with known truth.

    make bench-preprocess                            full: 3 repetitions, 40 frames, MRC, TIFF-LZW and K3; 15 minutes
    make bench-preprocess ARGS="--quick --json F"    at most 50 s: RELION on the first frames only, its time scaled, and said so

Both programs read the same file, apply the same gain, fit 5 × 5 patches and write an unweighted and a dose-weighted micrograph.
Ours is run by a worker that has had such a movie before, as all but the first of a session are.
Ratios of cost are RELION ÷ passerelle (more is better), of error passerelle ÷ RELION (less is better). Rings: the Fourier ring
correlation with the specimen, passerelle's less RELION's, in the band where that is least (above zero is better in all).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.likeness import ring_correlation
from bench.measure import Cost, Worker, arguments, median, run_command, run_function, write_figures
from bench.relion import read_motion, run_relion, sums
from passerelle.formats import load_stack, open_movie, read_gain, read_image, write_mrc, write_mrc_stack, write_tiff_movie
from passerelle.imaging.correct import correct_movie
from passerelle.imaging.ctf_fit import CtfOptions, fit_ctf
from passerelle.imaging.ctf_model import Optics
from passerelle.imaging.field import MotionField
from passerelle.imaging.motion import MotionOptions, estimate_motion
from passerelle.simulation.drift import random_field
from passerelle.simulation.electrons import EFFICIENCY_ONE, deal
from passerelle.simulation.krios import krios_micrograph
from passerelle.testing.micrographs import simulate_micrograph

DRIFT_PX, LOCAL_PX = 20.0, 5.0  # about 0.4 px RMS at the centres of the patches
DOSE_PER_FRAME = 1.25
PATCHES = (5, 5)


@dataclass(frozen=True)
class Movie:
    """A simulated movie on disk, and its truth."""

    path: Path
    gain: Path | None
    specimen: Path  # .npy: the electrons that all frames together have
    truth: MotionField
    pixel_size_angstrom: float
    frames: int

    @property
    def centres(self) -> list[tuple[float, float]]:
        ny, nx = PATCHES
        height, width = self.truth.height, self.truth.width
        return [((i + 0.5) * height / ny, (j + 0.5) * width / nx) for i in range(ny) for j in range(nx)]


def make_movie(folder: Path, name: str, *, frames: int, size: tuple[int, int] | None, kind: str, seed: int) -> Movie:
    """Deal a real K2 micrograph's electrons to frames under a known motion; mirrored out to `size` for a K3."""
    specimen = krios_micrograph("k2")
    electrons = specimen.electrons(seed)
    if size is not None:
        grow = [(0, max(0, want - have)) for want, have in zip(size, electrons.shape, strict=True)]
        electrons = np.pad(electrons, grow, mode="symmetric")[: size[0], : size[1]]
    height, width = electrons.shape
    truth = random_field(frames, height, width, global_px=DRIFT_PX, local_px=LOCAL_PX, seed=seed)
    rng = np.random.default_rng(seed)
    gain = np.clip(rng.normal(1, 0.03, (height, width)), 0.8, 1.2).astype(np.float32)
    response = np.round(EFFICIENCY_ONE / gain).astype(np.uint16)
    stack = deal(electrons, truth, seed=seed, efficiency=response, ceiling=127)
    path = folder / f"{name}.{'mrcs' if kind == 'mrc' else 'tif'}"
    if kind == "mrc":
        write_mrc_stack(path, stack.view(np.int8), specimen.pixel_size_angstrom, "int8")  # as a K2 writes; no count beyond 127
    else:
        write_tiff_movie(path, stack, specimen.pixel_size_angstrom)
    gain_path = folder / f"{name}-gain.mrc"
    write_mrc(gain_path, gain, specimen.pixel_size_angstrom)
    specimen_path = folder / f"{name}-specimen.npy"
    np.save(specimen_path, electrons.astype(np.float32))
    return Movie(path, gain_path, specimen_path, truth, specimen.pixel_size_angstrom, frames)


def ours(movie: Movie, folder: Path) -> MotionField:
    """Read, align and correct as RELION is asked to; write both sums; return the motion found."""
    with open_movie(movie.path) as reader:
        frames = load_stack(reader)
    gain = None if movie.gain is None else read_gain(movie.gain)
    pixel = movie.pixel_size_angstrom
    options = MotionOptions(patches=PATCHES)
    estimate = estimate_motion(frames, gain=gain, defects=None, pixel_size_angstrom=pixel, options=options)
    sums = correct_movie(
        frames,
        gain=gain,
        defects=None,
        field=estimate.field,
        pixel_size_angstrom=pixel,
        voltage_kv=300.0,
        dose_per_frame=DOSE_PER_FRAME,
        weighted=True,
        half_sums=False,
    )
    write_mrc(folder / "unweighted.mrc", sums.unweighted, pixel)
    assert sums.weighted is not None
    write_mrc(folder / "weighted.mrc", sums.weighted, pixel)
    return estimate.field


def local_error_px(found: object, movie: Movie) -> float:
    """Return the RMS error of the local motion at the patches' centres, pixels.

    Local is what is left of the motion when its mean over the patches is taken away; a constant offset of a place does not
    blur, so each place's mean over the frames is taken away, too.
    """

    def local(field: object) -> np.ndarray:
        tracks = np.array([[field.at(t, y, x) for t in range(movie.frames)] for y, x in movie.centres], float)  # type: ignore[attr-defined]
        tracks -= tracks.mean(axis=0, keepdims=True)
        return tracks - tracks.mean(axis=1, keepdims=True)

    truth = local(movie.truth)
    measured = local(found)
    return float(np.sqrt(np.mean(np.sum((measured - truth) ** 2, axis=-1))))


@dataclass(frozen=True)
class Race:
    """What both programs cost, how far each was off (RMS px of the local motion), and what is left of the specimen."""

    mine: Cost
    theirs: Cost
    my_error_px: float
    their_error_px: float
    unweighted_rings: np.ndarray  # ours less RELION's
    weighted_rings: np.ndarray

    def figures(self, key: str) -> dict[str, float]:
        """Return the keys of one work."""
        return {
            f"motion_{key}_cpu_ratio": self.theirs.cpu_s / self.mine.cpu_s,
            f"motion_{key}_wall_ratio": self.theirs.wall_s / self.mine.wall_s,
            f"motion_{key}_cpu_s": self.mine.cpu_s,
            f"relion_{key}_cpu_s": self.theirs.cpu_s,
            f"motion_{key}_error_ratio": self.my_error_px / self.their_error_px,
            f"motion_{key}_peak_gib": self.mine.peak_gib,
            f"motion_{key}_rings": float(min(self.unweighted_rings.min(), self.weighted_rings.min())),
        }

    def row(self, work: str) -> str:
        """Return a line of the table."""
        mine, theirs = self.mine, self.theirs
        cells = [
            work,
            f"{theirs.cpu_s:.1f}",
            f"{mine.cpu_s:.2f}",
            f"**{theirs.cpu_s / mine.cpu_s:.1f}**",
            f"{theirs.wall_s:.1f} / {mine.wall_s:.1f}",
            f"{theirs.peak_gib:.2f} / {mine.peak_gib:.2f}",
            f"{self.their_error_px:.3f} / {self.my_error_px:.3f}",
            f"{self.unweighted_rings.min():+.4f}, {self.weighted_rings.min():+.4f}",
        ]
        return f"| {' | '.join(cells)} |"


TABLE_HEAD = """
| work | RELION CPU-s | passerelle CPU-s | ratio | wall s | peak GiB | local error px | rings: unweighted, weighted |
|---|---|---|---|---|---|---|---|"""


def race(movie: Movie, folder: Path, *, repeat: int, part: int | None) -> Race:
    """Run both programs `repeat` times in turn.

    part: RELION corrects so many first frames only, its time is scaled, and both errors and rings are those of these frames.
    """
    mine: list[Cost] = []
    theirs: list[Cost] = []
    peers_movie = movie if part is None else first_frames(movie, part, folder)
    scale = movie.frames / peers_movie.frames
    with Worker() as worker:
        worker.run(ours, movie, folder)
        for _ in range(repeat):
            cost, found = worker.run(ours, movie, folder)
            mine.append(cost)
            raw = run_relion(
                peers_movie.path,
                peers_movie.gain,
                folder / "relion",
                pixel_size=movie.pixel_size_angstrom,
                dose_per_frame=DOSE_PER_FRAME,
                threads=2,
            )
            theirs.append(Cost(raw.cpu_s * scale, raw.wall_s * scale, raw.peak_gib))
        if part is not None:
            _, found = worker.run(ours, peers_movie, folder)
    found_by_relion = read_motion(folder / "relion")
    specimen = np.load(movie.specimen)
    my_rings, their_rings = (
        [ring_correlation(read_image(path), specimen) for path in pictures]
        for pictures in ((folder / "unweighted.mrc", folder / "weighted.mrc"), sums(folder / "relion"))
    )
    return Race(
        median(mine),
        median(theirs),
        local_error_px(found, peers_movie),
        local_error_px(found_by_relion, peers_movie),
        my_rings[0] - their_rings[0],
        my_rings[1] - their_rings[1],
    )


def first_frames(movie: Movie, count: int, folder: Path) -> Movie:
    """Cut the first frames of a movie, with their truth."""
    path = folder / f"first-{count}-{movie.path.name}"
    if not path.exists():
        with open_movie(movie.path) as reader:
            stack = load_stack(reader, 0, count - 1)
        if path.suffix == ".tif":
            write_tiff_movie(path, stack, movie.pixel_size_angstrom)
        else:
            write_mrc_stack(path, stack.view(np.int8), movie.pixel_size_angstrom, "int8")
    truth = MotionField(movie.truth.global_px[:count], movie.truth.local_px[:, :count], movie.truth.height, movie.truth.width)
    return Movie(path, movie.gain, movie.specimen, truth, movie.pixel_size_angstrom, count)


def ctf_figures(cases: int) -> dict[str, float]:
    """Fit simulated 4k micrographs of 0.5–4 µm with known CTF; return cost and errors, medians over the cases."""
    _, (costs, defocus_errors, astigmatism_errors) = run_function(fit_cases, cases)
    return {
        "ctf_cpu_s": float(np.median(costs)),
        "ctf_defocus_error_angstrom": float(np.median(defocus_errors)),
        "ctf_astigmatism_error_angstrom": float(np.median(astigmatism_errors)),
    }


def fit_cases(cases: int) -> tuple[list[float], list[float], list[float]]:
    """Fit `cases` micrographs; a small one first, as a worker does before its first movie, so that kernels are loaded."""
    optics = Optics(voltage_kv=300.0, spherical_aberration_mm=2.7, amplitude_contrast=0.1, pixel_size_angstrom=0.85)
    rng = np.random.default_rng(7)
    costs: list[float] = []
    defocus_errors: list[float] = []
    astigmatism_errors: list[float] = []
    for number in range(-1, cases):
        mean, astigmatism, angle = rng.uniform(5000, 40000), rng.uniform(0, 1500), rng.uniform(-90, 90)
        side = 4096 if number >= 0 else 512
        image = simulate_micrograph(
            (side, side),
            optics,
            defocus_u_angstrom=mean + astigmatism / 2,
            defocus_v_angstrom=mean - astigmatism / 2,
            angle_deg=angle,
            seed=number + 2,
        )
        began = time.process_time()
        fit = fit_ctf(image, optics, CtfOptions())
        if number >= 0:
            costs.append(time.process_time() - began)
            defocus_errors.append(abs(fit.defocus_angstrom - mean))
            astigmatism_errors.append(abs(fit.astigmatism_angstrom - astigmatism))
    return costs, defocus_errors, astigmatism_errors


def stream_movies_per_hour(movie: Movie, folder: Path, copies: int) -> float:
    """Process copies of a movie with the whole pipeline (database, pictures and all) on this machine's cores."""
    session = folder / "session"
    session.mkdir()
    for number in range(copies):
        os.link(movie.path, session / f"movie-{number:02d}{movie.path.suffix}")
    command = [sys.executable, "-m", "passerelle", "process", session, "--output", folder / "processed"]
    command += [] if movie.gain is None else ["--gain", movie.gain]
    command += ["--voltage", "300", "--dose-per-frame", str(DOSE_PER_FRAME), "--json"]
    cost = run_command([*command], log=folder / "process.log")
    return copies / cost.wall_s * 3600


def main() -> None:
    options = arguments(__doc__ or "")
    repeat = options.repeat or (1 if options.quick else 3)
    rows: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bench-preprocess-") as name:
        folder = Path(name)
        k2 = make_movie(folder, "k2", frames=40, size=None, kind="mrc", seed=1)
        part = 6 if options.quick else None
        if part:
            print(f"quick: RELION corrects the first {part} of {k2.frames} frames; cost scaled, errors and rings of these.")
        done = race(k2, folder, repeat=repeat, part=part)
        rows.append(done.row("K2, MRC"))
        figures = done.figures("mrc") | {
            "motion_local_error_px": done.my_error_px,
            "relion_local_error_px": done.their_error_px,
            "motion_local_error_ratio": done.my_error_px / done.their_error_px,
            "motion_peak_gib": done.mine.peak_gib,
            "relion_peak_gib": done.theirs.peak_gib,
        }
        figures |= ctf_figures(2 if options.quick else 9)
        if not options.quick:
            for key, work, size, kind in (("tiff", "K2, TIFF-LZW", None, "tiff"), ("k3", "K3, MRC", (4092, 5760), "mrc")):
                done = race(make_movie(folder, key, frames=40, size=size, kind=kind, seed=2), folder, repeat=repeat, part=None)
                rows.append(done.row(work))
                figures |= done.figures(key)
            figures["stream_movies_per_hour"] = stream_movies_per_hour(k2, folder, 12)
        print("\n".join([TABLE_HEAD, *rows, ""]))
        write_figures(figures, options.json)


if __name__ == "__main__":
    main()
