"""The clock is set back or forward, before a copy, while it runs and while it follows: all arrives, nothing is held for ever."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from passerelle.transfer import Progress, copy_dataset, follow_dataset, verify_dataset

HOUR_NS = 3_600 * 10**9
JUMPS = {"an hour back": -HOUR_NS, "an hour on": HOUR_NS, "ten years back": -87_660 * HOUR_NS, "ten years on": 87_660 * HOUR_NS}


class Clock:
    """The clock of this machine, which somebody sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.jump_ns = 0
        real = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: real() + self.jump_ns)
        monkeypatch.setattr(time, "time", lambda: (real() + self.jump_ns) / 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number}").write_bytes(os.urandom(5_000))
    (folder / "movie").write_bytes(os.urandom(9 << 20))
    os.utime(folder / "7", ns=(0, 4_102_444_800 * 10**9))  # written by a PC whose clock says 2100
    os.utime(folder / "8", ns=(0, -HOUR_NS))  # and by one that stands before 1970
    return folder


def same(source: Path, target: Path) -> bool:
    return all(path.read_bytes() == (target / path.name).read_bytes() for path in source.iterdir())


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_that_was_set_before_a_copy_or_between_two_changes_nothing(
    jump: str, clock: Clock, source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    clock.jump_ns = JUMPS[jump]
    done = copy_dataset(source, target, processes=0)
    assert (done.whole, done.files, same(source, target)) == (True, 31, True)
    assert (target / "7").stat().st_mtime_ns == 4_102_444_800 * 10**9
    clock.jump_ns = -JUMPS[jump]
    assert copy_dataset(source, target, processes=0).unchanged == 31
    assert verify_dataset(target).whole


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_that_is_set_while_a_copy_runs_changes_nothing(
    jump: str, clock: Clock, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("passerelle.transfer.progress._TELL_SECONDS", 0.0)

    def told(now: Progress) -> None:
        clock.jump_ns = JUMPS[jump] if now.moved else 0

    done = copy_dataset(source, tmp_path / "target", told=told, processes=0)
    assert clock.jump_ns
    assert (done.whole, same(source, tmp_path / "target")) == (True, True)


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_that_is_set_while_a_session_is_followed_holds_no_file(jump: str, source: Path, tmp_path: Path) -> None:
    looks = 0

    def clock_ns() -> int:
        return time.time_ns() + (JUMPS[jump] if looks > 1 else 0)

    def closed() -> bool:
        nonlocal looks
        looks += 1
        if looks == 3:
            (source / "later").write_bytes(b"later")
        arrived = (tmp_path / "target" / "movie").exists() and (looks < 4 or (tmp_path / "target" / "later").exists())
        assert looks < 200, "a file is held"
        return looks > 3 and arrived

    done = follow_dataset(
        source, tmp_path / "target", closed=closed, poll_seconds=0.02, quiet_seconds=0.1, clock_ns=clock_ns, processes=0
    )
    assert (done.whole, done.files, same(source, tmp_path / "target")) == (True, 32, True)
