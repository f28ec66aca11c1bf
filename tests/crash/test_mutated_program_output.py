"""What programs leave is damaged at random, as by a full disk or a crash: it is read, or refused in words, and nothing else."""

from __future__ import annotations

import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from passerelle.core.errors import ProgramFailed
from passerelle.programs import ctffind, motioncor, relion
from passerelle.programs.motion import MotionRequest
from passerelle.testing.mutation import mutations, survive

RECORDED = Path(__file__).parents[1] / "unit" / "programs" / "recorded"
EACH = 400


def request(frames: int, patches: int) -> MotionRequest:
    return MotionRequest("movie.mrcs", frames, 640, 768, 1.0, 300.0, dose_per_frame=1.0, patches=(patches, patches))


def patch_log(columns: int) -> str:
    """A log of 2 × 2 patches and 16 frames, as MotionCor lays it out."""
    lines = ["# Patch based alignment", "# Number of patches: 4"]
    for patch in range(4):
        lines.append(f"#Patch {patch + 1:03d} raw and fit shifts")
        for frame in range(16):
            last = "   0" if columns == 6 else "    0.10     0.20"
            x, y = 192 + 384 * (patch % 2), 160 + 320 * (patch // 2)
            lines.append(f"{frame + 1:4d} {x:8.2f} {y:8.2f} {0.1:8.2f} {-0.2:8.2f} {last}")
    return "\n".join(lines)


def read_relion(path: Path) -> object:
    return relion.read(request(8, 4), path.parents[1])


def read_motioncor(path: Path) -> object:
    return motioncor.read(request(16, 2), path.parents[1], generation=3)


def read_ctffind(path: Path) -> object:
    return ctffind.read(path.parent)


KINDS: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "relion": ("out/movie.star", "relion-3.1.3.star", read_relion),
    "motioncor drift": ("log/movie-Patch-Full.log", "motioncor2-1.5.0-Patch-Full.log", read_motioncor),
    "motioncor2 patches": ("log/movie-Patch-Patch.log", "7", read_motioncor),
    "motioncor3 patches": ("log/movie-Patch-Patch.log", "6", read_motioncor),
    "ctffind 4": ("diagnostic.txt", "ctffind-4.1.14.txt", read_ctffind),
    "ctffind 5": ("diagnostic.txt", "ctffind-5.0.2.txt", read_ctffind),
    "ctffind curves": ("diagnostic_avrot.txt", "ctffind-4.1.14_avrot.txt", read_ctffind),
}


@pytest.fixture
def left(tmp_path: Path) -> Iterator[Path]:
    for folder in ("out", "log"):
        (tmp_path / folder).mkdir()
    shutil.copy(RECORDED / "motioncor2-1.5.0-Patch-Full.log", tmp_path / "log" / "movie-Patch-Full.log")
    (tmp_path / "log" / "movie-Patch-Patch.log").write_text(patch_log(6))
    shutil.copy(RECORDED / "ctffind-4.1.14.txt", tmp_path / "diagnostic.txt")
    shutil.copy(RECORDED / "ctffind-4.1.14_avrot.txt", tmp_path / "diagnostic_avrot.txt")
    tracemalloc.start()
    yield tmp_path
    tracemalloc.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_results_are_read_or_refused_and_nothing_else(left: Path, kind: str) -> None:
    name, recorded, read = KINDS[kind]
    base = patch_log(int(recorded)).encode() if recorded.isdecimal() else (RECORDED / recorded).read_bytes()
    (left / name).write_bytes(base)
    read(left / name)  # the whole one is read
    outcomes = [
        survive(read, damaged, left / name, (ProgramFailed,), label=f"{kind} file {number}")
        for number, damaged in enumerate(mutations(base, EACH, seed=len(base), text=True))
    ]
    assert 0.01 < sum(outcomes) / len(outcomes) < 0.98
