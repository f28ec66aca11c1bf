"""Headers that no browser sends: as bytes, past any client that would mend them. Each of these once ended in an error 500."""

from __future__ import annotations

import asyncio

import pytest

from passerelle.core.log import logger
from tests.attack.drive import Answer, Request, ask
from tests.web_house import House

HOST = (b"host", b"localhost")


def _ask(house: House, *headers: tuple[bytes, bytes], method: str = "POST", target: bytes = b"/log-out") -> Answer:
    return asyncio.run(ask(house.app, Request(method, target, (HOST, *headers), (b"",) if method == "POST" else ())))


@pytest.mark.parametrize(
    "origin", [b"http://[::1", b"http://localhost:port", b"http://", b"\xff", b"null", b"http://localhost@evil.example"]
)
def test_an_origin_that_is_none_is_foreign(house: House, origin: bytes) -> None:
    answer = _ask(house, (b"origin", origin))
    assert answer.failure is None and answer.status == 403 and b"another site" in answer.body


@pytest.mark.parametrize("length", [b"\xb2", b"9" * 5000, b"-1", b"", b"1e3", b"+5", b" 5", b"1, 1"])
def test_a_length_that_is_no_number_is_too_long(house: House, length: bytes) -> None:
    token = b"t" * 24
    answer = _ask(house, (b"cookie", b"passerelle_token=" + token), (b"x-passerelle-token", token), (b"content-length", length))
    assert answer.failure is None and answer.status == 413


@pytest.mark.parametrize(
    "page", [b"http://[::1", b"\xff\xfe", b"javascript:alert(1)", b"//evil.example/", b"http://evil.example//evil.example"]
)
def test_a_page_that_htmx_cannot_have_asked_from_leads_nowhere_else(house: House, page: bytes) -> None:
    answer = _ask(house, (b"hx-request", b"true"), (b"hx-current-url", page), method="GET", target=b"/parts/sessions")
    assert answer.failure is None and answer.status == 401
    assert answer.header("hx-redirect") == "/log-in"


def test_what_fails_unforeseen_says_nothing_of_why_and_is_as_strict_as_all_else(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(actor: object) -> None:
        raise ZeroDivisionError("the inner words of /srv/secret")

    told: list[str] = []
    monkeypatch.setattr(house.facility, "live", broken)
    monkeypatch.setattr(logger, "error", lambda event, **values: told.append(event))
    client = house.client("bob")
    for address, kind in (("/", "text/html"), ("/api/sessions", "application/json")):
        answer = client.get(address)
        assert answer.status_code == 500 and answer.headers["content-type"].startswith(kind)
        assert "secret" not in answer.text and "Zero" not in answer.text
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["cache-control"] == "no-store"
    assert told == ["page_failed", "page_failed"]


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "TRACK", "DEBUG", "PROPFIND", "PUT", "DELETE", "get", "X" * 300])
@pytest.mark.parametrize("target", [b"/", b"/log-in", b"/api/sessions", b"/static/css/base.css"])
def test_methods_that_echo_or_reach_through_are_refused(house: House, method: str, target: bytes) -> None:
    answer = _ask(house, (b"x-passerelle-token", b"t" * 24), (b"x-secret", b"zq7"), method=method, target=target)
    assert answer.failure is None and answer.status in (401, 403, 404, 405)
    assert b"zq7" not in answer.body and b"x-passerelle" not in answer.body.lower()


def test_a_secret_in_an_address_lets_nobody_in(house: House) -> None:
    olga = house.client("olga")
    secret = olga.cookies["passerelle_log_in"]
    token = house.facility.tokens.create(house.actor("olga"), name="look", scopes=["look"], days=1).secret
    for name in ("passerelle_log_in", "token", "access_token", "authorization", "api_key"):
        for value in (secret, token, f"Bearer%20{token}"):
            answer = _ask(house, method="GET", target=f"/api/sessions?{name}={value}".encode())
            assert answer.status == 401, name
