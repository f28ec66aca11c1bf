"""Who is let in: no route answers without a log-in, forms of the door, cookies, tokens of pages and of programs."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from passerelle.service.access import Power, this_account
from passerelle.store import people as rows
from passerelle.web.arrival import LOG_IN_COOKIE, TOKEN_COOKIE, form_token
from passerelle.web.door import local_path
from tests.web_house import DOMAIN, FIRST, WORDS, House, page_token, routes

HTMX = {"hx-request": "true"}
OPEN = {"/log-in", "/alive", "/healthz"}


def test_no_route_answers_anybody_who_is_not_logged_in(house: House) -> None:
    browser, program = house.client(), house.client(token="psr_" + "A" * 43)
    page_token(browser, "/log-in")
    asked = 0
    for method, path in routes(house.app.routes):
        address = re.sub(r"{[^}]+}", "1", path)
        if path in OPEN:
            continue
        asked += 1
        answer = browser.request(method, address)
        if method in ("GET", "HEAD") and not path.startswith("/api"):
            assert answer.status_code == 303 and answer.headers["location"].startswith("/log-in"), (method, path)
            assert not answer.content
        else:
            assert answer.status_code == 401, (method, path)
        told = program.request(method, address)
        assert told.status_code == 401 and told.headers["www-authenticate"].startswith("Bearer"), (method, path)
    assert asked > 30


def test_what_is_open_tells_nothing(house: House) -> None:
    client = house.client()
    assert client.get("/alive").json() == {"alive": True}
    text = client.get("/log-in").text
    assert {"krios", "foilhole", "alerts", "bob"}.isdisjoint(re.findall(r"\w+", text.split("<main")[1].lower()))
    assert client.get("/nowhere").status_code == 404 and "Alerts" not in client.get("/nowhere").text


def test_a_person_logs_in_and_is_sent_to_the_page_that_was_asked_for(house: House) -> None:
    client = house.client()
    there = client.get("/sessions/1?a=b")
    assert (there.status_code, there.headers["location"]) == (303, "/log-in?next=/sessions/1%3Fa%3Db")
    assert 'value="/sessions/1?a=b"' in client.get(there.headers["location"]).text
    made = house.log_in(client, "bob", WORDS, next="/sessions/1?a=b")
    assert (made.status_code, made.headers["hx-redirect"]) == (204, "/sessions/1?a=b")
    page = client.get("/sessions/1")
    assert page.status_code == 200 and "Log out" in page.text and "bob" in page.text
    assert client.get("/log-in").headers["location"] == "/"


@pytest.mark.parametrize(
    ("name", "password"), [("bob", "wrong words these are"), ("nobody", WORDS), ("", ""), ("bob", "x" * 1025)]
)
def test_what_is_not_right_lets_nobody_in(house: House, name: str, password: str) -> None:
    client = house.client()
    made = house.log_in(client, name, password)
    assert made.status_code in (401, 422) and "hx-redirect" not in made.headers
    assert LOG_IN_COOKIE not in client.cookies
    assert client.get("/api/sessions").status_code == 401


def test_guessing_is_told_how_long_to_wait(house: House) -> None:
    client = house.client()
    answers = [house.log_in(client, "bob", "wrong words these are") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert re.search(r"Try again in \d+ s", answers[-1].json()["error"]["advice"])


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "\\\\evil",
        "/\t/evil.example",
        "/a\nb",
        "evil",
        "",
        "/é",
        "/ /",
    ],
)
def test_no_form_leads_to_another_site(house: House, target: str) -> None:
    assert local_path(target) == "/"
    client = house.client()
    assert house.log_in(client, "bob", WORDS, next=target).headers["hx-redirect"] == "/"
    assert client.get("/log-in", params={"next": target}).headers["location"] == "/"


def test_the_cookie_of_a_log_in_is_for_the_browser_alone(house: House) -> None:
    plain = house.client()
    cookie = house.log_in(plain, "bob", WORDS).headers["set-cookie"]
    assert re.fullmatch(rf"{LOG_IN_COOKIE}=[\w-]{{43}}; HttpOnly; Path=/; SameSite=lax", cookie)
    encrypted = house.client(base="https://testserver")
    answer = house.log_in(encrypted, "bob", WORDS)
    assert re.fullmatch(
        rf"__Host-{LOG_IN_COOKIE}=[\w-]{{43}}; HttpOnly; Path=/; SameSite=lax; Secure", answer.headers["set-cookie"]
    )
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    token = next(cookie for cookie in encrypted.cookies.jar if cookie.name.endswith(TOKEN_COOKIE))
    assert token.name.startswith("__Host-") and token.secure
    assert encrypted.get("/").status_code == 200
    # what was set in the clear, by whomever, is nothing there
    encrypted.cookies.clear()
    encrypted.cookies.set(LOG_IN_COOKIE, plain.cookies[LOG_IN_COOKIE])
    assert encrypted.get("/api/sessions").status_code == 401


def test_only_a_known_proxy_says_that_the_browser_speaks_tls(tmp_path: Path, migrated_file: Path) -> None:
    house = House(tmp_path, migrated_file, proxies=["10.0.0.2"])
    said = {"x-forwarded-proto": "https", "x-forwarded-for": "192.0.2.7"}
    for peer, encrypted in (("10.0.0.2", True), ("10.0.0.3", False)):
        client = house.client(peer=peer)
        page = client.get("/log-in", headers=said)
        cookie = page.headers["set-cookie"].split(";")[0]  # by hand: to this client all comes in the clear
        token = cookie.split("=")[1]
        form = {"name": "bob", "password": WORDS}
        answer = client.post("/log-in", data=form, headers=said | {"cookie": cookie, "x-passerelle-token": token})
        assert answer.headers["set-cookie"].startswith("__Host-") is encrypted
        assert ("strict-transport-security" in answer.headers) is encrypted
    addresses = [each.address for each in house.facility.log_ins.open_log_ins(this_account(), "bob")]
    assert sorted(addresses) == ["10.0.0.3", "192.0.2.7"]
    house.close()


def test_a_log_in_gets_a_secret_and_a_token_that_nobody_knew_before(house: House) -> None:
    client = house.client()
    planted = "s" * 43
    client.cookies.set(LOG_IN_COOKIE, planted, domain=DOMAIN)
    before = page_token(client, "/log-in")
    assert before == form_token(planted)
    house.log_in(client, "bob", WORDS)
    secret = client.cookies[LOG_IN_COOKIE]
    assert secret != planted
    after = page_token(client, "/")
    assert after == form_token(secret) and after != before and secret not in client.get("/").text
    assert client.post("/log-in", data={"name": "carl", "password": WORDS}).status_code == 204
    assert client.cookies[LOG_IN_COOKIE] != secret
    client.cookies.set(LOG_IN_COOKIE, secret, domain=DOMAIN)
    assert client.get("/api/sessions").status_code == 401, "the browser's former log-in has ended"


@pytest.mark.parametrize("secret", ["A" * 43, "", "x", "é" * 20, "A" * 43 + "; x=y", "' OR 1=1 --"])
def test_a_forged_secret_is_nobody_s(house: House, secret: str) -> None:
    client = house.client()
    answer = client.get("/api/sessions", headers={"cookie": f"{LOG_IN_COOKIE}={secret}".encode()})
    assert answer.status_code == 401


def test_a_log_in_that_ended_is_nobody_s(house: House) -> None:
    client = house.client("bob")
    assert client.get("/api/sessions").status_code == 200
    house.facility.log_ins.end_log_ins(this_account(), "bob")
    assert client.get("/api/sessions").status_code == 401
    assert client.get("/").headers["location"] == "/log-in"


@pytest.mark.parametrize("limit", ["idle_hours", "longest_hours"])
def test_a_log_in_that_is_over_leads_to_the_form(tmp_path: Path, migrated_file: Path, limit: str) -> None:
    house = House(tmp_path, migrated_file, **{limit: 1e-5})
    client = house.client("bob")
    time.sleep(0.05)
    assert client.get("/alerts").headers["location"] == "/log-in?next=/alerts"
    assert client.get("/api/me").status_code == 401
    with house.parts.database.read() as connection:
        person = rows.get(connection, "bob")
        assert rows.open_logins(connection, person.id) == []
    house.close()


def test_a_change_needs_the_token_of_this_very_log_in(house: House) -> None:
    olga, other = house.client("olga"), house.client("olga")
    address = "/api/movies/1/choice/reject"
    own, others = page_token(olga, "/"), page_token(other, "/")
    for token in (others, "", "t" * 24, own[:-1]):
        assert olga.post(address, headers={"x-passerelle-token": token}).status_code == 403
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        assert olga.post(address, headers={"x-passerelle-token": own, **headers}).status_code == 403
    # a foreign page that plants both cookie and header of the double submit has no log-in's token
    planted = {
        "cookie": f"{LOG_IN_COOKIE}={olga.cookies[LOG_IN_COOKIE]}; {TOKEN_COOKIE}={'t' * 24}",
        "x-passerelle-token": "t" * 24,
    }
    assert olga.post(address, headers=planted).status_code == 403
    assert house.bench.movie().chosen is None
    assert olga.post(address).status_code == 204
    assert house.bench.movie().chosen == "reject"


def test_a_program_needs_its_token_alone(house: House) -> None:
    olga = house.actor("olga")
    looks = house.facility.tokens.create(olga, name="look", scopes=[Power.LOOK], days=1)
    steers = house.facility.tokens.create(olga, name="steer", scopes=[Power.LOOK, Power.STEER], days=1)
    address = "/api/movies/1/choice/accept"
    reader, writer = house.client(token=looks.secret), house.client(token=steers.secret)
    assert len(reader.get("/api/sessions").json()) == 1
    refused = reader.post(address)
    assert refused.status_code == 403 and "scope steer" in refused.json()["error"]["advice"]
    assert writer.post(address).status_code == 204
    assert writer.post("/log-out").status_code == 204 and writer.get("/api/sessions").status_code == 200
    house.facility.tokens.revoke(olga, steers.token.id)
    assert writer.get("/api/sessions").status_code == 401
    # a token beside a cookie counts alone, so that a script gets no more than it was given
    both = house.client("ann")
    assert both.post(address, headers={"authorization": f"Bearer {looks.secret}"}).status_code == 403


def test_a_first_password_leads_to_the_form_for_another_and_nowhere_else(house: House) -> None:
    house.facility.people.create(this_account(), "eve", password=FIRST)
    client = house.client()
    answer = house.log_in(client, "eve", FIRST, next="/alerts")
    assert answer.headers["hx-redirect"] == "/first-password?next=/alerts"
    for path in ("/", "/sessions/1", "/alerts"):
        assert client.get(path).headers["location"].startswith("/first-password")
    assert client.get("/api/sessions").status_code == 403
    assert client.get("/parts/sessions", headers=HTMX).headers["hx-redirect"].startswith("/first-password")
    page_token(client, "/first-password")
    wrong = {"old": FIRST, "new": WORDS, "again": WORDS + "x"}
    assert client.post("/first-password", data=wrong, headers=HTMX).status_code == 400
    weak = {"old": FIRST, "new": "passwordpassword", "again": "passwordpassword"}
    assert "easily guessed" in client.post("/first-password", data=weak, headers=HTMX).json()["error"]["message"]
    other = {"old": WORDS, "new": WORDS, "again": WORDS}
    assert client.post("/first-password", data=other, headers=HTMX).status_code == 403
    right = {"old": FIRST, "new": WORDS, "again": WORDS, "next": "/alerts"}
    assert client.post("/first-password", data=right, headers=HTMX).headers["hx-redirect"] == "/alerts"
    assert client.get("/alerts").status_code == 200
    assert client.get("/first-password").headers["location"] == "/"


def test_log_out_ends_the_log_in_and_clears_what_the_browser_kept(house: House) -> None:
    client = house.client("bob")
    secret = client.cookies[LOG_IN_COOKIE]
    page_token(client, "/")
    assert client.get("/").headers["cache-control"] == "no-store"
    answer = client.post("/log-out", headers=HTMX)
    assert answer.headers["hx-redirect"] == "/log-in" and answer.headers["clear-site-data"] == '"cache"'
    assert LOG_IN_COOKIE not in client.cookies
    client.cookies.set(LOG_IN_COOKIE, secret, domain=DOMAIN)
    assert client.get("/api/sessions").status_code == 401


def test_parts_and_streams_of_a_page_whose_log_in_has_ended_lead_to_the_form(house: House) -> None:
    client = house.client()
    answer = client.get("/parts/sessions/1/head", headers=HTMX | {"hx-current-url": "http://testserver/sessions/1?x=1"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/log-in?next=/sessions/1%3Fx%3D1")
    foreign = client.get("/parts/sessions", headers=HTMX | {"hx-current-url": "http://evil.example//evil.example/x"})
    assert foreign.headers["hx-redirect"] == "/log-in"
    assert client.get("/api/events").status_code == 401


def test_where_nobody_is_asked_there_is_no_form(tmp_path: Path, migrated_file: Path) -> None:
    house = House(tmp_path, migrated_file, log_in=False)
    client = house.client()
    page = client.get("/")
    assert page.status_code == 200 and "Log out" not in page.text
    assert client.get("/log-in").headers["location"] == "/"
    page_token(client, "/")
    assert client.post("/log-in", data={"name": "bob", "password": WORDS}).status_code == 404
    assert client.post("/api/movies/1/choice/reject").status_code == 204
    house.close()
