"""The pages and the JSON of transfers, over a real service: what each person sees and may do there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from passerelle.core.states import TransferState
from passerelle.service.access import this_account
from passerelle.store import transfers, zones
from passerelle.store.paths import to_text
from tests.web_house import House, page_token

FOLDER = "X <b>ray 100% \udcff"
NOBODY: dict[str, list[str]] = {"people": [], "groups": []}


@pytest.fixture
def house(tmp_path: Path, migrated_file: Path) -> Iterator[House]:
    made = House(tmp_path, migrated_file)
    (made.bench.folder / FOLDER / "scan").mkdir(parents=True)
    (made.bench.folder / FOLDER / "scan" / "1.cbf").write_bytes(b"x" * 5000)
    root = tmp_path / "zone of bob"
    root.mkdir()
    with made.parts.database.write() as connection:
        zones.create(
            connection, name="bobs", kind="personal", root=str(root), owner="bob", readers=NOBODY, writers=NOBODY, at=1.0
        )
    made.facility.people.create(this_account(), "games", role="user", password="seven brisk otters paddle", own=True)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _as_a_service_that_is_not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)  # bob is no account of this machine


def put(house: House, *states: TransferState, person: str = "bob", folder: str = "datasets/x", **values: Any) -> int:
    """Write a transfer as the runner would."""
    with house.parts.database.write() as connection:
        made = transfers.create(
            connection,
            person=person,
            groups=[],
            through="page",
            instrument="krios",
            source=to_text(FOLDER),
            session_id=None,
            name=to_text(FOLDER),
            selection="whole",
            zone_id=zones.get(connection, "bobs").id,
            folder=folder,
            at=10.0,
        )
        for state in states:
            transfers.change_state(connection, made.id, state, at=20.0, **(values if state is states[-1] else {}))
    return made.id


def test_a_person_chooses_among_what_can_be_seen(house: House) -> None:
    text = house.client("bob").get("/send").text
    assert "X &lt;b&gt;ray 100% \\xff" in text
    assert "<b>ray" not in text
    assert "You see no instrument" in house.client("carl").get("/send").text


def test_a_folder_with_any_name_is_opened_chosen_and_sent(house: House) -> None:
    bob = house.client("bob")
    text = bob.get("/send", params={"instrument": "krios", "source": to_text(FOLDER), "browse": "1"}).text
    assert "scan/" in text
    form = bob.get("/send", params={"instrument": "krios", "source": f"{to_text(FOLDER)}/scan"}).text
    assert 'option value="bobs"' in form
    fields = {"instrument": "krios", "source": to_text(FOLDER), "zone": "bobs", "folder": "mine/x", "selection": "whole"}
    counted = bob.get("/parts/send/estimate", params=fields).text
    assert "5.0 kB" in counted
    page_token(bob, "/send")
    answer = bob.post("/send", data=fields, headers={"hx-request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (204, "/transfers/1")
    page = bob.get("/transfers/1").text
    assert 'data-state="queued"' in page
    assert "X &lt;b&gt;ray" in page


def test_a_session_is_sent_from_its_page(house: House) -> None:
    bob = house.client("bob")
    assert "/send?session=1" in bob.get("/sessions/1").text
    assert "Accepted movies" in bob.get("/send?session=1").text


def test_what_stands_against_it_is_said_in_the_form_and_refused_by_it(house: House) -> None:
    put(house, TransferState.RUNNING, folder="mine/x")
    bob = house.client("bob")
    fields = {"instrument": "krios", "source": to_text(FOLDER), "zone": "bobs", "folder": "mine/x"}
    assert "sending this dataset there already" in bob.get("/parts/send/estimate", params=fields).text
    page_token(bob, "/send")
    assert bob.post("/send", data=fields).status_code == 409
    assert "sending" not in bob.get("/parts/send/estimate", params=fields | {"zone": "krios"}).text


@pytest.mark.parametrize(
    "address",
    ["/transfers/1", "/transfers/1/certificate", "/parts/transfers/1", "/api/transfers/1", "/api/transfers/1/certificate"],
)
def test_what_is_another_persons_is_not_found(house: House, address: str) -> None:
    put(house, TransferState.RUNNING, TransferState.DONE, manifest_digest="ab" * 32)
    assert house.client("bob").get(address).status_code == 200
    assert house.client("carl").get(address).status_code == 404
    assert house.client("dora").get(address).status_code == 200


@pytest.mark.parametrize("act", ["pause", "resume", "cancel", "retry"])
def test_nobody_changes_what_is_another_persons(house: House, act: str) -> None:
    put(house)
    carl = house.client("carl")
    page_token(carl, "/transfers")
    assert carl.post(f"/api/transfers/1/{act}").status_code == 404
    with house.parts.database.read() as connection:
        assert transfers.get(connection, 1).state is TransferState.QUEUED


def test_the_list_is_ones_own_and_that_of_all_for_who_keeps_zones(house: House) -> None:
    put(house)
    put(house, person="carl", folder="datasets/y")
    assert house.client("bob").get("/transfers").text.count("/transfers/") >= 1
    assert "/transfers/2" not in house.client("bob").get("/transfers").text
    everybody = house.client("dora").get("/transfers").text
    assert "/transfers/1" in everybody and "/transfers/2" in everybody and "Of all people" in everybody
    assert "Nothing was sent yet" in house.client("olga").get("/transfers").text


def test_a_running_transfer_shows_how_far_it_is_and_what_is_not_there(house: House) -> None:
    progress = {"listing": False, "bytes_per_second": 2.5e8, "latest": [["a/<i>one</i>.mrc", 4_000_000]]}
    problem = {"path": "bad <u>name", "error": "NotFound", "message": "is not there (any more).", "advice": "Look."}
    put(house, TransferState.RUNNING)
    values = {"files": 3, "known_files": 12, "bytes": 10**9, "known_bytes": 4 * 10**9, "moved_bytes": 10**9, "seconds": 5.0}
    with house.parts.database.write() as connection:
        transfers.note(connection, 1, progress=progress, problems=[problem], problem_count=1, **values)
    text = house.client("bob").get("/transfers/1").text
    for words in (
        "2.00 Gbit/s",
        "1.60 Gbit/s",
        "1.0 GB",
        "of 4.0 GB",
        "15 s",
        "a/&lt;i&gt;one",
        "bad &lt;u&gt;name",
        'value="250"',
    ):
        assert words in text, words
    assert "every 1s" in text


def test_what_was_failed_says_why_and_offers_a_retry(house: House) -> None:
    put(house, TransferState.RUNNING, TransferState.FAILED, error="No <s>room</s>.", advice="Make room.")
    bob = house.client("bob")
    text = bob.get("/transfers/1").text
    assert "No &lt;s&gt;room" in text and "Make room." in text and 'id="retry-1"' in text
    page_token(bob, "/transfers/1")
    assert bob.post("/api/transfers/1/retry").json()["state"] == "queued"


def test_a_certificate_has_counts_digest_and_a_print_button(house: House) -> None:
    put(house, TransferState.RUNNING, TransferState.DONE, manifest_digest="ab" * 32)
    with house.parts.database.write() as connection:
        transfers.note(connection, 1, files=1234, bytes=56_789_000_000)
    text = house.client("bob").get("/transfers/1/certificate").text
    for words in ("ab" * 32, "1\u202f234", "56\u202f789\u202f000\u202f000", 'id="print"', "krios to zone bobs, for bob", "bobs"):
        assert words in text, words
    put(house, folder="other")
    assert house.client("bob").get("/transfers/2/certificate").status_code == 409


def test_the_json_sends_counts_and_lists(house: House) -> None:
    bob = house.client("bob")
    labels = [each["label"] for each in bob.get("/api/datasets").json()]
    assert len(labels) == 2
    body = {"instrument": "krios", "source": to_text(FOLDER), "zone": "bobs"}
    page_token(bob, "/send")
    assert bob.post("/api/transfers/estimate", json=body).json()["bytes"] == 5000
    assert bob.get("/api/transfers").json() == []
    made = bob.post("/api/transfers", json=body)
    assert (made.status_code, made.json()["state"]) == (201, "queued")
    assert [each["id"] for each in bob.get("/api/transfers", params={"state": "queued"}).json()] == [1]
    assert bob.post("/api/transfers/1/pause").json()["may"] == ["cancel", "resume"]
    folders = bob.get("/api/datasets/folders", params={"instrument": "krios", "source": to_text(FOLDER)}).json()
    assert [each["shown"] for each in folders] == ["scan"]


@pytest.mark.parametrize("body", [{"zone": "bobs"}, {"instrument": "krios", "zone": "bobs", "selection": "some"}, {"x": 1}])
def test_what_is_no_request_is_refused(house: House, body: dict[str, Any]) -> None:
    bob = house.client("bob")
    page_token(bob, "/send")
    assert bob.post("/api/transfers", json=body).status_code == 422 or bob.post("/api/transfers", json=body).status_code == 400
