"""What browsers and programs may rely on: kinds of answers, nothing for other origins, looking changes nothing."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from sqlalchemy import select

import passerelle.web
from passerelle.store.tables import metadata
from passerelle.web.arrival import LOG_IN_COOKIE
from tests.web_house import House, page_token, routes

TEMPLATES = Path(passerelle.web.__file__).parent / "templates"
# when a log-in or token was last used, and that somebody looked, are noted where one looks
_NOTES = {"audit", "logins", "tokens"}
_KINDS = ("text/html; charset=utf-8", "application/json", "text/csv; charset=utf-8", "application/x-ndjson; charset=utf-8")
_NUMBERS = "text/plain; version=1.0.0; charset=utf-8"  # what Prometheus reads; no browser takes it for a page
_FILES = ("image/png", "image/jpeg", "application/octet-stream", "text/plain; charset=utf-8")


def looked_at(house: House) -> list[str]:
    """Return the address of all that is only looked at; of the stream, which goes on for ever, one that is not there."""
    paths = [path for method, path in routes(house.app.routes) if method == "GET"]
    return [re.sub(r"{[^}]+}", "1", path) + ("?session=99" if path == "/api/events" else "") for path in paths]


def everything(house: House) -> dict[str, list[Any]]:
    """Return all rows of all tables but `_NOTES`."""
    with house.parts.database.read() as connection:
        kept = [table for table in metadata.sorted_tables if table.name not in _NOTES]
        return {table.name: [tuple(row) for row in connection.execute(select(table))] for table in kept}


def test_what_is_only_looked_at_changes_nothing(house: House) -> None:
    ann = house.client("ann")
    before = everything(house)
    assert len(before) > 8 and before["movies"] and before["people"]
    answered = {address: ann.get(address).status_code for address in looked_at(house)}
    assert sum(status == 200 for status in answered.values()) > 20, answered
    assert 500 not in answered.values(), answered
    after = everything(house)
    assert after == before


def test_every_answer_says_of_what_kind_it_is(house: House) -> None:
    ann = house.client("ann")
    for address in looked_at(house):
        answer = ann.get(address)
        kind = answer.headers.get("content-type", "")
        if answer.status_code == 303:
            assert not answer.content
            continue
        assert kind in (*_KINDS, *_FILES, _NUMBERS), (address, kind)
        assert answer.headers["x-content-type-options"] == "nosniff"
        if kind in _FILES[2:] or "csv" in kind or "ndjson" in kind:
            assert answer.headers["content-disposition"].startswith("attachment"), address
        if address.startswith("/api/"):
            assert kind == "application/json", address
            json.loads(answer.text)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://krios.example", "http://testserver"])
def test_no_other_origin_is_let_in(house: House, origin: str) -> None:
    ann = house.client("ann")
    for method, address in (
        ("GET", "/api/me"),
        ("GET", "/"),
        ("OPTIONS", "/api/people"),
        ("OPTIONS", "/api/movies/1/choice/reject"),
    ):
        asked = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        answer = ann.request(method, address, headers=asked)
        assert not [name for name in answer.headers if name.startswith("access-control-")], (method, address)


def test_a_change_is_never_a_get(house: House) -> None:
    ann = house.client("ann")
    page_token(ann, "/")
    changes = [path for method, path in routes(house.app.routes) if method == "POST"]
    looks = {path for method, path in routes(house.app.routes) if method == "GET"}
    assert len(changes) > 20
    for path in set(changes) - looks:
        assert ann.get(re.sub(r"{[^}]+}", "1", path)).status_code in (404, 405), path
    assert {method for method, _ in routes(house.app.routes)} == {"GET", "POST"}


def test_a_form_never_puts_what_was_typed_into_an_address() -> None:
    """Before its script has loaded, or without it, a browser sends a form as its own attributes say: GET, if they say nothing."""
    pages = [page.read_text(encoding="utf-8") for page in TEMPLATES.glob("*.html")]
    found = [form for page in pages for form in re.findall(r"(<form\b[^>]*)(.*?)(?=</form>|\Z)", page, re.DOTALL)]
    assert len(found) > 8
    for tag, inside in found:
        kinds = re.findall(r"<(?:input|textarea|select)\b[^>]*", inside)
        typed = [each for each in kinds if 'type="checkbox"' not in each]  # what is ticked may stand in an address
        assert 'method="post"' in tag or 'method="dialog"' in tag or 'role="search"' in tag or not typed, tag


def test_a_password_that_a_form_sends_without_its_script_is_not_taken(house: House) -> None:
    client = house.client()
    client.get("/log-in")
    answer = client.post("/log-in?next=/", data={"name": "bob", "password": "x"})
    assert answer.status_code == 403 and "Reload the page" in answer.text and "location" not in answer.headers


@pytest.mark.parametrize(
    "cookie",
    [
        f"{LOG_IN_COOKIE}=; {LOG_IN_COOKIE}=x",
        f"{LOG_IN_COOKIE}=" + "A" * 5000,
        f'{LOG_IN_COOKIE}="a\\"b"',
        "=;;;==",
        "\x00\x01",
        "a" * 20_000,
        f"{LOG_IN_COOKIE}=%41%41%41%41%41%41%41%41%41%41%41%41%41%41%41%41",
    ],
)
def test_a_cookie_that_is_none_is_nobody_s(house: House, cookie: str) -> None:
    answer = house.client().get("/api/me", headers={"cookie": cookie.encode("latin-1")})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 3\r\nContent-Length: 30",
        "Content-Length: 3\r\nContent-Length : 3",
        "Content-Length: +3",
        "Content-Length: 0x3",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    ],
)
def test_a_request_of_which_two_could_be_read_is_refused(house: House, head: str) -> None:
    hidden = "GET /alive HTTP/1.1\r\nHost: localhost\r\n\r\n"
    raw = f"POST /log-in HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\na=b{hidden}"
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(house.app, log_level="critical", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        with socket.create_connection(listener.getsockname(), timeout=60) as connection:
            connection.sendall(raw.encode())
            told = b""
            while part := connection.recv(65536):
                told += part
    finally:
        server.should_exit = True
        thread.join(60)
    assert told.startswith(b"HTTP/1.1 400 ") and told.count(b"HTTP/1.1") == 1 and b"alive" not in told


def test_values_are_escaped_in_pages_addresses_and_json(house: House) -> None:
    hostile = "</script><img src=x onerror=alert(1)>'\"&\u202e{{7*7}}"
    ann = house.client("ann")
    page_token(ann, "/account")
    assert ann.post("/account", data={"full_name": hostile, "mail": ""}).status_code == 204
    for address in ("/account", "/people", "/people/ann", "/audit", f"/audit?person={hostile}"):
        text = ann.get(address).text
        assert "<img src=x" not in text and "\u202e" not in text, address
        assert "?" in address or "{{7*7}}" in text, address  # shown as it was typed, not worked out
    answer = ann.get("/api/people/ann")
    assert answer.json()["full_name"] == hostile and answer.text.isascii()
    linked = re.findall(r'href="/audit\?person=([^"]*)"', ann.get("/audit").text)
    assert linked and not any(set("<>\"' ") & set(each) for each in linked)
