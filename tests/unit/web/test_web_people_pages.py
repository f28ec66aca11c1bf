"""The pages of one's account, of people and of the audit log, and their JSON: a real service, every role."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from passerelle.core.errors import BadInput
from passerelle.service.access import Power, this_account
from passerelle.service.audit import AuditEntry
from passerelle.service.passwords import check_password, first_password
from passerelle.web.account import days_until
from passerelle.web.audit import as_csv, as_json_lines
from passerelle.web.show import browser
from tests.web_house import WORDS, House, page_token

HTMX = {"hx-request": "true"}
OTHER = "quiet copper violin meadow"
SECRET = re.compile(r'value="(psr_[\w-]{43})"')
FIRST = re.compile(r'value="([a-z2-9]{4}(?:-[a-z2-9]{4}){3})"')


def _at(house: House, name: str, address: str) -> TestClient:
    client = house.client(name)
    page_token(client, address)
    return client


def _tomorrow(days: int = 1) -> str:
    return (datetime.now(UTC).date() + timedelta(days=days)).isoformat()


def test_a_token_is_made_shown_once_used_and_taken_back(house: House) -> None:
    bob = _at(house, "bob", "/account")
    made = bob.post("/account/tokens", data={"name": "nightly", "until": _tomorrow(), "scope": ["look"]}, headers=HTMX)
    (secret,) = SECRET.findall(made.text)
    program = house.client(token=secret)
    assert program.get("/api/me").json() == {"name": "bob", "role": "user", "through": "token", "groups": [], "powers": ["look"]}
    page = bob.get("/account").text
    assert "nightly" in page and secret not in page
    (token,) = bob.get("/api/tokens").json()
    assert "secret" not in json.dumps(token) and token["scopes"] == ["look"]
    assert bob.post(f"/account/tokens/{token['id']}/revoke").status_code == 204
    assert program.get("/api/me").status_code == 401
    assert "taken back" in bob.get("/parts/account/tokens").text


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"name": "", "until": "T", "scope": ["look"]}, 400),
        ({"name": "x", "until": "T", "scope": []}, 400),
        ({"name": "x", "until": "yesterday", "scope": ["look"]}, 400),
        ({"name": "x", "until": "2020-01-01", "scope": ["look"]}, 400),
        ({"name": "x", "until": "9999-12-31", "scope": ["look"]}, 400),
        ({"name": "x", "until": "T", "scope": ["everything"]}, 422),
    ],
)
def test_a_token_that_cannot_be_is_refused_in_words(house: House, form: dict[str, object], status: int) -> None:
    bob = _at(house, "bob", "/account")
    sent = {key: _tomorrow() if value == "T" else value for key, value in form.items()}
    answer = bob.post("/account/tokens", data=sent, headers=HTMX)
    assert answer.status_code == status and answer.json()["error"]["message"]
    assert bob.get("/api/tokens").json() == []


def test_a_token_never_may_more_than_its_person(house: House) -> None:
    bob = _at(house, "bob", "/account")
    made = bob.post("/account/tokens", data={"name": "x", "until": _tomorrow(), "scope": ["look", "keep_people"]}, headers=HTMX)
    program = house.client(token=SECRET.findall(made.text)[0])
    assert program.get("/api/me").json()["powers"] == ["look"]
    assert program.get("/api/people").status_code == 403
    # and it makes no other
    assert program.post("/api/tokens", json={"name": "y", "scopes": ["look"], "days": 1}).status_code == 403
    assert program.post("/account/password", data={"old": WORDS, "new": OTHER, "again": OTHER}).status_code == 403


def test_days_until_the_end_of_a_day() -> None:
    noon = datetime(2026, 12, 30, 12, tzinfo=UTC).timestamp()
    assert days_until("2026-12-31", noon) == 1.5
    with pytest.raises(BadInput, match="over"):
        days_until("2026-12-29", noon)


def test_one_s_own_data_password_and_log_ins(house: House) -> None:
    bob, elsewhere = _at(house, "bob", "/account"), house.client("bob")
    assert bob.post("/account", data={"full_name": "Bob <b>", "mail": "bob@institute.org"}).status_code == 204
    assert bob.post("/account", data={"mail": "no address"}).status_code == 400
    text = bob.get("/account").text
    assert "Bob &lt;b&gt;" in text and "Bob <b>" not in text
    here, there = bob.get("/api/people/bob/log-ins").json(), elsewhere.get("/account")
    assert [each["this_one"] for each in here].count(True) == 1 and there.status_code == 200
    assert bob.post("/account/log-ins/end-others").status_code == 204
    assert elsewhere.get("/api/me").status_code == 401 and bob.get("/api/me").status_code == 200
    third = house.client("bob")
    wrong = bob.post("/account/password", data={"old": OTHER, "new": OTHER, "again": OTHER}, headers=HTMX)
    assert wrong.status_code == 403 and "old password" in wrong.json()["error"]["message"]
    assert bob.post("/account/password", data={"old": WORDS, "new": OTHER, "again": OTHER}).status_code == 204
    assert third.get("/api/me").status_code == 401 and bob.get("/api/me").status_code == 200
    assert house.log_in(house.client(), "bob", OTHER).status_code == 204


def test_one_ends_one_s_own_log_ins_and_nobody_else_s(house: House) -> None:
    bob, ann = _at(house, "bob", "/account"), house.client("ann")
    (anns,) = ann.get("/api/people/ann/log-ins").json()
    assert bob.post(f"/account/log-ins/{anns['id']}/end").status_code == 204
    assert ann.get("/api/me").status_code == 200
    anns_token = house.facility.tokens.create(house.actor("ann"), name="x", scopes=[Power.LOOK], days=1)
    assert bob.post(f"/account/tokens/{anns_token.token.id}/revoke").status_code == 404
    assert house.client(token=anns_token.secret).get("/api/me").status_code == 200


def test_an_admin_makes_an_account_whose_person_chooses_the_password(house: House) -> None:
    ann = _at(house, "ann", "/people")
    made = ann.post("/people", data={"name": "eve", "role": "operator", "full_name": "Eve"}, headers=HTMX)
    (password,) = FIRST.findall(made.text)
    assert "eve" in ann.get("/people").text and password not in ann.get("/people/eve").text
    eve = house.client()
    assert house.log_in(eve, "eve", password).headers["hx-redirect"] == "/first-password"
    assert ann.post("/people", data={"name": "eve"}, headers=HTMX).status_code == 409
    for form in ({"name": "../eve"}, {"name": ""}, {"name": "x", "mail": "nowhere"}, {"name": "x", "source": "ldap"}):
        assert ann.post("/people", data=form, headers=HTMX).status_code == 400, form
    assert ann.post("/people", data={"name": "x", "role": "king"}, headers=HTMX).status_code == 422


def test_an_admin_changes_disables_and_lets_in_again(house: House) -> None:
    ann, bob = _at(house, "ann", "/people/bob"), house.client("bob")
    token = house.facility.tokens.create(house.actor("bob"), name="x", scopes=[Power.LOOK], days=1)
    assert ann.post("/people/bob", data={"role": "operator", "full_name": "Bob", "mail": ""}).status_code == 204
    assert bob.get("/api/me").status_code == 401, "another role ends log-ins"
    bob = house.client("bob")
    assert bob.get("/api/me").json()["role"] == "operator"
    assert ann.post("/people/bob/disable").status_code == 204
    assert bob.get("/api/me").status_code == 401 and house.client(token=token.secret).get("/api/me").status_code == 401
    assert house.log_in(house.client(), "bob", WORDS).status_code == 401
    assert ann.post("/people/bob/enable").status_code == 204
    reset = ann.post("/people/bob/first-password", headers=HTMX)
    (password,) = FIRST.findall(reset.text)
    assert house.log_in(house.client(), "bob", password).headers["hx-redirect"] == "/first-password"
    assert ann.post("/people/bob/log-ins/end").status_code == 204
    assert ann.get("/api/people/bob/log-ins").json() == []
    assert ann.post("/people/ann/first-password", headers=HTMX).status_code == 403
    assert ann.post("/people/ann", data={"role": "user"}).status_code == 409, "the last admin stays one"


def test_the_same_by_json(house: House) -> None:
    ann = _at(house, "ann", "/people")
    made = ann.post("/api/people", json={"name": "eve", "role": "user"})
    assert made.status_code == 201 and len(made.json()["first_password"]) == 19
    assert ann.post("/api/people/eve", json={"full_name": "Eve"}).json()["full_name"] == "Eve"
    assert ann.post("/api/people/eve", json={"password": "x"}).status_code == 422, "unknown keys are refused"
    assert ann.post("/api/people/eve/disable").json()["state"] == "disabled"
    assert ann.post("/api/people/eve/enable").json()["state"] == "enabled"
    assert ann.post("/api/people/eve/first-password").json()["first_password"]
    token = ann.post("/api/tokens", json={"name": "x", "scopes": ["audit"], "days": 1})
    assert token.status_code == 201 and token.json()["secret"].startswith("psr_")
    program = house.client(token=token.json()["secret"])
    assert program.get("/api/audit/check").json() == {"sound": True, "broken_at": None}
    assert {each["act"] for each in program.get("/api/audit?person=ann").json()} >= {"person_create", "token_create"}
    assert ann.post(f"/api/tokens/{token.json()['token']['id']}/revoke").json()["revoked_at"]


KEEPING = [
    "/people",
    "/people/bob",
    "/audit",
    "/audit/download",
    "/parts/audit/check",
    "/api/people",
    "/api/audit",
    "/api/audit/check",
]


@pytest.mark.parametrize("name", ["carl", "olga", "dora"])
def test_who_keeps_no_people_sees_none(house: House, name: str) -> None:
    client = _at(house, name, "/account")
    for address in KEEPING:
        answer = client.get(address)
        assert answer.status_code == 403 and "bob" not in answer.text, address
    page = client.get("/").text
    assert 'href="/people"' not in page and 'href="/audit"' not in page and 'href="/account"' in page
    for address in ("/people/bob/disable", "/people/bob/first-password", "/people/bob/log-ins/end", "/api/people/bob/disable"):
        assert client.post(address).status_code == 403
    assert client.post("/people", data={"name": "eve"}).status_code == 403
    assert client.post("/api/people", json={"name": "eve"}).status_code == 403
    assert client.post("/api/people/" + name, json={"role": "admin"}).status_code == 403


def test_the_audit_log_is_filtered_paged_checked_and_saved(house: House) -> None:
    ann = _at(house, "ann", "/audit")
    for _ in range(120):
        house.facility.people.change(this_account(), "bob", full_name='=HYPERLINK("http://evil")')
    first = ann.get("/audit")
    older = re.search(r'href="/audit\?(before=\d+)"', first.text)
    assert first.text.count("<tr class") == 100 and older
    assert "Newest" in ann.get(f"/audit?{older[1]}").text
    assert ann.get("/audit?act=log_in").text.count("<tr class") == 1
    assert "No act fits the filter" in ann.get("/audit?person=zoe").text
    hostile = ann.get("/audit", params={"subject": '"><script>alert(1)</script>'}).text
    assert "<script>alert" not in hostile
    assert "as it was written" in ann.get("/parts/audit/check").text
    rows = list(csv.DictReader(io.StringIO(ann.get("/audit/download?format=csv&act=person_change").text)))
    assert len(rows) == 120 and {row["person"] for row in rows} == {this_account().audit_name}
    lines = ann.get("/audit/download?format=json").text.splitlines()
    assert len(lines) > 120 and json.loads(lines[0])["id"] > json.loads(lines[-1])["id"]
    assert ann.get("/audit/download?format=xml").status_code == 422


@given(st.text(max_size=40), st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=2))
def test_no_cell_of_the_saved_log_is_a_formula(words: str, data: dict[str, str]) -> None:
    entry = AuditEntry(
        id=1, at=1.0, person=words, through="page", address="", act="x", subject=words, result="done", words=words, data=data
    )
    text = "".join(as_csv([entry]))
    _, row = csv.reader(io.StringIO(text, newline=""))
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in row)
    assert row[2].removeprefix("'") in (words, words.removeprefix("'")) or "\\u" in row[2]
    assert json.loads("".join(as_json_lines([entry])))["words"] == words


def test_first_passwords_are_taken_and_never_the_same() -> None:
    made = {first_password() for _ in range(50)}
    assert len(made) == 50
    for each in made:
        check_password(each, known=("bob", "passerelle"))


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36", "Chrome on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iPhone"),
        ("curl/8", "curl/8"),
        ("", "a program"),
    ],
)
def test_a_browser_is_called_by_its_name(agent: str, words: str) -> None:
    assert browser(agent) == words
