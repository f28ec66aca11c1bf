"""A disk that is really full (a small tmpfs): said in words that name the folder, nothing lost, goes on when there is room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest

from passerelle.formats import write_mrc_stack

SOURCE = str(Path(__file__).resolve().parents[2] / "src")
MOVIES = 4


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 12 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "passerelle-test", str(place)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"a small disk cannot be mounted by this account: {made.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def movies(tmp_path: Path) -> Path:
    folder = tmp_path / "session"
    folder.mkdir()
    for number in range(MOVIES):
        stack = np.random.default_rng(number).poisson(4, (4, 256, 256)).astype(np.uint16)
        write_mrc_stack(folder / f"movie_{number}.mrc", stack, 1.5, "uint16")
    return folder


def fill(disk: Path, leave_bytes: int) -> Path:
    """Fill the disk up to so many bytes."""
    filler = disk / "filler"
    usage = os.statvfs(disk)
    filler.write_bytes(b"\0" * max(0, usage.f_bavail * usage.f_frsize - leave_bytes))
    return filler


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": SOURCE, "COLUMNS": "200"}


SMALL = ["--set", "motion.patches_x=1", "--set", "motion.patches_y=1", "--set", "dose.half_sums=false", "--set", "ctf.box_px=128"]
KNOWN = ["--voltage", "300", "--cs", "2.7", "--dose-per-frame", "1", "--workers", "2"]


def until(path: Path, words: str, seconds: float, process: subprocess.Popen[Any]) -> str:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        text = path.read_text()
        if words in text:
            return text
        assert process.poll() is None, text
        time.sleep(0.1)
    raise AssertionError(f"{words!r} was not said: {path.read_text()}")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("room", [1_500_000, 700_000], ids=["for-the-first-results", "for-hardly-a-database"])
def test_a_folder_is_processed_to_its_end_through_a_full_disk(disk: Path, movies: Path, tmp_path: Path, room: int) -> None:
    out = disk / "results"
    filler = fill(disk, room)
    told, answer = tmp_path / "stderr", tmp_path / "stdout"
    command = [sys.executable, "-m", "passerelle", "process", str(movies), "-o", str(out), "--json", *KNOWN, *SMALL]
    with told.open("w") as err, answer.open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=err, env=environment())
        try:
            text = until(told, "waits:", 240, process)
            time.sleep(1.0)
            assert process.poll() is None
            assert str(out) in text
            assert "no space left" in text or "the disk is full" in text
            assert "Free space" in text or "Make room" in text
            filler.unlink()
            assert process.wait(300) == 0, told.read_text()
        finally:
            process.kill()
            process.wait()
    assert "goes on" in told.read_text()
    result = json.loads(answer.read_text())
    assert [row["state"] for row in result["movies"]] == ["done"] * MOVIES
    assert result["waits_for"] == []


@pytest.mark.timeout(900)
def test_a_run_that_is_ended_while_the_disk_is_full_says_what_it_waited_for(disk: Path, movies: Path, tmp_path: Path) -> None:
    out = disk / "results"
    filler = fill(disk, 1_500_000)
    told, answer = tmp_path / "stderr", tmp_path / "stdout"
    command = [sys.executable, "-m", "passerelle", "process", str(movies), "-o", str(out), *KNOWN, *SMALL]
    with told.open("w") as err, answer.open("w") as said:
        process = subprocess.Popen([*command, "--json"], stdout=said, stderr=err, env=environment())
        try:
            until(told, "waits:", 240, process)
            process.terminate()
            assert process.wait(120) == 130, told.read_text()
        finally:
            process.kill()
            process.wait()
    waited = json.loads(answer.read_text())["waits_for"]  # the database, a movie's results, or both
    assert waited and all(str(out) in each for each in waited)
    filler.unlink()
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, env=environment(), timeout=300, check=True)
    assert [row["state"] for row in json.loads(done.stdout)["movies"]] == ["done"] * MOVIES


@pytest.mark.timeout(900)
@pytest.mark.parametrize("rule", [0.0, 95.0], ids=["by-the-failed-write", "by-the-rule-of-95-percent"])
def test_the_service_says_that_the_results_disk_is_full_and_goes_on(
    disk: Path, movies: Path, tmp_path: Path, rule: float
) -> None:
    filler = fill(disk, 300_000)
    config = tmp_path / "passerelle.toml"
    config.write_text(
        f"""
        [state]
        folder = "{tmp_path / "state"}"
        results = "{disk}"
        [work]
        executor = "processes"
        workers = 2
        [alerts]
        disk_error_percent = {rule}
        [processing.motion]
        patches_x = 1
        patches_y = 1
        [processing.ctf]
        box_px = 128
        [instruments.krios]
        folder = "{movies}"
        voltage_kv = 300.0
        spherical_aberration_mm = 2.7
        dose_per_frame_e_per_angstrom2 = 1.0
        """
    )
    told = tmp_path / "stdout"
    with told.open("w") as said:
        command = [sys.executable, "-m", "passerelle", "serve", "--config", str(config), "--port", "0"]
        server = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=environment())
        try:
            address = next(word for word in until(told, "http://", 180, server).split() if word.startswith("http://"))
            alerts = asked(address, "api/alerts", 240, lambda found: [a for a in found if a["level"] == "error"], server)
            assert str(disk) in alerts[0]["message"] + alerts[0]["advice"]
            assert "room" in alerts[0]["advice"] or "Free space" in alerts[0]["advice"]
            time.sleep(2.0)
            filler.unlink()
            asked(address, "api/sessions", 300, lambda found: found and found[0]["counters"]["done"] == MOVIES, server)
            asked(address, "api/alerts", 120, lambda found: not [a for a in found if a["level"] == "error"], server)
        finally:
            server.terminate()
            assert server.wait(120) == 0


def asked(address: str, path: str, seconds: float, answers: Any, server: subprocess.Popen[Any]) -> Any:
    """Ask the service until the answer is as wanted; return what was wanted."""
    ends = time.monotonic() + seconds
    found: Any = None
    while time.monotonic() < ends:
        assert server.poll() is None
        with urlopen(address + path, timeout=60) as page:
            found = json.loads(page.read())
        if wanted := answers(found):
            return wanted
        time.sleep(0.3)
    raise AssertionError(f"{path}: {found}")
