"""How the cost of motion correction grows with the number of frames and of pixels.

    make bench-scaling                            20 to 80 frames at 4k, 2k to 8k at 20 frames; 8 minutes, 8 GiB
    make bench-scaling ARGS="--quick --json F"    10 to 40 frames at 2k, 1k to 4k at 10 frames; at most 50 s

The exponent is the slope of log CPU time over log frames, or over log pixels: 1 is linear, less is better.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.measure import Cost, Worker, arguments, median, write_figures
from bench.preprocess import Movie, make_movie, ours
from passerelle.formats import load_stack, open_movie, write_mrc_stack


def cut(movie: Movie, folder: Path, frames: int, side: int) -> Movie:
    """Write the first frames of the middle of a movie as a movie of its own."""
    path = folder / f"cut-{frames}-{side}.mrcs"
    with open_movie(movie.path) as reader:
        stack = load_stack(reader, 0, frames - 1)
    top, left = ((n - side) // 2 for n in stack.shape[1:])
    part = np.ascontiguousarray(stack[:, top : top + side, left : left + side])
    write_mrc_stack(path, part.view(np.int8), movie.pixel_size_angstrom, "int8")
    return replace(movie, path=path, gain=None, frames=frames)


def measured(movie: Movie, folder: Path, repeat: int) -> Cost:
    with Worker() as worker:
        worker.run(ours, movie, folder)  # as a worker that has had such a movie before
        return median([worker.run(ours, movie, folder)[0] for _ in range(repeat)])


def exponent(amounts: list[int], costs: list[Cost]) -> float:
    """Return the slope of log CPU time over log amount."""
    return float(np.polyfit(np.log(amounts), np.log([cost.cpu_s for cost in costs]), 1)[0])


def main() -> None:
    options = arguments(__doc__ or "")
    repeat = options.repeat or (1 if options.quick else 3)
    side, sides, counts = (2048, [1024, 2048, 4096], [10, 20, 40]) if options.quick else (4096, [2048, 4096, 8192], [20, 40, 80])
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="bench-scaling-") as name:
        folder = Path(name)
        wide = make_movie(folder, "wide", frames=counts[0], size=(sides[-1], sides[-1]), kind="mrc", seed=1)
        long = make_movie(folder, "long", frames=counts[-1], size=(side, side), kind="mrc", seed=2)
        by_side = [measured(cut(wide, folder, counts[0], n), folder, repeat) for n in sides]
        by_count = [measured(cut(long, folder, n, side), folder, repeat) for n in counts]
    print(f"{'movie':<22}{'CPU-s':>8}{'CPU-s a Gpixel':>16}{'peak GiB':>10}")
    works = [(n, counts[0]) for n in sides] + [(side, n) for n in counts]
    for (edge, frames), cost in zip(works, by_side + by_count, strict=True):
        amount = frames * edge * edge / 1e9
        print(f"{f'{edge} × {edge} × {frames}':<22}{cost.cpu_s:>8.2f}{cost.cpu_s / amount:>16.2f}{cost.peak_gib:>10.2f}")
        figures |= {f"scaling_{edge}_{frames}_cpu_s": cost.cpu_s, f"scaling_{edge}_{frames}_peak_gib": cost.peak_gib}
    figures["scaling_pixels_exponent"] = exponent([n * n for n in sides], by_side)
    figures["scaling_frames_exponent"] = exponent(counts, by_count)
    write_figures(figures, options.json)


if __name__ == "__main__":
    main()
