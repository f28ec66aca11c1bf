"""Transfers as rows: their moves, who was served when, and which copies are on record."""

from __future__ import annotations

from typing import Any

import pytest

from passerelle.core.errors import Conflict, IllegalMove, NotFound
from passerelle.core.states import TransferState
from passerelle.store import Database, events, transfers, zones
from passerelle.store.transfers import Transfer

NOBODY = {"people": [], "groups": []}
DIGEST = "ab" * 32


@pytest.fixture
def zone_id(database: Database) -> int:
    with database.write() as connection:
        made = zones.create(
            connection, name="anna", kind="personal", root="/zones/anna", owner="anna", readers=NOBODY, writers=NOBODY, at=1.0
        )
    return made.id


def send(database: Database, zone_id: int, **changes: Any) -> Transfer:
    values: dict[str, Any] = {
        "person": "anna",
        "groups": {"cryo", "all"},
        "through": "page",
        "instrument": "krios",
        "source": "visit/session1",
        "session_id": None,
        "name": "session1",
        "selection": "whole",
        "zone_id": zone_id,
        "folder": "datasets/krios/session1",
        "at": 10.0,
    }
    with database.write() as connection:
        return transfers.create(connection, **(values | changes))


def go(database: Database, transfer_id: int, *states: TransferState, at: float = 20.0, **values: Any) -> Transfer:
    with database.write() as connection:
        for state in states[:-1]:
            transfers.change_state(connection, transfer_id, state, at=at)
        return transfers.change_state(connection, transfer_id, states[-1], at=at, **values)


def done(database: Database, transfer_id: int, **values: Any) -> Transfer:
    found = go(database, transfer_id, TransferState.RUNNING, TransferState.DONE, **({"manifest_digest": DIGEST} | values))
    assert found.state is TransferState.DONE
    return found


def test_a_new_transfer_waits_and_is_told_of(database: Database, zone_id: int) -> None:
    made = send(database, zone_id, name="a\x00b\udcff")
    assert (made.state, made.groups, made.name) == (TransferState.QUEUED, ("all", "cryo"), "a\\x00b\\udcff")
    assert (made.zone, made.zone_root, made.attempts, made.mean_bytes_per_second) == ("anna", "/zones/anna", 0, 0.0)
    with database.read() as connection:
        event = events.latest(connection, limit=1)[0]
        assert transfers.standing(connection) == [made]
    assert (event.kind, event.data["transfer"], event.data["zone"]) == ("transfer_queued", made.id, "anna")


def test_a_transfer_of_a_zone_that_is_not_there_is_refused(database: Database, zone_id: int) -> None:
    with pytest.raises(Conflict):
        send(database, zone_id + 1)


def test_each_move_is_told_of_and_times_are_kept(database: Database, zone_id: int) -> None:
    made = send(database, zone_id)
    go(database, made.id, TransferState.RUNNING, at=20.0)
    go(database, made.id, TransferState.QUEUED, at=30.0, not_before=35.0)
    again = go(database, made.id, TransferState.RUNNING, at=40.0)
    assert (again.started_at, again.begun_at, again.not_before, again.attempts, again.ended_at) == (20.0, 40.0, None, 2, None)
    failed = go(database, made.id, TransferState.FAILED, at=50.0, error="no room", advice="Make room.")
    assert (failed.ended_at, failed.error, failed.advice) == (50.0, "no room", "Make room.")
    retried = go(database, made.id, TransferState.QUEUED, at=60.0)
    assert (retried.ended_at, retried.error) == (None, None)
    with database.read() as connection:
        kinds = [event.kind for event in events.after(connection, 0)]
    moved = ["running", "queued", "running", "failed", "queued"]
    assert kinds == ["zone_made", "transfer_queued", *(f"transfer_{each}" for each in moved)]


def test_a_forbidden_move_changes_nothing(database: Database, zone_id: int) -> None:
    made = send(database, zone_id)
    with pytest.raises(IllegalMove, match=f"transfer {made.id} is queued and cannot become done"):
        go(database, made.id, TransferState.DONE)
    with database.read() as connection:
        assert transfers.get(connection, made.id) == made
        with pytest.raises(NotFound):
            transfers.get(connection, made.id + 1)


def test_counts_are_noted_without_an_event(database: Database, zone_id: int) -> None:
    made = send(database, zone_id)
    with database.write() as connection:
        before = events.last_id(connection)
        transfers.note(connection, made.id, files=3, bytes=5 << 40, moved_bytes=100, seconds=4.0, problems=[{"path": "a"}])
        transfers.note(connection, made.id)
        assert events.last_id(connection) == before
        found = transfers.get(connection, made.id)
    assert (found.files, found.bytes, found.mean_bytes_per_second, found.problems) == (3, 5 << 40, 25.0, ({"path": "a"},))


def test_the_latest_come_first_and_can_be_chosen(database: Database, zone_id: int) -> None:
    first, second = send(database, zone_id), send(database, zone_id, person="bob", folder="b")
    done(database, first.id)
    with database.read() as connection:
        assert [each.id for each in transfers.latest(connection, limit=9)] == [second.id, first.id]
        assert [each.id for each in transfers.latest(connection, limit=9, person="bob")] == [second.id]
        assert [each.id for each in transfers.latest(connection, limit=9, states={TransferState.DONE})] == [first.id]
        assert [each.id for each in transfers.in_zone(connection, zone_id)] == [first.id, second.id]
        assert transfers.last_starts(connection) == {"anna": 20.0}


def test_only_what_is_done_is_a_copy_on_record(database: Database, zone_id: int) -> None:
    numbers = [send(database, zone_id, folder=str(number)).id for number in range(4)]
    done(database, numbers[0])
    go(database, numbers[1], TransferState.RUNNING, TransferState.INCOMPLETE, manifest_digest=DIGEST)
    go(database, numbers[2], TransferState.RUNNING)
    with database.read() as connection:
        (copy,) = transfers.copies_of(connection, "krios", "visit/session1")
        assert transfers.copies_of(connection, "glacios", "visit/session1") == []
    assert (copy.transfer_id, copy.zone_root, copy.folder, copy.within) == (numbers[0], "/zones/anna", "0", "")
    assert (copy.manifest_digest, copy.whole, copy.started_at, copy.ended_at) == (DIGEST, True, 20.0, 20.0)


def test_a_copy_of_a_folder_around_counts_and_one_within_does_not(database: Database, zone_id: int) -> None:
    for source in ("", "visit", "visit/session1/raw", "visit/session10", "visit/sess"):
        done(database, send(database, zone_id, source=source, folder=f"to {source}").id)
    with database.read() as connection:
        found = transfers.copies_of(connection, "krios", "visit/session1")
    assert {(copy.folder, copy.within) for copy in found} == {("to ", "visit/session1"), ("to visit", "session1")}


def test_a_copy_of_a_part_says_so(database: Database, zone_id: int) -> None:
    done(database, send(database, zone_id, selection="squares", squares=["7", "9"]).id)
    with database.read() as connection:
        (copy,) = transfers.copies_of(connection, "krios", "visit/session1")
    assert (copy.whole, copy.squares) == (False, ("7", "9"))
