"""Very many files, and very large ones: time and memory stay in proportion. `make soak` takes 10^6 files and a hole of 1 TiB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from passerelle.transfer import copy_dataset

FILES = int(os.environ.get("PASSERELLE_SOAK_FILES", "20000"))
HOLE_GIB = int(os.environ.get("PASSERELLE_SOAK_HOLE_GIB", "4"))
_COPY = r"""
import json, re, sys
from pathlib import Path
from passerelle.transfer import copy_dataset
done = copy_dataset(Path(sys.argv[1]), Path(sys.argv[2]))
peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
print(json.dumps([done.whole, done.files, done.unchanged, peak, done.seconds]))
"""


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one, so that no disk is kept busy by so many files."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


def copied(source: Path, target: Path) -> tuple[bool, int, int, int, float]:
    answer = subprocess.run([sys.executable, "-c", _COPY, source, target], capture_output=True, text=True, check=True)
    return tuple(json.loads(answer.stdout))


def test_very_many_small_files_arrive_and_take_memory_in_proportion(memory: Path) -> None:
    source, target = memory / "source", memory / "target"
    for number in range(FILES):
        if number % 5000 == 0:
            folder = source / f"GridSquare {number // 5000}"
            folder.mkdir(parents=True)
        (folder / f"{number}").write_bytes(b"%d" % number)
    whole, files, _, first_kib, first_s = copied(source, target)
    assert (whole, files) == (True, FILES)
    whole, files, unchanged, second_kib, second_s = copied(source, target)
    assert (whole, files, unchanged) == (True, FILES, FILES)
    print(f"\n{FILES} files: {first_s:.1f} s, {first_kib >> 10} MiB; again: {second_s:.1f} s, {second_kib >> 10} MiB")
    assert max(first_kib, second_kib) < (64 << 10) + FILES * 2


def test_a_very_large_hole_stays_a_hole(memory: Path) -> None:
    source, target = memory / "source", memory / "target"
    source.mkdir()
    with (source / "sparse").open("wb") as stream:
        stream.truncate(HOLE_GIB << 30)
        stream.seek((HOLE_GIB << 30) - 5_000_000)
        stream.write(b"near the end")
    done = copy_dataset(source, target, processes=0)
    assert done.whole
    there = (target / "sparse").stat()
    assert there.st_size == HOLE_GIB << 30
    assert there.st_blocks * 512 < 1 << 20
    with (target / "sparse").open("rb") as stream:
        stream.seek((HOLE_GIB << 30) - 5_000_000)
        assert stream.read(12) == b"near the end"
