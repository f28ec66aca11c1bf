"""Who may ask for what: hosts, origins, tokens, sizes, headers."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from passerelle.web.arrival import TOKEN_COOKIE
from passerelle.web.security import BODY_LIMIT
from tests.web_demo import DemoStatus

PAGES = ("/", "/sessions/1", "/movies/1", "/sessions/1/grid", "/alerts", "/nowhere", "/api/sessions", "/static/js/app.js")


@pytest.mark.parametrize("address", PAGES)
def test_every_answer_carries_the_strict_headers(client: TestClient, address: str) -> None:
    headers = client.get(address).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"]


def test_pages_hold_no_script_or_style_of_their_own(client: TestClient) -> None:
    for address in PAGES[:5]:
        text = client.get(address).text
        assert "<script>" not in text and "<style" not in text and " style=" not in text and "onclick" not in text
        assert "http://" not in text.replace("http://www.w3.org", "") and "https://" not in text


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "127.0.0.1@evil.example", "evil.example:80"])
def test_another_host_name_is_refused(client: TestClient, host: str) -> None:
    response = client.get("/api/sessions", headers={"host": host})
    assert response.status_code == 400
    assert "name" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8107", "[::1]:8000", "krios.example", "krios.example:443"]
)
def test_our_own_host_names_are_served(client: TestClient, host: str) -> None:
    assert client.get("/api/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:8001"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "same-origin", "origin": "https://evil.example"},
    ],
)
def test_a_change_asked_for_by_another_page_is_refused(client: TestClient, status: DemoStatus, headers: dict[str, str]) -> None:
    before = len(status.calls)
    assert client.post("/api/movies/1/choice/reject", headers=headers).status_code == 403
    assert len(status.calls) == before


@pytest.mark.parametrize("token", ["", "x" * 24, "t" * 23, "ü" * 12])
def test_a_change_without_the_token_is_refused(client: TestClient, status: DemoStatus, token: str) -> None:
    before = len(status.calls)
    response = client.post("/api/movies/1/choice/reject", headers={"x-passerelle-token": token.encode()})
    assert response.status_code == 403
    assert "Reload the page" in response.text
    assert len(status.calls) == before


def test_a_change_without_any_cookie_is_refused(client: TestClient) -> None:
    client.cookies.clear()
    assert client.post("/api/movies/1/choice/reject", headers={"x-passerelle-token": ""}).status_code == 403


def test_a_change_from_our_own_page_is_made(client: TestClient, status: DemoStatus) -> None:
    own = {"origin": "http://localhost", "sec-fetch-site": "same-origin"}
    assert client.post("/api/movies/1/choice/reject", headers=own).status_code == 204
    assert status.calls[-1][:2] == ("choose", 1)
    assert client.post("/api/movies/1/choice/none", headers=own).status_code == 204


def test_a_first_visit_gets_the_token_as_a_cookie_and_in_the_page(client: TestClient) -> None:
    client.cookies.clear()
    response = client.get("/")
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    token = client.cookies[TOKEN_COOKIE]
    assert len(token) >= 16 and f'content="{token}"' in response.text


def test_a_forged_cookie_never_reaches_the_page(client: TestClient) -> None:
    client.cookies.clear()
    response = client.get("/", headers={"cookie": f'{TOKEN_COOKIE}="><script>alert(1)</script>'})
    assert "<script>alert" not in response.text


def test_a_body_beyond_the_limit_is_refused(client: TestClient) -> None:
    declared = client.post("/api/sessions/1/thresholds", content=b"{" + b" " * BODY_LIMIT)
    assert declared.status_code == 413

    def pieces():
        for _ in range(3):
            yield b" " * (BODY_LIMIT // 2)

    undeclared = client.post("/api/sessions/1/thresholds", content=pieces(), headers={"content-type": "application/json"})
    assert undeclared.status_code == 413


def test_methods_that_no_route_takes_are_refused_in_words(client: TestClient) -> None:
    response = client.delete("/sessions/1")
    assert response.status_code == 405


def test_no_page_loads_anything_from_elsewhere_for_the_documentation_of_the_api(client: TestClient) -> None:
    assert client.get("/docs").status_code == 404
    schema = client.get("/api/openapi.json").json()
    assert "/api/sessions/{session_id}/movies" in schema["paths"]
