"""20,000 damaged MRC, TIFF, EER, DM and STAR files: no crash, no hang, no allocation by a header's word."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from passerelle.core.errors import PasserelleError
from passerelle.formats import (
    EerOptions,
    StarBlock,
    open_movie,
    read_defects,
    read_gain,
    read_star,
    write_dm,
    write_eer_movie,
    write_mrc_stack,
    write_star,
    write_tiff_movie,
)
from passerelle.testing.mutation import mutations, survive

EACH = 2_500  # × 8 kinds of files


def read_movie(path: Path) -> None:
    with open_movie(path) as movie:
        for index in range(min(movie.header.frames, 3)):
            movie.frame(index)


def read_fine_events(path: Path) -> None:
    with open_movie(path, eer=EerOptions(2, frames_per_fraction=1)) as movie:
        movie.frame(0)


def read_table(path: Path) -> None:
    for block in read_star(path).values():
        for _ in block.rows():
            pass


def write_mrc(path: Path) -> None:
    write_mrc_stack(path, np.arange(3 * 12 * 16, dtype=np.int16).reshape(3, 12, 16), 1.1, "int16")


def write_epu_mrc(path: Path) -> None:
    write_mrc(path)
    content = bytearray(path.read_bytes())
    content[92:96] = (888).to_bytes(4, "little")
    content[104:108] = b"FEI2"
    record = bytearray(b"\xff" * 888)
    record[:8] = (888).to_bytes(4, "little") + (2).to_bytes(4, "little")
    path.write_bytes(content[:1024] + record + content[1024:])


def write_tiff(path: Path) -> None:
    write_tiff_movie(path, np.random.default_rng(0).poisson(1, (4, 16, 20)).astype(np.uint8), 1.1)


def write_eer(path: Path) -> None:
    frames = np.random.default_rng(0).uniform(0, 32, (4, 60, 2))
    write_eer_movie(path, frames, 32, 32, pixel_size_angstrom=0.7, dose_e_per_angstrom2=40, exposure_seconds=3)


def write_stack_of_dm(path: Path) -> None:
    tags = {"Microscope Info.Voltage": 3e5, "Acquisition.Device.Name": "K2"}
    write_dm(path, np.zeros((2, 12, 16), np.uint16), 1.1, tags=tags)


def write_table(path: Path) -> None:
    optics = StarBlock.of_pairs({"rlnVoltage": 300.0, "rlnName": "two words"})
    write_star(
        path, {"optics": optics, "micrographs": StarBlock.of_rows(["rlnA", "rlnB"], [(f"m/{i}.mrc", 1.5) for i in range(20)])}
    )


def write_defects(path: Path) -> None:
    path.write_text(
        "CameraSizeX 16\nCameraSizeY 12\nRotationAndFlip 0\nBadPixels 1 2 3 4\nBadColumns 5\nPartialBadColumn 3 2 1 4\n"
    )


KINDS: dict[str, tuple[str, Callable[[Path], None], Callable[[Path], object], bool]] = {
    "mrc": ("x.mrc", write_mrc, read_movie, False),
    "mrc of epu": ("x.mrc", write_epu_mrc, read_movie, False),
    "tiff": ("x.tif", write_tiff, read_movie, False),
    "eer": ("x.eer", write_eer, read_fine_events, False),
    "dm": ("x.dm4", write_stack_of_dm, read_movie, False),
    "star": ("x.star", write_table, read_table, True),
    "defects": ("x.txt", write_defects, lambda path: read_defects(path, 12, 16), True),
    "gain": ("x.gain", write_tiff, lambda path: read_gain(path, 16, 20), False),
}


@pytest.fixture
def traced() -> Iterator[None]:
    """Trace memory once for all files, not anew for each."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path: Path, kind: str, traced: None) -> None:
    name, write, read, text = KINDS[kind]
    path = tmp_path / name
    write(path)
    base = path.read_bytes()
    read(path)  # the whole one is read; compiles what is compiled once
    outcomes = [
        survive(read, damaged, path, (PasserelleError,), label=f"{kind} file {number} of seed {len(base)}")
        for number, damaged in enumerate(mutations(base, EACH, seed=len(base), text=text))
    ]
    # damage that is never refused, or always, would test nothing
    assert 0.02 < sum(outcomes) / len(outcomes) < 0.98
