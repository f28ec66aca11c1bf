"""A past session comes again in its own order and time."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from passerelle.core.errors import BadInput, NotFound
from passerelle.simulation import past_files, replay


@pytest.fixture
def past(tmp_path: Path) -> Path:
    folder = tmp_path / "past"
    for n, name in enumerate(["b/movie 1.tif", "a/movie 1.mdoc", "c/ünï.tif", "a/last.tif"]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([n]) * (1000 + n))
        os.utime(path, (1e9 + 10 * n, 1e9 + 10 * n))
    (folder / "link").symlink_to("/etc/hostname")
    return folder


def test_files_come_in_the_order_of_their_times_with_pauses_between_them(past: Path, tmp_path: Path):
    came: list[tuple[str, float]] = []
    begun = time.monotonic()
    count = replay(past, tmp_path / "again", speed=100, told=lambda file: came.append((str(file.path), time.monotonic())))
    assert count == 4
    assert [name for name, _ in came] == ["b/movie 1.tif", "a/movie 1.mdoc", "c/ünï.tif", "a/last.tif"]
    assert all(at - begun >= 0.1 * number - 0.001 for number, (_, at) in enumerate(came))
    assert came[-1][1] - begun < 20
    for file in past_files(past):
        assert (tmp_path / "again" / file.path).read_bytes() == (past / file.path).read_bytes()
    assert not (tmp_path / "again" / "link").exists()


def test_without_speed_there_are_no_pauses_and_a_stop_ends_it(past: Path, tmp_path: Path):
    stop = threading.Event()
    begun = time.monotonic()
    assert replay(past, tmp_path / "again", speed=0, stop=stop, told=lambda _: stop.set()) == 1
    assert replay(past, tmp_path / "whole", speed=0) == 4
    assert time.monotonic() - begun < 10  # what they wrote took half a minute


def test_a_replay_that_cannot_be_is_refused(past: Path, tmp_path: Path):
    with pytest.raises(BadInput, match="into itself"):
        replay(past, past / "again")
    with pytest.raises(BadInput, match="speed"):
        replay(past, tmp_path / "again", speed=-1)
    with pytest.raises(NotFound, match="not a folder"):
        replay(tmp_path / "nowhere", tmp_path / "again")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="no files"):
        replay(tmp_path / "empty", tmp_path / "again")
