"""`passerelle copy` and `passerelle verify` as a person uses them: no configuration, plain words, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def passerelle(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "passerelle", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "session"
    (folder / "Data").mkdir(parents=True)
    for number in range(5):
        (folder / "Data" / f"movie {number}.mrc").write_bytes(os.urandom(100_000))
    (folder / "large").write_bytes(os.urandom(9 << 20))
    return folder


def test_a_folder_is_copied_checked_and_its_damage_named(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "zone"
    copied = passerelle("copy", source, target, "--json")
    said = json.loads(copied.stdout)
    assert (copied.returncode, said["files"], said["whole"]) == (0, 6, True)
    again = passerelle("copy", source, target)
    assert again.returncode == 0
    assert "6 files, 9.94 MB, verified in" in again.stdout
    with (target / "large").open("r+b") as stream:
        stream.seek(5 << 20)
        stream.write(b"rot")
    found = passerelle("verify", target)
    assert found.returncode == 65
    assert "large: is not what was verified: block 1 (bytes 4194304 to 8388607) differs" in found.stdout


def test_what_cannot_be_done_is_said_with_what_to_do(source: Path, tmp_path: Path) -> None:
    nowhere = passerelle("copy", tmp_path / "nowhere", tmp_path / "zone")
    assert nowhere.returncode == 66
    assert "is not there" in nowhere.stderr
    (tmp_path / "zone").mkdir()
    (tmp_path / "zone" / "large").write_bytes(b"mine")
    taken = passerelle("copy", source, tmp_path / "zone")
    assert taken.returncode == 65
    assert "is there already, and is another file. Move it away" in taken.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_copy_goes_on_where_it_was(number: signal.Signals, tmp_path: Path) -> None:
    source, target = tmp_path / "session", tmp_path / "zone"
    source.mkdir()
    for place in range(40):
        (source / f"{place:02}").write_bytes(os.urandom(6 << 20))
    process = subprocess.Popen([sys.executable, "-m", "passerelle", "copy", source, target], stdout=subprocess.DEVNULL)
    journal = target / ".passerelle" / "journal"
    ends = time.monotonic() + 240
    while process.poll() is None and not (journal.exists() and journal.stat().st_size):  # until the first batch is verified
        assert time.monotonic() < ends
        time.sleep(0.01)
    process.send_signal(number)
    ended = process.wait(240)
    assert ended in {-number, 130, 0}
    said = json.loads(passerelle("copy", source, target, "--json").stdout)
    assert said["whole"]
    assert said["unchanged"] >= 18  # one batch
    assert not list(target.rglob(".p-*"))
