"""Whose folder of a zone it is, and whether what comes fits."""

from __future__ import annotations

from typing import Any

import pytest

from passerelle.core.errors import BadInput, Conflict, OutOfSpace
from passerelle.core.states import TransferState
from passerelle.service.transfer_rules import check_folder, check_place, check_room, in_words
from passerelle.service.transfer_words import told
from passerelle.store.transfers import Transfer
from passerelle.transfer import Weight


def transfer(**changes: Any) -> Transfer:
    values: dict[str, Any] = dict.fromkeys(Transfer.__slots__)
    values |= {"id": 7, "person": "anna", "instrument": "krios", "source": "s1", "folder": "datasets/s1", "name": "s1"}
    values |= {"state": TransferState.DONE, "files": 3, "bytes": 2_500_000, "zone": "home", "zone_root": "/zones/home"}
    values |= {"problems": (), "problem_count": 0, "attempts": 1, "manifest_digest": "ab" * 32}
    return Transfer(**(values | changes))


@pytest.mark.parametrize("folder", ["", ".passerelle", "a/.passerelle/b", ".p-0123abcd-0", "x/.p-1"])
def test_a_dataset_lies_neither_in_the_zone_itself_nor_under_a_name_of_ours(folder: str) -> None:
    with pytest.raises(BadInput):
        check_folder(folder)


def test_other_folders_are_taken() -> None:
    check_folder("datasets/krios/2026-11-23_apo")


@pytest.mark.parametrize("state", [TransferState.DONE, TransferState.FAILED, TransferState.CANCELLED, TransferState.INCOMPLETE])
def test_the_same_dataset_may_come_again_to_where_it_is(state: TransferState) -> None:
    check_place("datasets/s1", "krios", "s1", [transfer(state=state)])


@pytest.mark.parametrize("state", [TransferState.QUEUED, TransferState.RUNNING, TransferState.PAUSED])
def test_the_same_dataset_is_not_sent_twice_at_a_time(state: TransferState) -> None:
    with pytest.raises(Conflict, match=rf"anna is sending this dataset there already \(transfer 7, {state}\)"):
        check_place("datasets/s1", "krios", "s1", [transfer(state=state, files=0)])


@pytest.mark.parametrize("folder", ["datasets/s1", "datasets", "datasets/s1/raw"])
@pytest.mark.parametrize("state", list(TransferState))
def test_another_dataset_keeps_its_folder_and_those_within_and_around(folder: str, state: TransferState) -> None:
    with pytest.raises(Conflict, match="Another dataset, s1 of krios"):
        check_place(folder, "krios", "s2", [transfer(state=state)])


def test_the_same_dataset_does_not_go_into_itself() -> None:
    with pytest.raises(Conflict):
        check_place("datasets/s1/again", "krios", "s1", [transfer()])


@pytest.mark.parametrize("state", [TransferState.FAILED, TransferState.CANCELLED])
def test_a_folder_into_which_nothing_came_is_free(state: TransferState) -> None:
    check_place("datasets/s1", "glacios", "s2", [transfer(state=state, files=0)])


@pytest.mark.parametrize("folder", ["datasets/s10", "datasets/s", "other"])
def test_folders_beside_are_free(folder: str) -> None:
    check_place(folder, "krios", "s2", [transfer()])


def test_what_does_not_fit_is_said_with_numbers() -> None:
    with pytest.raises(OutOfSpace, match="800 bytes would come, and 700 bytes can be taken"):
        check_room(Weight(3, 1000), 200, 800, 10_000, leave_free_percent=1.0)


@pytest.mark.parametrize(("there", "free"), [(200, 900), (1000, 100), (2000, 100), (0, None)])
def test_what_fits_passes_and_what_is_there_needs_no_room(there: int, free: int | None) -> None:
    check_room(Weight(3, 1000), there, free, 10_000, leave_free_percent=1.0)


@pytest.mark.parametrize(
    ("count", "said"), [(999, "999 bytes"), (1500, "1.5 kB"), (2_500_000, "2.5 MB"), (31 * 10**11, "3.1 TB")]
)
def test_bytes_in_words(count: int, said: str) -> None:
    assert in_words(count) == said


def test_the_end_of_a_transfer_is_told_with_its_certificate() -> None:
    words = told(transfer(), "https://cryo.example/")
    assert words.title == "s1 is in zone home"
    assert "3 files, 2.5 MB, are verified in /zones/home/datasets/s1" in words.body
    assert words.body.endswith("https://cryo.example/transfers/7/certificate")
    assert ("ab" * 32) in words.body


def test_what_is_not_whole_or_could_not_be_sent_is_told_with_its_reason() -> None:
    problem = {"path": "a", "error": "NotFound", "message": "a: is not there.", "advice": "Look."}
    words = told(transfer(state=TransferState.INCOMPLETE, problem_count=9, problems=(problem,)), "")
    assert (words.level, "9 files are not there" in words.body, "a: is not there. Look." in words.body) == ("warning", True, True)
    words = told(transfer(state=TransferState.FAILED, error="No room.", advice="Make room."), "")
    assert (words.level, "No room. Make room." in words.body) == ("error", True)


def test_each_attempt_is_told_of_once() -> None:
    first, second = told(transfer(attempts=1), ""), told(transfer(attempts=2), "")
    assert first.cause != second.cause
