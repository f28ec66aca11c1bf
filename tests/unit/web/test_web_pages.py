"""Pages and JSON: what they hold, errors in words, hostile names, files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from passerelle.core.errors import Busy, OutOfSpace
from passerelle.processing.metrics import METRICS
from passerelle.service.view import AlertView, Disk
from passerelle.web import create_app, show
from tests.web_demo import DemoStatus


def test_the_list_shows_open_sessions_first_with_their_counters(client: TestClient) -> None:
    text = client.get("/").text
    assert text.index("26nov22_apoferritin_g3") < text.index("26nov21_bgal_overnight")
    assert "No new movie for 26 minutes." in text


def test_an_alert_of_no_session_is_shown_above_all_sessions(
    client: TestClient, status: DemoStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "The disk of results is 96 % full."
    full = AlertView(id=9, session_id=None, kind="disk", level="error", message=words, advice="Free space.", opened_at=0.0)
    monkeypatch.setattr(status, "alerts", lambda closed=0: [full])
    text = client.get("/").text
    assert text.index(words) < text.index("26nov22_apoferritin_g3")


def test_with_no_session_the_list_says_what_to_do(pictures: Path) -> None:
    app = create_app(DemoStatus(pictures, pictures=1, empty=True), files_beneath=(pictures,))
    with TestClient(app, base_url="http://localhost") as client:
        text = client.get("/").text
    assert "No session yet" in text and "passerelle demo" in text


@pytest.mark.parametrize("address", ["/sessions/1", "/sessions/2", "/sessions/3", "/sessions/4", "/sessions/2/grid"])
def test_sessions_in_every_state_have_a_page(client: TestClient, address: str) -> None:
    assert client.get(address).status_code == 200


@pytest.mark.parametrize("part", ["sessions", "sessions/1/head", "sessions/1/strip", "movies/1/verdict", "alerts"])
def test_parts_that_are_asked_for_again_are_no_whole_pages(client: TestClient, part: str) -> None:
    response = client.get(f"/parts/{part}")
    assert response.status_code == 200
    assert "<html" not in response.text


def test_movies_in_every_state_have_a_page(client: TestClient, status: DemoStatus) -> None:
    seen = set()
    for row in status.movies(1):
        if row.state not in seen:
            seen.add(row.state)
            assert row.name in client.get(f"/movies/{row.id}").text
    assert {"done", "failed", "running", "queued"} <= seen


def test_a_failed_movie_says_why_and_what_to_do(client: TestClient, status: DemoStatus) -> None:
    failed = next(row for row in status.movies(1) if row.state == "failed")
    text = client.get(f"/movies/{failed.id}").text
    assert "ends after frame 17 of 40" in text and "Copy the movie again" in text


def test_columns_have_one_entry_a_movie_and_only_six_digits(client: TestClient, status: DemoStatus) -> None:
    sent = client.get("/api/sessions/1/movies").json()
    count = len(status.movies(1))
    assert {len(column) for name, column in sent.items() if name != "metrics"} == {count}
    assert {len(column) for column in sent["metrics"].values()} == {count}
    assert all(len(repr(value)) <= 13 for value in sent["metrics"]["defocus_angstrom"] if value is not None)


def test_some_movies_can_be_asked_for_by_id(client: TestClient) -> None:
    assert client.get("/api/sessions/1/movies?ids=2,3").json()["id"] == [2, 3]
    assert client.get("/api/sessions/1/movies?ids=2,x").status_code == 400
    assert client.get("/api/sessions/1/movies?ids=" + "9" * 400).status_code == 400


def test_values_that_are_not_numbers_become_null(client: TestClient, status: DemoStatus) -> None:
    movie_id = status.arrive(1, ctf_resolution_angstrom=float("nan"), late_motion_angstrom=float("inf"))
    sent = json.loads(client.get(f"/api/sessions/1/movies?ids={movie_id}").text)
    assert sent["metrics"]["ctf_resolution_angstrom"] == [None]
    assert json.loads(client.get(f"/api/movies/{movie_id}").text)["row"]["metrics"]["late_motion_angstrom"] is None
    assert client.get(f"/movies/{movie_id}").status_code == 200


def test_a_hostile_name_is_shown_as_text_everywhere(client: TestClient, status: DemoStatus) -> None:
    hostile = next(row for row in status.movies(2) if row.name.startswith("<img"))
    for address in ("/sessions/2", f"/movies/{hostile.id}", "/parts/sessions/2/strip", "/"):
        text = client.get(address).text
        assert "<img src=x" not in text
        assert "\u202e" not in text and "\udcff" not in text
    sent = client.get("/api/sessions/2/movies").json()["name"][-1]
    assert sent.isprintable() and "\\xff" in sent


def test_what_is_not_there_is_said_in_words_with_the_right_status(client: TestClient) -> None:
    page = client.get("/sessions/99")
    assert page.status_code == 404 and "There is no session 99" in page.text and "<html" in page.text
    data = client.get("/api/sessions/99")
    assert data.status_code == 404 and data.json()["error"]["message"].startswith("There is no session 99")
    assert client.get("/sessions/abc").status_code == 404
    assert client.get("/nowhere").status_code == 404


def test_errors_of_the_service_keep_their_status_and_advice(
    client: TestClient, status: DemoStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(_number: int) -> None:
        raise Busy("The database is locked.", advice="Try again in a minute.")

    def full(_number: int) -> None:
        raise OutOfSpace("could not be written: no space left.", advice="Free space, then retry.", path="/gateway/<b>x")

    monkeypatch.setattr(status, "session", locked)
    response = client.get("/sessions/1")
    assert response.status_code == 503 and "Try again in a minute." in response.text
    monkeypatch.setattr(status, "session", full)
    response = client.get("/sessions/1")
    assert response.status_code == 507 and "&lt;b&gt;x" in response.text and "<b>x" not in response.text


def test_a_fault_of_ours_is_a_page_without_a_trace(
    client: TestClient, status: DemoStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(status, "sessions", broken)
    response = client.get("/")
    assert response.status_code == 500
    assert "secret detail" not in response.text and "Traceback" not in response.text


def test_outputs_are_served_by_role(client: TestClient) -> None:
    response = client.get("/files/1/thumbnail")
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("role", ["escaped", "nothing", "..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "Thumbnail", "a" * 100])
def test_nothing_outside_of_the_results_is_served(client: TestClient, role: str) -> None:
    response = client.get(f"/files/1/{role}")
    assert response.status_code == 404
    assert "root:" not in response.text


def test_a_link_out_of_the_results_is_not_followed(
    client: TestClient, status: DemoStatus, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    link = pictures / "link.png"
    link.symlink_to(secret)
    monkeypatch.setattr(status, "output_path", lambda _movie, _role: link)
    assert client.get("/files/1/thumbnail").status_code == 404


def test_what_is_no_picture_is_saved_and_never_shown(
    client: TestClient, status: DemoStatus, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = pictures / 'evil";x=.html'
    page.write_text("<script>alert(1)</script>")
    monkeypatch.setattr(status, "output_path", lambda _movie, _role: page)
    headers = client.get("/files/1/micrograph").headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"].startswith("attachment") and '"' not in headers["content-disposition"]


def test_a_result_that_is_gone_is_404(
    client: TestClient, status: DemoStatus, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "output_path", lambda _movie, _role: pictures / "gone.png")
    assert client.get("/files/1/thumbnail").status_code == 404


@pytest.mark.parametrize("address", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fsecurity.py"])
def test_static_files_stay_in_their_folder(client: TestClient, address: str) -> None:
    assert client.get(address).status_code == 404


def test_every_asset_that_a_page_names_is_there(client: TestClient) -> None:
    named = set()
    for address in ("/", "/sessions/1", "/movies/1", "/sessions/1/grid"):
        named |= set(re.findall(r'(?:src|href)="(/static/[^"]+)"', client.get(address).text))
    assert any("vendor" in name for name in named)
    for name in named:
        assert "v=missing" not in name
        assert client.get(name).status_code == 200


def test_the_accepted_micrographs_are_exported_under_the_sessions_name(client: TestClient) -> None:
    response = client.get("/sessions/1/accepted.star")
    assert response.text.startswith("data_micrographs")
    assert response.headers["content-disposition"] == 'attachment; filename="26nov22_apoferritin_g3_accepted.star"'


def test_every_metric_is_described_for_the_plots(client: TestClient) -> None:
    table = client.get("/api/metrics").json()
    assert [entry["name"] for entry in table] == [metric.name for metric in METRICS]


def test_folders_on_one_disk_are_shown_once() -> None:
    disks = [Disk(path=path, free_bytes=5, total_bytes=9) for path in ("/results", "/gateway")]
    assert [disk.path for disk in show.one_a_disk([*disks, Disk(path="/tape", free_bytes=1, total_bytes=9)])] == [
        "/results",
        "/tape",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"),
        (0, "0 s"),
        (3.24, "3.2 s"),
        (80, "80 s"),
        (600, "10 min"),
        (7500, "2 h 05 min"),
        (200_000, "2 d 7 h"),
        (-5, "0 s"),
    ],
)
def test_durations_read_well(seconds: float | None, words: str) -> None:
    assert show.duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (12345.678, "12\u202f346"),
        (0.66655133, "0.6666"),
        (0.00001234, "1.234e−05"),
        (300.0, "300"),
        (True, "yes"),
        (None, "–"),
        (4096, "4\u202f096"),
    ],
)
def test_values_of_any_size_read_well(value: object, words: str) -> None:
    assert show.significant(value) == words


def test_every_change_that_a_program_may_make_is_documented(client: TestClient) -> None:
    folder = Path(__file__).resolve().parents[3] / "docs/how-to"
    page = "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md")))
    for path, methods in client.get("/api/openapi.json").json()["paths"].items():
        if "post" in methods:
            verb = re.sub(r"\{\w+_id\}", "{id}", path).replace("{choice}", "accept")
            assert verb in page or verb.rsplit("/", 1)[-1] in page, path
