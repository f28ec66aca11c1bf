"""Bad input, end to end: an error in words that names the file, and the rest of the session goes on."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from passerelle.core import atomic
from passerelle.core.errors import NotFound
from passerelle.core.states import MovieState
from passerelle.formats import write_mrc, write_mrc_stack
from passerelle.formats.eer_write import write_eer_movie
from passerelle.service import wiring
from passerelle.service.process_folder import Processed, exit_error, folder_settings, process_folder
from passerelle.service.settings import InstrumentSettings, Settings
from passerelle.service.view import MovieRow

SIDE, FRAMES = 192, 4
FAST = {"motion": {"patches_x": 1, "patches_y": 1}, "dose": {"half_sums": False}, "ctf": {"box_px": 128}}
BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE MicroscopeImage [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;">
<!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;"><!ENTITY f "&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;">]>
<MicroscopeImage><name>&f;</name></MicroscopeImage>"""


def stack() -> np.ndarray:
    return np.random.default_rng(1).poisson(4, (FRAMES, SIDE, SIDE)).astype(np.uint16)


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A whole movie, as MRC."""
    path = tmp_path_factory.mktemp("movie") / "movie.mrc"
    write_mrc_stack(path, stack(), 1.5, "uint16")
    return path.read_bytes()


@pytest.fixture
def folder(tmp_path: Path, movie: bytes) -> Path:
    """A folder in which one movie is good."""
    folder = tmp_path / "session"
    folder.mkdir()
    (folder / "good.mrc").write_bytes(movie)
    return folder


def run(folder: Path, *, work: Mapping[str, Any] = {}, **own: Any) -> Processed:
    known = {
        "voltage_kv": 300.0,
        "spherical_aberration_mm": 2.7,
        "pixel_size_angstrom": 1.5,
        "dose_per_frame_e_per_angstrom2": 1.0,
    }
    instrument = InstrumentSettings.model_validate({"folder": folder} | known | own)
    base = Settings.model_validate({"work": {"executor": "inline", "retry_seconds": 0.1} | dict(work), "processing": FAST})
    return process_folder(folder_settings(folder, folder.parent / "results", base, instrument))


def by_name(processed: Processed) -> dict[str, MovieRow]:
    return {row.name: row for row in processed.movies}


def without_frames(movie: bytes) -> bytes:
    return movie[:8] + struct.pack("<i", 0) + movie[12:1024]


def test_bad_movies_are_told_in_words_and_the_good_ones_are_processed(folder: Path, movie: bytes) -> None:
    longest = "x" * (255 - len(".mrc"))
    good = ["good", "with space", "ünï 文 🔬", "new\nline", longest]
    for name in good[1:]:
        (folder / f"{name}.mrc").write_bytes(movie)
    Path(os.fsdecode(os.fsencode(folder) + b"/not\xffutf8.mrc")).write_bytes(movie)
    bad = {
        "cut": (movie[: len(movie) // 2], "2.0 of the 4 frames"),
        "noise": (b"\x07no movie at all" * 999, "not an MRC file"),
        "nothing": (b"", "empty"),
        "no frames": (without_frames(movie), "no frame"),
        "blank": (movie[:1024] + bytes(len(movie) - 1024), "frames are empty"),
        "packed": (b"\x1f\x8b\x08" + movie, "compressed by gzip"),
    }
    for name, (content, _) in bad.items():
        (folder / f"{name}.mrc").write_bytes(content)
    (folder / "letter.tif").write_bytes(b"Dear Sir or Madam,\n" * 100)

    rows = by_name(run(folder))

    assert set(rows) == {*good, "not%FFutf8", *bad, "letter"}
    for name in (*good, "not%FFutf8"):
        assert (rows[name].state, rows[name].error) == (MovieState.DONE, None), name
    for name, (_, words) in bad.items():
        assert rows[name].state in (MovieState.FOUND, MovieState.FAILED), name
        assert words in (rows[name].error or ""), rows[name].error
    assert "not a TIFF" in (rows["letter"].error or "")

    for name in ("cut", "noise", "nothing"):  # copied again: they are taken up
        (folder / f"{name}.mrc").write_bytes(movie)
    again = by_name(run(folder))
    assert all(again[name].state is MovieState.DONE for name in ("cut", "noise", "nothing"))
    assert all(again[name].finished_at == rows[name].finished_at for name in good)  # done once


def test_links_and_pipes_are_passed_over_and_hold_nobody_up(folder: Path, tmp_path: Path) -> None:
    (folder / "nowhere.mrc").symlink_to(tmp_path / "not there.mrc")
    (folder / "outside.mrc").symlink_to(__file__)
    (folder / "loop.mrc").symlink_to("loop.mrc")
    (folder / "above").symlink_to("..")
    os.mkfifo(folder / "pipe.mrc")
    (folder / "folder.mrc").mkdir()
    assert {name: row.state for name, row in by_name(run(folder)).items()} == {"good": MovieState.DONE}


def test_a_folder_that_holds_only_links_or_pipes_says_so(tmp_path: Path, movie: bytes) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "movie.mrc").write_bytes(movie)
    folder = tmp_path / "session"
    folder.mkdir()
    nothing = exit_error(run(folder))
    assert nothing is not None and nothing.message == "No movie was found." and ".eer" in nothing.advice
    (folder / "movie.mrc").symlink_to(tmp_path / "elsewhere" / "movie.mrc")
    (folder / "data").symlink_to(tmp_path / "elsewhere")
    only_links = exit_error(run(folder))
    assert only_links is not None and "2 links" in only_links.message and "elsewhere" in only_links.message
    for link in folder.iterdir():
        link.unlink()
    os.mkfifo(folder / "pipe.mrc")
    only_pipes = exit_error(run(folder))
    assert only_pipes is not None and "a pipe" in only_pipes.message


def test_a_corrupt_frame_of_an_eer_movie_is_named_and_the_next_movie_is_processed(folder: Path) -> None:
    rng = np.random.default_rng(3)
    events = [rng.integers(0, SIDE * 4, (40_000, 2)) for _ in range(8)]
    for name in ("whole", "corrupt"):
        write_eer_movie(
            folder / f"{name}.eer", events, SIDE, SIDE, pixel_size_angstrom=1.5, dose_e_per_angstrom2=8.0, exposure_seconds=1.0
        )
    raw = bytearray((folder / "corrupt.eer").read_bytes())
    assert not set(raw[1000:1400]) <= {0xFF}
    raw[1000:1400] = b"\xff" * 400  # among the events of a frame; the directory of frames is whole
    (folder / "corrupt.eer").write_bytes(bytes(raw))
    rows = by_name(run(folder))
    assert (rows["good"].state, rows["whole"].state) == (MovieState.DONE, MovieState.DONE)
    assert rows["corrupt"].state is MovieState.FAILED
    assert "corrupt.eer" in (rows["corrupt"].error or "")
    assert "frame" in (rows["corrupt"].error or "")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: write_mrc(path, np.ones((SIDE, SIDE // 2), np.float32), 1.0), f"{SIDE // 2} × {SIDE}"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"\x07no gain" * 999), "not an MRC file"),
        (lambda path: write_mrc(path, np.zeros((SIDE, SIDE), np.float32), 1.0), "gain"),
    ],
)
def test_a_gain_that_cannot_be_used_is_named_and_a_good_one_helps(
    folder: Path, tmp_path: Path, make: Callable[[Path], None], words: str
) -> None:
    gain = tmp_path / "gain of yesterday.mrc"
    make(gain)
    row = by_name(run(folder, gain=gain))["good"]
    assert row.state is MovieState.FAILED
    assert gain.name in (row.error or "") and words in (row.error or "")
    write_mrc(gain, np.ones((SIDE, SIDE), np.float32), 1.0)
    assert by_name(run(folder, gain=gain))["good"].state is MovieState.DONE


def test_a_gain_that_is_not_there_is_refused_before_anything_is_done(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="gain of yesterday"):
        run(folder, gain=tmp_path / "gain of yesterday.mrc")
    assert not (tmp_path / "results").exists()


def test_a_sidecar_that_is_a_bomb_is_told_and_the_movie_processed_with_what_is_known(tmp_path: Path, movie: bytes) -> None:
    data = tmp_path / "session" / "Images-Disc1" / "GridSquare_1" / "Data"
    data.mkdir(parents=True)
    name = "FoilHole_2_Data_3_4_20260102_030405"
    (data / f"{name}_Fractions.mrc").write_bytes(movie)
    (data / f"{name}.xml").write_bytes(BOMB)
    began = time.process_time()
    processed = run(tmp_path / "session", program="epu")
    assert time.process_time() - began < 120
    assert [row.state for row in processed.movies] == [MovieState.DONE]
    told = " ".join(alert.message for session in processed.sessions for alert in session.alerts)
    assert f"{name}.xml" in told


def test_a_movie_that_is_still_written_is_never_processed_half(folder: Path, movie: bytes) -> None:
    path = folder / "growing.mrc"
    stop = threading.Event()

    def write() -> None:
        with path.open("wb") as stream:
            for start in range(0, len(movie), len(movie) // 20):
                stream.write(movie[start : start + len(movie) // 20])
                stream.flush()
                if stop.wait(0.2):
                    return

    writer = threading.Thread(target=write)
    writer.start()
    while not path.exists():
        time.sleep(0.01)
    try:
        row = by_name(run(folder))["growing"]
    finally:
        stop.set()
        writer.join()
    assert row.state is not MovieState.FAILED
    if row.state is MovieState.DONE:  # it was waited for
        assert row.metrics["frames"] == FRAMES


def test_a_locked_database_is_waited_for_and_nothing_is_lost(folder: Path, movie: bytes) -> None:
    (folder / "second.mrc").write_bytes(movie)
    state = folder.parent / "results" / "passerelle.sqlite"
    run(folder)
    for name in ("third", "fourth"):
        (folder / f"{name}.mrc").write_bytes(movie)
    locked = threading.Event()

    def hold() -> None:
        other = sqlite3.connect(state, isolation_level=None, timeout=60)
        for _ in range(3):
            other.execute("BEGIN IMMEDIATE")
            locked.set()
            time.sleep(1.0)
            other.execute("COMMIT")
            time.sleep(0.2)
        other.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert locked.wait(60)
    rows = by_name(run(folder))
    holder.join()
    assert {row.state for row in rows.values()} == {MovieState.DONE}
    assert len(rows) == 4


def test_a_folder_renamed_and_removed_in_the_middle_loses_nothing(tmp_path: Path, folder: Path, movie: bytes) -> None:
    below = folder / "square 1"
    below.mkdir()
    for number in range(3):
        (below / f"{number}.mrc").write_bytes(movie)
    rows = by_name(run(folder))
    assert all(row.state is MovieState.DONE for row in rows.values()) and len(rows) == 4
    below.rename(folder / "square 2")
    moved = run(folder)
    assert [row.state for row in moved.movies] == [MovieState.DONE] * 7  # what was made of "square 1" stays
    shutil.rmtree(folder / "square 2")
    assert run(folder).movies == moved.movies  # results outlive the raw files


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """A disk without room for results; the rest of the machine is left alone."""
    real, full = os.fsync, threading.Event()

    def fsync(descriptor: int) -> None:
        if full.is_set() and "/results/results/" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", fsync)
    monkeypatch.setattr(wiring, "Policy", partial(wiring.Policy, place_wait_seconds=1.0))
    yield lambda on: full.set() if on else full.clear()


def test_a_full_disk_is_told_and_the_work_goes_on_when_there_is_room(folder: Path, full_disk: Callable[[bool], None]) -> None:
    full_disk(True)
    timer = threading.Timer(3.0, full_disk, [False])
    timer.start()
    rows = by_name(run(folder, work={"max_attempts": 1}))
    assert rows["good"].state is MovieState.DONE
    timer.join()
