"""The pages of who keeps the facility well: who may open them, what they show, and that a purge goes the whole way."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from passerelle.core.states import SessionState, TransferState
from passerelle.service.access import POWERS, Actor, PersonRole, Power, Through
from passerelle.service.buffer_view import BufferView
from passerelle.store import alerts, fills, sessions, transfers, zones
from passerelle.store.fills import Fill
from passerelle.testing.bench import MOVIE
from passerelle.transfer import copy_dataset
from passerelle.web.buffer_curve import HEIGHT, WIDTH, curve
from tests.web_house import House, page_token

HTMX = {"hx-request": "true"}
DAY = 86400.0
ADMIN = Actor("ann", PersonRole.ADMIN, POWERS[PersonRole.ADMIN], Through.PAGE)


@pytest.fixture
def full(house: House, tmp_path: Path) -> Iterator[House]:
    """A house whose one session was closed a month ago and has a verified copy in a zone."""
    bench, at = house.bench, time.time() - 30 * DAY
    for path in bench.folder.rglob("*"):
        os.utime(path, (at, at))
    place = tmp_path / "zones" / "anna"
    place.mkdir(parents=True)
    done = copy_dataset(bench.folder / "s1", place / "s1", leg="gateway to anna", processes=1)
    with house.parts.database.write() as connection:
        (session,) = sessions.every(connection)
        nobody: dict[str, list[str]] = {"people": [], "groups": []}
        zone = zones.create(
            connection, name="anna", kind="personal", root=str(place), owner="ann", readers=nobody, writers=nobody, at=1.0
        )
        made = transfers.create(
            connection,
            person="ann",
            groups=[],
            through="page",
            instrument="krios",
            source=session.root,
            session_id=session.id,
            name="s1",
            selection="whole",
            zone_id=zone.id,
            folder="s1",
            at=1.0,
        )
        transfers.change_state(connection, made.id, TransferState.RUNNING, at=2.0)
        transfers.change_state(connection, made.id, TransferState.DONE, at=3.0, manifest_digest=done.manifest_digest)
        sessions.change_state(connection, session.id, SessionState.CLOSED, at=at)
    yield house
    house.facility.keeping.stop()


def test_each_page_is_for_who_keeps_it(house: House) -> None:
    seen = {
        name: [
            house.client(name).get(path).status_code
            for path in ("/buffer", "/health", "/parts/mutes", "/api/buffer", "/api/checks", "/api/notices", "/api/buffer/purged")
        ]
        for name in ("dora", "olga", "bob")
    }
    assert seen == {
        "dora": [200, 200, 200, 200, 200, 200, 200],
        "olga": [403, 200, 200, 403, 200, 200, 403],
        "bob": [403, 403, 403, 403, 403, 403, 403],
    }
    assert "/buffer" in house.client("dora").get("/").text
    assert "/buffer" not in house.client("bob").get("/").text


def test_a_data_manager_purges_what_a_dry_run_has_shown(full: House) -> None:
    client = full.client("dora")
    headers = HTMX | {"x-passerelle-token": page_token(client, "/buffer")}
    page = client.get("/buffer").text
    assert "14 days after its end" in page
    assert "anna" in page
    shown = client.post("/buffer/dry-run", data={"instrument": ""}, headers=headers)
    assert shown.status_code == 200
    digest = re.search(r'name="digest" value="([0-9a-f]{64})"', shown.text)
    assert digest is not None
    assert (full.bench.folder / MOVIE).exists()
    other = full.client("ann")
    refused = other.post(
        "/buffer/purge",
        data={"digest": digest[1]},
        headers=HTMX | {"x-passerelle-token": page_token(other, "/buffer")},
    )
    assert refused.status_code == 409
    full.facility.keeping.purger.start()
    begun = client.post("/buffer/purge", data={"digest": digest[1]}, headers=headers)
    assert begun.status_code == 200
    deadline = time.monotonic() + 60
    while "has ended" not in (run := client.get("/parts/buffer/run").text) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "2 files" in run
    assert not (full.bench.folder / MOVIE).exists()
    assert "dora" in client.get("/buffer").text
    told = client.get("/api/buffer/purged").json()
    assert {each["path"] for each in told if each["kind"] == "file"} >= {MOVIE}
    assert {each["state"] for each in told} == {"deleted"}


def test_without_the_right_list_nothing_begins(full: House) -> None:
    client = full.client("dora")
    headers = {"x-passerelle-token": page_token(client, "/buffer")}
    for body in ({"digest": "0" * 64}, {"digest": ""}):
        assert client.post("/api/buffer/purge", json=body, headers=headers).status_code == 409
    assert client.post("/api/buffer/purge", json={"digest": "x", "all": True}, headers=headers).status_code == 422
    half = client.post(
        "/api/buffer/purge", content=b'{"digest": "\\ud800"}', headers=headers | {"content-type": "application/json"}
    )
    assert half.status_code == 409
    assert client.post("/api/buffer/dry-run", json={"instrument": "../talos"}, headers=headers).status_code == 400
    assert client.get("/api/buffer/purge").json() is None
    plan = client.post("/api/buffer/dry-run", json={}, headers=headers).json()
    assert plan["files"] == 2
    assert (full.bench.folder / MOVIE).exists()


def test_mutes_are_made_shown_and_ended(house: House) -> None:
    with house.parts.database.write() as connection:
        alerts.raise_(connection, "smbd", level="error", message="No <b>smbd</b> runs.", instrument="krios", at=1.0)
    client = house.client("olga")
    headers = HTMX | {"x-passerelle-token": page_token(client, "/alerts")}
    assert "No &lt;b&gt;smbd" in client.get("/alerts").text
    made = client.post("/mutes", data={"what": "instrument:krios", "hours": "2", "why": "a <i>visit</i>"}, headers=headers)
    assert made.status_code == 204
    assert "smbd" not in client.get("/parts/alerts").text
    part = client.get("/parts/mutes").text
    assert "olga" in part
    assert "a &lt;i&gt;visit" in part
    (mute,) = client.get("/api/mutes").json()
    assert client.post(f"/api/mutes/{mute['id']}/end", headers=headers).status_code == 204
    assert "smbd" in client.get("/parts/alerts").text
    for what, status in (("session:1", 204), ("session:99", 404), ("session:x", 400), ("instrument:x", 400), ("x", 400)):
        assert client.post("/mutes", data={"what": what, "hours": "2"}, headers=headers).status_code == status, what
    assert [each["what"] for each in client.get("/api/mutes").json()] == ["session"]
    assert 'value="session:1"' in client.get("/parts/mutes").text
    for body in ({"hours": 0}, {"hours": 1e9}, {"instrument": "x", "hours": 1}, {"alert_id": 1, "session_id": 1, "hours": 1}, {}):
        assert client.post("/api/mutes", json=body, headers=headers).status_code == 400, body
    assert client.post("/api/mutes", json={"hours": 1, "alert_id": 99}, headers=headers).status_code == 404


def test_the_numbers_for_prometheus_are_for_this_machine_and_for_tokens(house: House) -> None:
    stranger = house.client()
    assert stranger.get("/metrics", headers={"accept": "*/*"}).status_code in (303, 401)
    near = house.client(peer="127.0.0.1")
    found = near.get("/metrics")
    assert found.status_code == 200
    assert found.headers["content-type"].startswith("text/plain; version=")
    assert 'passerelle_movies{instrument="krios",state="done"} 1.0' in found.text
    assert 'passerelle_latency_seconds_bucket{instrument="krios",le="+Inf"} 1.0' in found.text
    assert re.search(r"passerelle_pages_loop_lag_seconds \d", found.text)
    assert near.get("/metrics", headers={"x-forwarded-for": "198.51.100.7"}).status_code in (303, 401)  # by a proxy nobody trusts


def test_a_token_reads_the_numbers_from_anywhere(house: House) -> None:
    made = {
        scope: house.facility.tokens.create(ADMIN, name=scope, scopes=[scope], days=1, person="ann").secret
        for scope in (Power.LOOK, Power.SEND)
    }
    assert house.client(token=made[Power.LOOK]).get("/metrics").status_code == 200
    assert house.client(token=made[Power.SEND]).get("/metrics").status_code == 403


def test_liveness_tells_nothing_else(house: House) -> None:
    assert house.client().get("/healthz").json() == {"alive": True}


def test_the_curve_lies_in_its_picture() -> None:
    now = 1_000_000.0
    samples = [(now - DAY + n * 300, 4 * 10**12 - n * 10**9) for n in range(288)]
    view = BufferView(
        instrument="krios",
        folder="/gateway",
        free_bytes=samples[-1][1],
        total_bytes=10**13,
        percent=60.0,
        stop_percent=95.0,
        bytes_per_hour=1e12,
        hours_to_stop=3.0,
        hours_to_full=3.7,
        samples=samples,
    )
    drawn = curve(view, now)
    points = [tuple(map(float, point.split(","))) for point in f"{drawn.past} {drawn.ahead}".split()]
    assert len(points) == 290
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert points[-1][1] == 0.0
    assert drawn.stop_y == pytest.approx(7.5)
    empty = curve(view.model_copy(update={"samples": [], "bytes_per_hour": None, "total_bytes": 0}), now)
    assert (empty.past, empty.ahead) == ("", "")


def test_a_forecast_is_shown_and_alarms(house: House) -> None:
    usage = shutil.disk_usage(house.bench.folder)
    with house.parts.database.write() as connection:
        for minutes in range(60, 0, -5):
            fill = Fill(time.time() - minutes * 60, usage.free + minutes * usage.free // 240, usage.total)
            fills.add(connection, "krios", fill, keep_seconds=1e6)
    page = house.client("dora").get("/parts/buffer/room").text
    assert "stop line" in page.lower()
    house.facility.keeping._caretaker.step()
    with house.parts.database.read() as connection:
        found = {alert.kind: alert for alert in alerts.standing(connection)}
    assert found["buffer_krios"].level in ("warning", "error")
    assert found["buffer_krios"].instrument == "krios"
