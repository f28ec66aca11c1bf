"""Datasets are sent by real processes to real folders, whatever happens meanwhile: nothing is lost, and it is said in words."""

from __future__ import annotations

import contextlib
import json
import pwd
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from blake3 import blake3

from passerelle.core.states import PersonState, SessionState, TransferState
from passerelle.service import transfer_runner
from passerelle.service.access import POWERS, Actor, PersonRole, Through, this_account
from passerelle.service.settings_people import PeopleSettings
from passerelle.service.transfer_view import TransferView
from passerelle.store import people, sessions
from passerelle.transfer import verify_dataset
from passerelle.zones import Who, ZoneKind
from tests.send_place import ME, OWNER, ROOT, Place, give, same, wait

needs_root = pytest.mark.skipif(not ROOT, reason="only root mounts a file system")


@pytest.fixture
def folder(open_folder: Path) -> Path:
    return open_folder


@pytest.fixture
def place(folder: Path) -> Iterator[Place]:
    made = Place(folder)
    yield made
    made.database.close()


def test_a_folder_of_no_known_layout_arrives_and_is_certified(place: Place) -> None:
    place.dataset()
    place.write("crystal/big.h5", 20_000_000)
    with place.running():
        done = place.ended(place.send().id)
    assert (done.state, done.files, done.problem_count) == (TransferState.DONE, 42, 0), done
    same(place.gateway / "crystal", place.target(done))
    manifest = (place.target(done) / ".passerelle" / "manifest.jsonl").read_bytes()
    lines = manifest.splitlines(keepends=True)
    assert done.manifest_digest == json.loads(lines[-1])["blake3"] == blake3(b"".join(lines[:-1])).hexdigest()
    assert place.transfers.certificate(this_account(), done.id).transfer.bytes == done.bytes
    assert [each.state for each in place.told] == [TransferState.DONE]
    owner = pwd.getpwnam(OWNER).pw_uid
    assert {path.lstat().st_uid for path in place.target(done).rglob("*")} == {owner}


def test_a_second_sending_copies_what_is_new_only(place: Place) -> None:
    place.dataset()
    with place.running():
        place.ended(place.send().id)
        place.write("crystal/new.cbf", 777)
        again = place.ended(place.send().id)
    assert (again.state, again.files, again.moved_bytes) == (TransferState.DONE, 42, 777)


def test_a_transfer_is_held_and_goes_on_where_it_was(place: Place) -> None:
    place.dataset(files=2500, size=100_000)
    with place.running():
        number = place.send().id
        place.under_way(number)
        place.transfers.pause(this_account(), number)
        wait(lambda: not couriers())
        held = place.at_rest(number)
        assert held.state is TransferState.PAUSED
        time.sleep(2.0)
        assert place.get(number) == held
        assert not couriers()
        place.transfers.resume(this_account(), number)
        done = place.ended(number)
    assert (done.state, done.files, done.attempts) == (TransferState.DONE, 2501, 2)
    total = sum(100_000 + each for each in range(2500)) + 10
    assert done.moved_bytes < total + 160_000_000  # what was verified was not copied again; a batch a lane may be
    same(place.gateway / "crystal", place.target(done))


def test_what_was_ended_stays_as_far_as_it_was_verified_and_a_retry_copies_the_rest(place: Place) -> None:
    place.dataset(files=2500, size=100_000)
    with place.running():
        number = place.send().id
        place.under_way(number)
        place.transfers.cancel(this_account(), number)
        wait(lambda: not couriers())
        time.sleep(1.0)
        assert place.get(number).state is TransferState.CANCELLED
        assert place.told == []
        assert not list(place.target(place.get(number)).rglob(".p-*"))
        place.transfers.retry(this_account(), number)
        done = place.ended(number)
    assert done.state is TransferState.DONE
    same(place.gateway / "crystal", place.target(done))


def test_what_was_not_readable_is_named_and_a_retry_copies_only_that(place: Place) -> None:
    place.dataset()
    broken = place.gateway / "crystal" / "scan" / "0007.cbf"
    target = place.root / "datasets" / "xrd" / "crystal" / "scan"
    with place.running():
        target.mkdir(parents=True)
        (target / "0007.cbf").write_bytes(b"another's")
        if ROOT:
            give(place.root / "datasets")
        part = place.ended(place.send().id)
        assert (part.state, part.files, part.problem_count) == (TransferState.INCOMPLETE, 40, 1), part
        assert (part.problems[0].path, part.problems[0].error) == ("scan/0007.cbf", "Conflict")
        assert (target / "0007.cbf").read_bytes() == b"another's"
        (target / "0007.cbf").unlink()
        place.transfers.retry(this_account(), part.id)
        done = place.ended(part.id)
    assert done.state is TransferState.DONE
    assert (target / "0007.cbf").read_bytes() == broken.read_bytes()


# -- while the acquisition writes


def follow(place: Place) -> TransferView:
    """Begin to follow a folder, and wait until its first files are there. Files are older than the ten quiet seconds."""
    place.dataset()
    old(place.gateway / "crystal")
    made = place.send(follow=True)
    return place.until(made.id, lambda view: view.state is TransferState.RUNNING and view.files == 41)


def old(folder: Path) -> None:
    """Nothing can set the time of change of an inode: wait until all of it is quiet."""
    newest = max(path.lstat().st_ctime for path in folder.rglob("*"))
    time.sleep(max(0.0, newest + 10.5 - time.time()))


def test_a_session_is_followed_until_it_is_closed(place: Place) -> None:
    place.write("visit/s1/a.cbf")
    with place.database.write() as connection:
        session = sessions.create(
            connection, instrument="xrd", root="visit/s1", name="s1", program="generic", recipe={}, thresholds={}, at=1.0
        )
    with place.running():
        number = place.send("visit/s1", follow=True).id
        place.until(number, lambda view: view.state is TransferState.RUNNING)
        place.write("visit/s1/later/b.cbf")
        time.sleep(1.0)
        changed = place.write("visit/s1/a.cbf", 500)
        with place.database.write() as connection:
            sessions.change_state(connection, session.id, SessionState.CLOSED, at=2.0)
        done = place.ended(number)
    assert (done.state, done.files) == (TransferState.DONE, 2), done
    assert (place.target(done) / "a.cbf").read_bytes() == changed.read_bytes()
    same(place.gateway / "visit" / "s1", place.target(done))


def test_a_file_that_changes_after_its_copy_is_copied_again_and_the_folder_ends_by_its_quiet(place: Place) -> None:
    place.settings = place.settings.model_copy(
        update={"transfers": place.settings.transfers.model_copy(update={"quiet_minutes": 0.7})}
    )
    with place.running():
        number = follow(place).id
        changed = place.write("crystal/scan/0003.cbf", 4444)
        done = place.ended(number, seconds=300)
    assert done.state is TransferState.DONE
    assert (place.target(done) / "scan" / "0003.cbf").read_bytes() == changed.read_bytes()
    assert verify_dataset(place.target(done)).whole


# -- what goes wrong


def test_an_archived_zone_takes_no_more_and_what_is_there_stays(place: Place) -> None:
    with place.running():
        number = follow(place).id
        place.zones.archive(this_account(), "home")
        failed = place.ended(number)
        assert (failed.state, failed.files) == (TransferState.FAILED, 41)
        assert "archived: nobody writes there" in failed.error
        wait(lambda: not couriers())
        place.zones.activate(this_account(), "home")
        again = place.transfers.retry(this_account(), number)
        place.until(again.id, lambda view: view.state is TransferState.RUNNING and view.files == 41)
    assert len(list(place.target(failed).rglob("*.cbf"))) == 40


def test_a_zone_whose_folder_is_gone_is_said_and_nothing_is_written_to_the_former_one(place: Place) -> None:
    with place.running():
        number = follow(place).id
        moved = place.root.with_name("moved")
        place.root.rename(moved)
        failed = place.ended(number, seconds=300)
        assert failed.state is TransferState.FAILED, failed
        assert str(place.root) in failed.error or "room" in failed.error
        place.write("crystal/late.cbf")
        time.sleep(1.0)
        assert not list(moved.rglob("late.cbf"))
        moved.rename(place.root)


def test_who_may_write_no_more_is_stopped(place: Place) -> None:
    with place.running():
        number = follow(place).id
        with place.database.write() as connection:
            people.create(connection, name=ME, role="user", source="local", at=1.0)
            people.change_state(connection, ME, PersonState.DISABLED)
        failed = place.ended(number)
    assert (failed.state, "disabled" in failed.error) == (TransferState.FAILED, True)


def test_who_may_see_the_instrument_no_more_gets_nothing_more_of_it(place: Place) -> None:
    place.settings = place.settings.model_copy(update={"people": PeopleSettings(log_in=True)})
    place.zones.create(this_account(), "xrd", kind=ZoneKind.INSTRUMENT, owner=OWNER, readers=Who.of([ME]))
    with place.database.write() as connection:
        people.create(connection, name=ME, role="user", source="local", at=1.0)
    reader = Actor(ME, PersonRole.USER, POWERS[PersonRole.USER], Through.PAGE)
    place.dataset()
    made = place.transfers.send(reader, place.datasets.named(reader, "xrd/crystal"), "home")
    with place.running():
        assert place.ended(made.id).state is TransferState.DONE
    place.write("crystal/late.cbf")
    again = place.transfers.send(reader, place.datasets.named(reader, "xrd/crystal"), "home")
    place.transfers.cancel(reader, again.id)
    place.zones.change(this_account(), "xrd", readers=Who())
    place.transfers.retry(reader, again.id)
    with place.running():
        failed = place.ended(again.id)
    assert (failed.state, "may not see" in failed.error) == (TransferState.FAILED, True)
    assert not list(place.root.rglob("late.cbf"))


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Transfers that are said to run begin only when this is set."""
    made, start = threading.Event(), transfer_runner.start_courier

    def held(*order: Any) -> Any:
        assert made.wait(120)
        return start(*order)

    monkeypatch.setattr(transfer_runner, "start_courier", held)
    return made


def test_while_the_database_is_locked_the_copy_goes_on_and_is_recorded_then(folder: Path, begin: threading.Event) -> None:
    place = Place(folder, busy_seconds=0.3)
    place.dataset(files=60, size=200_000)
    with place.running():
        number = place.send().id
        place.until(number, lambda view: view.state is TransferState.RUNNING)
        lock = sqlite3.connect(place.settings.state.folder / "passerelle.sqlite", isolation_level=None, timeout=60)
        lock.execute("BEGIN IMMEDIATE")
        begin.set()
        wait(lambda: len(list(place.root.rglob("*.cbf"))) == 60)
        time.sleep(2.0)
        assert place.get(number).state is TransferState.RUNNING
        lock.execute("ROLLBACK")
        lock.close()
        done = place.ended(number)
    assert (done.state, done.files) == (TransferState.DONE, 61)
    place.database.close()


def test_a_process_of_a_transfer_that_is_killed_is_started_again(place: Place) -> None:
    place.dataset(files=2500, size=100_000)
    with place.running():
        number = place.send().id
        place.under_way(number)
        for process in couriers():
            process.kill()
        done = place.ended(number)
    assert (done.state, done.files, done.attempts) == (TransferState.DONE, 2501, 2)
    same(place.gateway / "crystal", place.target(done))


@contextlib.contextmanager
def mounted(folder: Path, *command: str) -> Iterator[Path]:
    point = folder / "disk"
    point.mkdir()
    if subprocess.run([*command, str(point)], capture_output=True).returncode:
        pytest.skip("this machine mounts no such file system")
    try:
        yield point
    finally:
        subprocess.run(["umount", "--lazy", point], check=True)
        point.rmdir()


def fills_up(place: Place, fill: Callable[[], None], free: Callable[[], None]) -> None:
    """Follow a folder into a zone that becomes full in mid-way."""
    with place.running():
        number = follow(place).id
        fill()
        place.dataset("crystal/more", files=5, size=1_000_000)
        failed = place.ended(number, seconds=300)
        assert (failed.state, failed.error != "") == (TransferState.FAILED, True), failed
        assert "no space left" in failed.error, failed.error
        assert failed.files >= 41
        target = place.target(failed)
        assert not [path for path in target.rglob("*.cbf") if path.stat().st_size not in sizes(place)]
        free()
        place.transfers.retry(this_account(), number)
        place.until(number, lambda view: view.state is TransferState.RUNNING and view.files == 47, seconds=300)
    verified = verify_dataset(target)
    assert verified.whole


def sizes(place: Place) -> set[int]:
    return {path.stat().st_size for path in place.gateway.rglob("*.cbf")}


@needs_root
def test_a_zone_that_becomes_full_stops_in_words_and_goes_on_when_there_is_room(folder: Path) -> None:
    with mounted(folder, "mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs") as disk:
        place = Place(folder, disk / "zone")
        filler = disk / "filler"

        def fill() -> None:
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
                while True:
                    stream.write(b"x" * 65536)

        fills_up(place, fill, filler.unlink)
        place.database.close()


@needs_root
def test_a_quota_of_the_file_system_stops_in_words(folder: Path) -> None:
    if not shutil.which("mkfs.btrfs"):
        pytest.skip("btrfs-progs is not installed (tests/apt.txt)")
    image = folder / "image"
    with image.open("wb") as stream:
        stream.truncate(400 << 20)
    subprocess.run(["mkfs.btrfs", "-q", image], check=True)
    with mounted(folder, "mount", "-o", "loop", str(image)) as disk:
        subprocess.run(["btrfs", "quota", "enable", disk], check=True)
        place = Place(folder, disk / "zone")

        def limit(size: str) -> None:
            subprocess.run(["sync", "-f", disk], check=True)
            subprocess.run(["btrfs", "qgroup", "limit", size, disk], check=True)

        fills_up(place, lambda: limit("1500K"), lambda: limit("none"))
        place.database.close()


@needs_root
def test_when_the_disk_of_the_database_is_full_the_copy_is_recorded_as_soon_as_there_is_room(
    folder: Path, begin: threading.Event
) -> None:
    (folder / "state").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder / "state"], check=True)
    try:
        place = Place(folder)
        place.dataset(files=30, size=200_000)
        with place.running():
            number = place.send().id
            place.until(number, lambda view: view.state is TransferState.RUNNING)
            filler = folder / "state" / "filler"
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
                while True:
                    stream.write(b"x" * 4096)
            begin.set()
            wait(lambda: len(list(place.root.rglob("*.cbf"))) == 30)
            time.sleep(2.0)
            filler.unlink()
            done = place.ended(number)
        assert (done.state, done.files) == (TransferState.DONE, 31)
        place.database.close()
    finally:
        subprocess.run(["umount", "--lazy", folder / "state"], check=True)


def couriers() -> list[psutil.Process]:
    """The processes that bring datasets for this one."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any("transfer.courier import main" in word for word in process.cmdline()):
                found.append(process)
    return found
