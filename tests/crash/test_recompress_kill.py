"""`passerelle recompress --remove-original`, killed at random moments: the original or a proven copy is always there."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from passerelle.formats import load_stack, open_movie, recompress_movie, write_mrc_stack

FRAMES = np.random.default_rng(0).poisson(1.0, (24, 768, 1024)).astype(np.int8)
MOVIES = 3


def start(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from passerelle.cli import main; main()", "recompress", str(folder), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def stack(path: Path) -> np.ndarray:
    with open_movie(path) as movie:
        return load_stack(movie)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def write_movies(folder: Path) -> None:
    for index in range(MOVIES):
        (folder / f"{index}.tif").unlink(missing_ok=True)
        write_mrc_stack(folder / f"{index}.mrc", np.roll(FRAMES, index, 0), 1.0, "int8")


def test_killed_at_any_moment_a_run_leaves_the_original_or_its_proven_copy(tmp_path):
    write_movies(tmp_path)
    rng, kills = random.Random(1), 0
    while kills < 6:
        if not any(name.endswith(".mrc") for name in names(tmp_path)):
            if kills >= 2:
                break
            write_movies(tmp_path)  # it was done before it was killed twice
        running = start(tmp_path, "--remove-original")
        before = names(tmp_path)
        while running.poll() is None and names(tmp_path) == before:  # until it has begun to write
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.3))
        if running.poll() is None:
            running.send_signal(signal.SIGKILL)
            kills += 1
        running.wait()
        for index in range(MOVIES):
            original, copy = tmp_path / f"{index}.mrc", tmp_path / f"{index}.tif"
            assert original.exists() or copy.exists()
            for path in (original, copy):  # whichever stands under its name is whole
                if path.exists():
                    np.testing.assert_array_equal(stack(path), np.roll(FRAMES, index, 0))
    running = start(tmp_path, "--remove-original", "--json")
    output, errors = running.communicate()
    assert running.returncode == 0, errors.decode()
    assert all(each["removed"] for each in json.loads(output)["movies"])
    assert names(tmp_path) == [f"{index}.tif" for index in range(MOVIES)]  # and nothing that a killed run left


def test_an_original_that_someone_reads_stays(tmp_path):
    path = tmp_path / "a.mrc"
    write_mrc_stack(path, FRAMES, 1.0, "int8")
    with path.open("rb"):
        running = start(path, "--remove-original", "--json")
        output, _ = running.communicate()
    (only,) = json.loads(output)["movies"]
    assert not only["removed"] and "another process has it open" in only["words"]
    assert names(tmp_path) == ["a.mrc", "a.tif"]


def test_without_being_asked_nothing_is_removed_and_a_bad_copy_ends_with_its_exit_code(tmp_path):
    for name in ("a.mrc", "b.mrc"):
        write_mrc_stack(tmp_path / name, FRAMES, 1.0, "int8")
    (tmp_path / "a.tif").write_bytes(recompress_movie(tmp_path / "b.mrc").target.read_bytes()[:-100_000])
    running = start(tmp_path, "--json")
    output, _ = running.communicate()
    assert running.returncode == 65
    assert [each["state"] for each in json.loads(output)["movies"]] == ["failed", "recompressed"]
    assert names(tmp_path) == ["a.mrc", "a.tif", "b.mrc", "b.tif"]
