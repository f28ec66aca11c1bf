"""Motion correction of a K3 movie on a graphics card, beside the same on processors and, where it is installed, MotionCor3.

    make bench-gpu                            K3, 4092 × 5760 × 40 frames, 5 repetitions; 2 minutes
    make bench-gpu ARGS="--quick --json F"    the same, 3 repetitions, one run on processors

Time on the card is by its own clock (torch.cuda.Event), after two runs that warm it up: from frames in this machine's memory to
micrographs in this machine's memory (dose-weighted, unweighted, even and odd), decoding left out. Where no card is, the script
says so, compares torch on processors with numba on a smaller movie, and ends well: the keys of the card are then absent.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as a worker is started; idle BLAS threads spin and cost CPU time

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bench.measure import arguments, run_command, write_figures
from passerelle.core.errors import BadConfiguration
from passerelle.formats import write_mrc, write_mrc_stack
from passerelle.imaging import MotionEstimate, MotionField, MotionOptions, Sums, correct_movie, estimate_motion
from passerelle.imaging.devices import kernels_for
from passerelle.imaging.kernels import Kernels
from passerelle.programs import motioncor
from passerelle.programs.motion import MotionRequest
from passerelle.simulation.drift import random_field
from passerelle.simulation.electrons import EFFICIENCY_ONE, deal

K3, FRAMES, PIXEL_ANGSTROM = (4092, 5760), 40, 0.83
SMALL, SMALL_FRAMES = (1000, 1150), 16
DOSE_PER_FRAME, PATCHES = 1.2, (5, 5)
WARM_UPS = 2


@dataclass(frozen=True)
class Movie:
    """Frames as a K3 writes them, their gain, and the motion that is in them."""

    frames: np.ndarray
    gain: np.ndarray
    truth: MotionField


def made(size: tuple[int, int], frames: int) -> Movie:
    """Deal electrons of a specimen without long-range order to frames that drift by 20 px and bend by 5."""
    rng = np.random.default_rng(1)
    spectrum = np.fft.rfft2(rng.normal(size=size).astype(np.float32))
    s2 = (np.fft.fftfreq(size[0])[:, None] ** 2 + np.fft.rfftfreq(size[1])[None] ** 2) / PIXEL_ANGSTROM**2
    spectrum *= np.exp(-30 * s2) * (1 + 4 * np.exp(-900 * s2)) * (s2 > 0)
    picture = np.fft.irfft2(spectrum, s=size)
    electrons = rng.poisson(np.maximum(frames * (1 + 0.08 * picture / picture.std()), 0)).astype(np.uint16)
    truth = random_field(frames, *size, global_px=20.0, local_px=5.0, seed=1)
    gain = np.clip(rng.normal(1, 0.03, size), 0.8, 1.2).astype(np.float32)
    counts = deal(electrons, truth, seed=1, efficiency=np.round(EFFICIENCY_ONE / gain).astype(np.uint16))
    return Movie(counts, gain, truth)


def aligned(movie: Movie, kernels: Kernels, held: Any, statistics_: Any) -> MotionEstimate:
    return estimate_motion(
        held,
        gain=movie.gain,
        defects=None,
        pixel_size_angstrom=PIXEL_ANGSTROM,
        options=MotionOptions(patches=PATCHES, hot_pixels=False),  # the gain step looks for them, on processors
        statistics=statistics_,
        device=kernels,
    )


def summed(movie: Movie, kernels: Kernels, held: Any, field: MotionField) -> Sums:
    return correct_movie(
        held,
        gain=movie.gain,
        defects=None,
        field=field,
        pixel_size_angstrom=PIXEL_ANGSTROM,
        dose_per_frame=DOSE_PER_FRAME,
        device=kernels,
    )


@dataclass(frozen=True)
class Run:
    """What one run took, seconds by stage, and what it found."""

    seconds: dict[str, float]
    cpu_s: float
    estimate: MotionEstimate
    sums: Sums


def run(movie: Movie, kernels: Kernels, clock: Callable[[], Callable[[], float]]) -> Run:
    """Take a movie through all stages. clock: starts a watch, which tells the seconds since."""
    seconds: dict[str, float] = {}
    began = time.process_time()

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        watch = clock()
        result = work()
        seconds[stage] = watch()
        return result

    whole = clock()
    held = timed("upload", lambda: kernels.hold(movie.frames))
    measured = timed("statistics", lambda: kernels.statistics(held))
    estimate = timed("motion", lambda: aligned(movie, kernels, held, measured))
    sums = timed("sums", lambda: summed(movie, kernels, held, estimate.field))
    seconds["whole"] = whole()
    return Run(seconds, time.process_time() - began, estimate, sums)


def differences(one: Run, other: Run, movie: Movie, kernels: Kernels) -> dict[str, float]:
    """Return the largest difference of two motions, pixels, and of the images corrected by one motion, RMS over contrast."""
    y, x = np.meshgrid(*(np.linspace(0, n - 1, 9) for n in movie.frames.shape[1:]), indexing="ij")
    fields = one.estimate.field, other.estimate.field
    apart = [np.abs(np.subtract(fields[0].at(t, y, x), fields[1].at(t, y, x))).max() for t in range(fields[0].frames)]
    again = summed(movie, kernels, movie.frames, one.estimate.field)
    images = [
        float(np.std(getattr(again, part) - getattr(one.sums, part)) / np.std(getattr(one.sums, part)))
        for part in ("unweighted", "weighted", "even", "odd")
    ]
    return {"device_motion_difference_px": float(max(apart)), "device_image_difference": max(images)}


def wall() -> Callable[[], float]:
    began = time.monotonic()
    return lambda: time.monotonic() - began


def on_the_card(kernels: Any, repeat: int) -> dict[str, float]:
    """Measure a K3 movie on a card."""
    import torch

    def events() -> Callable[[], float]:
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()

        def elapsed() -> float:
            end.record()
            end.synchronize()
            return begin.elapsed_time(end) / 1000

        return elapsed

    print(f"card: {torch.cuda.get_device_name(kernels.device)}; torch {torch.__version__}")
    movie = made(K3, FRAMES)
    for _ in range(WARM_UPS):
        run(movie, kernels, events)
    torch.cuda.reset_peak_memory_stats(kernels.device)
    runs = [run(movie, kernels, events) for _ in range(repeat)]
    figures = {
        f"gpu_k3_{stage}_s": statistics.median(each.seconds[stage] for each in runs)
        for stage in ("whole", "upload", "statistics", "motion", "sums")
    }
    figures["gpu_k3_s"] = figures.pop("gpu_k3_whole_s")
    figures["gpu_k3_host_cpu_s"] = statistics.median(each.cpu_s for each in runs)
    figures["gpu_peak_gib"] = torch.cuda.max_memory_allocated(kernels.device) / 2**30
    processors = kernels_for("cpu")
    run(made(SMALL, SMALL_FRAMES), processors, wall)  # kernels are compiled once
    reference = run(movie, processors, wall)
    figures["cpu_k3_cpu_s"] = reference.cpu_s
    figures |= differences(reference, runs[0], movie, kernels)
    figures |= motioncor3(movie, figures["gpu_k3_s"])
    return figures


def motioncor3(movie: Movie, ours_s: float) -> dict[str, float]:
    """Time MotionCor3 on the same movie as a file, where it is installed: reading and writing included."""
    executable = shutil.which("MotionCor3")
    if executable is None:
        print("MotionCor3 is not installed: no comparison with it.")
        return {}
    with tempfile.TemporaryDirectory(prefix="bench-gpu-") as name:
        folder = Path(name)
        write_mrc_stack(folder / "movie.mrcs", movie.frames.view(np.int8), PIXEL_ANGSTROM, "int8")
        write_mrc(folder / "gain.mrc", movie.gain, PIXEL_ANGSTROM)
        request = MotionRequest(
            movie="movie.mrcs",
            gain="gain.mrc",
            frames=FRAMES,
            height=K3[0],
            width=K3[1],
            pixel_size_angstrom=PIXEL_ANGSTROM,
            voltage_kv=300.0,
            dose_per_frame=DOSE_PER_FRAME,
            patches=PATCHES,
            bfactor_angstrom2=150.0,
            half_sums=True,
        )
        command = motioncor.prepare(request, folder, executable, ("-Gpu", "0"), generation=3)
        seconds = statistics.median(run_command(command, cwd=folder, log=folder / "log.txt").wall_s for _ in range(3))
    return {"motioncor3_k3_wall_s": seconds, "gpu_k3_motioncor3_ratio": seconds / ours_s}


def without_a_card() -> dict[str, float]:
    """Compare torch on processors with numba on a smaller movie."""
    import torch

    from passerelle.imaging.torch_kernels import TorchKernels

    torch.set_num_threads(1)
    movie, numba, there = made(SMALL, SMALL_FRAMES), kernels_for("cpu"), TorchKernels(torch.device("cpu"))
    run(movie, numba, wall)  # kernels are compiled once
    one, other = run(movie, numba, wall), run(movie, there, wall)
    return {"numba_small_cpu_s": one.cpu_s, "torch_small_cpu_s": other.cpu_s} | differences(one, other, movie, there)


def main() -> None:
    options = arguments(__doc__ or "")
    figures: dict[str, float] = {}
    if find_spec("torch") is None:
        print('torch is not installed: pip install "passerelle[gpu]". Nothing was measured.')
        if options.json:
            options.json.write_text("{}\n")
        return
    try:
        kernels = kernels_for("cuda")
    except BadConfiguration as problem:
        print(f"{problem} Only the agreement of torch with numba is measured, on processors.")
        figures = without_a_card()
    else:
        figures = on_the_card(kernels, options.repeat or (3 if options.quick else 5))
    write_figures(figures, options.json)


if __name__ == "__main__":
    main()
