"""Bursts, big trees, and kill -9: nothing is missed, nothing is handed on twice."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from passerelle.core.states import FileState
from passerelle.gateway import (
    Arrival,
    Change,
    FolderChange,
    InstrumentFolder,
    KnownFile,
    Pace,
    SettleRules,
    Watch,
)
from passerelle.testing.taker import Taker
from passerelle.testing.writers import KINDS, Job, ZooProgram, mrc_bytes, run_writers

FILES = 20_000


def until(condition: Callable[[], object], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


def known_of(path: Path, root: Path) -> KnownFile:
    status = path.stat()
    return KnownFile(PurePosixPath(path.relative_to(root)), status.st_size, status.st_mtime_ns, status.st_ino)


@pytest.mark.parametrize("polling", [None, True], ids=["events", "polling"])
def test_twenty_thousand_files_are_known_within_seconds_of_a_restart(
    tmp_path: Path, polling: bool | None, record_property: Callable[[str, object], None]
) -> None:
    content = mrc_bytes(1, random.Random(1), side=16)
    known: list[KnownFile] = []
    for k in range(FILES):
        folder = tmp_path / f"session{k % 4}" / f"GridSquare_{k % 100}"
        if k < 100:
            folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"FoilHole_{k}.mrc"
        path.write_bytes(content)
        known.append(known_of(path, tmp_path))
    (tmp_path / "session1" / "GridSquare_1" / "FoilHole_1.mrc").write_bytes(mrc_bytes(1, random.Random(2), side=16))
    (tmp_path / "session1" / "GridSquare_1" / "new.mrc").write_bytes(content)
    taker = Taker({"k": tmp_path})
    folder = InstrumentFolder("k", tmp_path, ZooProgram(), polling=polling)
    rules = SettleRules(unknown_writer_seconds=0.5)
    processor = time.process_time()
    with Watch([folder], lambda _: known, taker, rules=rules) as watch:
        begun = time.monotonic()
        assert until(lambda: any(isinstance(change, FolderChange) for change in taker.changes), 240)
        seconds, processor = time.monotonic() - begun, time.process_time() - processor
        assert until(lambda: taker.count() == 2, 240)
        assert until(lambda: watch.statuses()["k"].present == FILES + 1, 240)
    record_property("seconds", seconds)
    print(f"\n{FILES} files known after {seconds:.2f} s, {processor:.2f} s of processor time")
    assert seconds <= 60.0
    arrivals = {str(c.path): c.generation for c in taker.changes if isinstance(c, Arrival)}
    assert arrivals == {"session1/GridSquare_1/FoilHole_1.mrc": 1, "session1/GridSquare_1/new.mrc": 0}


class SlowSink(Taker):
    """Takes so long over its first batches that the kernel's queue of events (16,384) runs over."""

    batches = 0

    def take(self, changes: tuple[Change, ...]) -> None:  # type: ignore[override]
        self.batches += 1
        if self.batches == 2:
            time.sleep(12.0)
        super().take(changes)


@pytest.mark.slow
def test_a_burst_of_fifty_thousand_files_loses_none(tmp_path: Path) -> None:
    count, content = 50_000, mrc_bytes(1, random.Random(1), side=16)
    taker = SlowSink({"k": tmp_path}, reading=False)
    folder = InstrumentFolder("k", tmp_path, ZooProgram())
    with Watch([folder], lambda _: (), taker):
        assert until(lambda: taker.changes, 60)
        begun = time.monotonic()
        for k in range(count):
            if k % 1000 == 0:
                (tmp_path / f"s{k // 1000}").mkdir()
            descriptor = os.open(tmp_path / f"s{k // 1000}" / f"m{k}.mrc", os.O_WRONLY | os.O_CREAT)
            os.write(descriptor, content)
            os.close(descriptor)
        written = time.monotonic() - begun
        until(lambda: taker.count() >= count, 240)
        seconds = time.monotonic() - begun
    print(f"\n{count} files written in {written:.1f} s, all handed on after {seconds:.1f} s in {taker.batches} batches")
    assert taker.count() == count
    assert all(len(taken) == 1 for taken in taker.taken.values())


def _watch_until_killed(root: Path, journal: Path) -> None:
    taker = Taker({"k": root}, journal=journal)
    folder = InstrumentFolder("k", root, ZooProgram(), quiet_seconds=1.0)
    watch = Watch([folder], taker.known_files, taker, pace=Pace(0.5, 0.5, 2.0), rules=SettleRules(text_quiet_seconds=0.5))
    watch.start()
    while True:
        time.sleep(1.0)


def _forked(work: Callable[[], None]) -> int:
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


@pytest.mark.slow
def test_a_watch_killed_a_hundred_times_misses_nothing_and_hands_on_nothing_twice(tmp_path: Path) -> None:
    root, journal, truth = tmp_path / "krios", tmp_path / "journal", tmp_path / "truth"
    root.mkdir()
    kinds = [kind for kind in KINDS if kind not in {"killed", "rewritten", "rewritten_later", "time_set_later", "tiff_pages"}]
    rng = random.Random(7)

    def write() -> None:
        jobs: list[Job] = []
        for k in range(600):
            folder = root / f"s{k % 5}"
            folder.mkdir(exist_ok=True)
            jobs.append(Job(rng.choice(kinds), folder, f"m{k:04d}", random.Random(k), scale=0.02))
        run_writers(jobs, over_seconds=45.0)
        rows = [[str(job.path.relative_to(root)), job.complete[-1]] for job in jobs]
        rows += [[str(path.relative_to(root)), content] for job in jobs for path, content in job.others]
        truth.write_text(json.dumps(rows))

    writer = _forked(write)
    kills = 0
    while kills < 100 or os.waitpid(writer, os.WNOHANG) == (0, 0):
        watch = _forked(lambda: _watch_until_killed(root, journal))
        time.sleep(rng.uniform(0.0, 1.0))
        os.kill(watch, signal.SIGKILL)
        os.waitpid(watch, 0)
        kills += 1
    expected = dict(json.loads(truth.read_text()))
    watch = _forked(lambda: _watch_until_killed(root, journal))

    def handed_on() -> Counter[str]:
        rows = [json.loads(line) for line in journal.read_bytes().split(b"\n")[:-1]]
        return Counter(row["path"] for row in rows if row.get("arrival"))

    try:
        assert until(lambda: handed_on().keys() >= expected.keys(), 240), expected.keys() - handed_on().keys()
        time.sleep(2.0)
    finally:
        os.kill(watch, signal.SIGKILL)
        os.waitpid(watch, 0)
    counts = handed_on()
    twice = {path: n for path, n in counts.items() if n > 1}
    print(f"\n{kills} kills, {len(counts)} files, {len(twice)} taken up twice: {twice}")
    assert counts.keys() == expected.keys()
    states = Taker({"k": root}, journal=journal).known_files("k")
    for file in states:
        status = (root / file.path).stat()
        assert (file.state, file.size, file.mtime_ns) == (FileState.WHOLE, status.st_size, status.st_mtime_ns), file
    assert not twice
