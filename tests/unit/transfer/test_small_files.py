"""Small files go through the five steps together; what is not plain goes the way of large ones, and what fails is said."""

from __future__ import annotations

import os
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from passerelle.transfer import Copied, Keep, copy_dataset, kernel, small
from passerelle.transfer.beneath import Root
from passerelle.transfer.crew import Crew
from passerelle.transfer.leg import CLOCK_TICK_NS, Leg
from passerelle.transfer.manifest import Row
from passerelle.transfer.plan import Task
from passerelle.transfer.small import copy_plain

NOT_PLAIN = {
    "extended": lambda path: os.setxattr(path, "user.grid", b"square"),
    "hole": lambda path: os.truncate(path, 90_000),
    "gone": lambda path: path.unlink(),
    "fifo": lambda path: (path.unlink(), os.mkfifo(path)),
    "link": lambda path: (path.unlink(), path.symlink_to("plain 1")),
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(5):
        (folder / f"plain {number}").write_bytes(os.urandom(1000 * number))
    for name in NOT_PLAIN:
        (folder / name).write_bytes(b"x" * 1000)
    return folder


@pytest.fixture
def leg(source: Path, tmp_path: Path) -> Iterator[Leg]:
    (tmp_path / "target").mkdir()
    with Root(source) as source_root, Root(tmp_path / "target") as target_root:
        yield Leg(source_root, target_root, "copy", "0123abcd", Keep.all_allowed())


def at_rest() -> None:
    time.sleep(0.03)


def tasks(source: Path) -> list[Task]:
    return [Task(path.name, path.stat().st_size) for path in sorted(source.iterdir())]


def test_plain_files_arrive_and_the_others_are_handed_back_untouched(source: Path, tmp_path: Path, leg: Leg) -> None:
    found = tasks(source)
    for name, change in NOT_PLAIN.items():
        change(source / name)
    at_rest()
    outcomes, left = copy_plain(leg, found)
    assert [each.path for each in outcomes] == [f"plain {number}" for number in range(5)]
    assert {each.task.path: each.note for each in left} == dict.fromkeys(NOT_PLAIN, "")
    assert sorted(path.name for path in (tmp_path / "target").iterdir()) == [f"plain {number}" for number in range(5)]
    for outcome in outcomes:
        assert outcome.row is not None
        there = (tmp_path / "target" / outcome.path).stat()
        assert (there.st_mtime_ns, there.st_mode) == (outcome.row.mtime_ns, (source / outcome.path).stat().st_mode)


def test_a_file_that_was_just_written_is_handed_back_until_the_clock_has_ticked(
    source: Path, leg: Leg, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "plain 1").write_bytes(b"now")
    written_ns = (source / "plain 1").stat().st_ctime_ns
    monkeypatch.setattr(time, "time_ns", lambda: written_ns + CLOCK_TICK_NS - 1)
    outcomes, left = copy_plain(leg, [Task("plain 1", 3)])
    assert (outcomes, [each.note for each in left]) == ([], [""])
    monkeypatch.setattr(time, "time_ns", lambda: written_ns + CLOCK_TICK_NS)
    outcomes, left = copy_plain(leg, [Task("plain 1", 3)])
    assert ([each.path for each in outcomes], left) == (["plain 1"], [])


def test_a_name_that_is_taken_is_left_as_it_is(source: Path, tmp_path: Path, leg: Leg) -> None:
    (tmp_path / "target" / "plain 1").write_bytes(b"mine")
    at_rest()
    outcomes, left = copy_plain(leg, [Task("plain 1", 1000), Task("plain 2", 2000)])
    assert ([each.path for each in outcomes], [each.task.path for each in left]) == (["plain 2"], ["plain 1"])
    assert (tmp_path / "target" / "plain 1").read_bytes() == b"mine"


def test_what_an_earlier_leg_has_recorded_otherwise_is_handed_back(source: Path, leg: Leg) -> None:
    at_rest()
    row = Row("plain 1", 1000, (source / "plain 1").stat().st_mtime_ns, "0" * 64, "", 0.0, "before")
    outcomes, left = copy_plain(leg, [Task("plain 1", 1000, expected=row)])
    assert (outcomes, len(left)) == ([], 1)


def test_a_batch_that_could_not_be_synced_gets_no_names(
    source: Path, tmp_path: Path, leg: Leg, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(kernel, "can_sync_whole", lambda _descriptor: True)
    monkeypatch.setattr(kernel, "syncfs", lost)
    at_rest()
    outcomes, left = copy_plain(leg, [Task("plain 1", 1000), Task("plain 2", 2000)])
    assert outcomes == []
    assert {each.note for each in left} == {"The batch could not be synced; each file was copied again."}
    assert not list((tmp_path / "target").iterdir())


@pytest.mark.parametrize("nameless", [True, False])
def test_both_ways_come_to_the_same(nameless: bool, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("gone", "fifo", "link"):
        (source / name).unlink()
    NOT_PLAIN["extended"](source / "extended")
    os.chmod(source / "plain 3", 0o640)
    at_rest()
    if not nameless:
        monkeypatch.setattr(small, "_has_nameless_files", lambda _leg: False)
    done: Copied = copy_dataset(source, tmp_path / "zone", processes=0)
    assert (done.whole, done.files, done.notes) == (True, 7, ())
    for path in source.iterdir():
        there = tmp_path / "zone" / path.name
        assert there.read_bytes() == path.read_bytes()
        facts = [(each.st_mode, each.st_uid, each.st_gid, each.st_mtime_ns) for each in (path.stat(), there.stat())]
        assert facts[0] == facts[1]


def test_a_crew_that_cannot_be_started_leaves_the_work_to_others(leg: Leg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    crew = Crew(leg, 1)
    crew.start()
    assert crew.copy(0, (Task("plain 1", 1000),)) is None
    crew.close()


@pytest.mark.parametrize("nameless", [True, False])
def test_what_a_folder_gives_to_its_files_is_theirs_on_both_ways(
    nameless: bool, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A zone's folder has a group (setgid) and a default access list, by which its readers read."""
    if not nameless:
        monkeypatch.setattr(small, "_has_nameless_files", lambda _leg: False)
    zone, everyone = tmp_path / "zone", 2**32 - 1
    zone.mkdir()
    entries = [(1, 7, everyone), (2, 5, 12345), (4, 5, everyone), (16, 7, everyone), (32, 0, everyone)]
    os.setxattr(zone, "system.posix_acl_default", struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *each) for each in entries))
    group = next((each for each in os.getgroups() if each != os.getgid()), 4321 if os.geteuid() == 0 else os.getgid())
    os.chown(zone, -1, group)
    os.chmod(zone, 0o2770)
    at_rest()
    keep = Keep(owner=False, mode=False, extended=False)
    assert copy_dataset(source, zone / "session", keep=keep, processes=0).whole
    found = (zone / "session" / "plain 1").stat()
    assert (found.st_gid, stat.S_IMODE(found.st_mode)) == (group, 0o660)
    access = os.getxattr(zone / "session" / "plain 1", "system.posix_acl_access")
    assert struct.pack("<HHI", 2, 5, 12345) in access
