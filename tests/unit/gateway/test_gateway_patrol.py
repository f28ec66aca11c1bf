"""The round through one folder, step by step, without a thread."""

from __future__ import annotations

import errno
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from passerelle.gateway import Arrival, Change, FolderChange, FolderState, InstrumentFolder, Pace, SettleRules, Touched
from passerelle.gateway import folders as folders_module
from passerelle.gateway.events import Wakeups
from passerelle.gateway.patrol import Patrol
from passerelle.testing.writers import ZooProgram, mrc_bytes

PACE = Pace(watched_seconds=0.2, polled_seconds=0.1, sweep_seconds=0.5, idle_seconds=0.05)


def make(root: Path, **settings: bool) -> Patrol:
    folder = InstrumentFolder("k", root, ZooProgram(), **settings)
    return Patrol(folder, (), SettleRules(settle_seconds=0.05, unknown_writer_seconds=0.1), PACE)


def walk(patrol: Patrol, until: Callable[[list[Change]], object], seconds: float = 60.0) -> list[Change]:
    changes: list[Change] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until(changes):
        changes += patrol.step(time.sleep)
    return changes


def arrivals(changes: list[Change]) -> list[str]:
    return [str(change.path) for change in changes if isinstance(change, Arrival)]


class NoMoreWatches(Wakeups):
    """A kernel whose fs.inotify.max_user_watches is used up; setting it here would starve every other program."""

    def add(self, folder: str, descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class NoInstances(Wakeups):
    """A kernel whose fs.inotify.max_user_instances is used up."""

    def __init__(self) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@pytest.mark.parametrize(("kernel", "setting"), [(NoMoreWatches, "max_user_watches"), (NoInstances, "max_user_instances")])
def test_a_kernel_without_events_to_give_is_polled_and_the_setting_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: type[Wakeups], setting: str
) -> None:
    monkeypatch.setattr(folders_module, "Wakeups", kernel)
    patrol = make(tmp_path)
    changes = walk(patrol, lambda changes: changes)
    assert isinstance(changes[0], FolderChange)
    assert changes[0].state is FolderState.POLLING
    assert setting in changes[0].reason
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "a.mrc").write_bytes(mrc_bytes(2, random.Random(1)))
    assert arrivals(walk(patrol, arrivals)) == ["s/a.mrc"]
    patrol.close()


def test_a_folder_that_vanishes_between_watch_and_listing_harms_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Vanishing(Wakeups):
        def add(self, folder: str, descriptor: int) -> None:
            super().add(folder, descriptor)
            if folder == "s":
                (tmp_path / "s").rmdir()

    monkeypatch.setattr(folders_module, "Wakeups", Vanishing)
    patrol = make(tmp_path)
    walk(patrol, lambda changes: changes)
    (tmp_path / "s").mkdir()
    (tmp_path / "a.mrc").write_bytes(mrc_bytes(2, random.Random(1)))
    assert arrivals(walk(patrol, arrivals)) == ["a.mrc"]
    assert patrol.state is FolderState.WATCHING
    patrol.close()


def test_a_file_put_into_a_new_folder_before_it_is_watched_is_found_by_its_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(Wakeups):
        def add(self, folder: str, descriptor: int) -> None:
            if folder == "s":
                (tmp_path / "s" / "before.mrc").write_bytes(mrc_bytes(2, random.Random(1)))
            super().add(folder, descriptor)
            if folder == "s":
                (tmp_path / "s" / "after.mrc").write_bytes(mrc_bytes(2, random.Random(1)))

    monkeypatch.setattr(folders_module, "Wakeups", Late)
    slow = Pace(watched_seconds=1000.0, polled_seconds=1000.0, sweep_seconds=1000.0, idle_seconds=0.05)
    patrol = Patrol(InstrumentFolder("k", tmp_path, ZooProgram()), (), SettleRules(), slow)
    walk(patrol, lambda changes: changes)
    (tmp_path / "s").mkdir()
    found = walk(patrol, lambda changes: len(arrivals(changes)) == 2)
    assert sorted(arrivals(found)) == ["s/after.mrc", "s/before.mrc"]
    patrol.close()


def test_an_overflow_of_events_is_made_good_by_a_sweep(tmp_path: Path) -> None:
    slow = Pace(watched_seconds=1000.0, polled_seconds=1000.0, sweep_seconds=1000.0, idle_seconds=0.05)
    patrol = Patrol(InstrumentFolder("k", tmp_path, ZooProgram()), (), SettleRules(settle_seconds=0.05), slow)
    (tmp_path / "s").mkdir()
    walk(patrol, lambda changes: changes)
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for k in range(limit // 3 + 500):  # create, close, delete: three events each
        path = tmp_path / "s" / f".{k}"
        path.touch()
        path.unlink()
    (tmp_path / "s" / "a.mrc").write_bytes(mrc_bytes(2, random.Random(1)))
    assert arrivals(walk(patrol, arrivals)) == ["s/a.mrc"]
    patrol.close()


def test_a_rewritten_file_is_new_content_although_a_slow_machine_polls_it_before_it_hears_of_its_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s" / "a.mrc"
    path.parent.mkdir()
    path.write_bytes(mrc_bytes(1, random.Random(1)))
    patrol = make(tmp_path)
    walk(patrol, arrivals)
    poll = patrol._poll

    def rewritten_then_polled() -> None:
        monkeypatch.setattr(patrol, "_poll", poll)
        path.write_bytes(mrc_bytes(1, random.Random(2)))
        patrol._start_sweep()
        poll()
        time.sleep(0.3)  # longer than files settle

    monkeypatch.setattr(patrol, "_poll", rewritten_then_polled)
    changes = walk(patrol, lambda changes: [change for change in changes if isinstance(change, Arrival | Touched)])
    assert arrivals(changes) == ["s/a.mrc"]
    patrol.close()


def test_nothing_is_done_while_nothing_happens(tmp_path: Path) -> None:
    for k in range(50):
        (tmp_path / f"s{k}").mkdir()
        (tmp_path / f"s{k}" / "a.mrc").write_bytes(mrc_bytes(1, random.Random(k), side=16))
    patrol = Patrol(InstrumentFolder("k", tmp_path, ZooProgram()), (), SettleRules(), Pace())
    walk(patrol, lambda changes: len(arrivals(changes)) == 50)
    processor, begun = time.thread_time(), time.monotonic()
    walk(patrol, lambda _: False, seconds=2.0)
    share = (time.thread_time() - processor) / (time.monotonic() - begun)
    assert share < 0.05
    patrol.close()
