"""No parameter of any route leads out of the folders of zones and results: a table of routes × parameters × ways out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from random import Random
from typing import Any
from urllib.parse import quote

import pytest

from tests.attack.drive import Request, ask
from tests.attack.fuzz import example
from tests.attack.table import Entry, table_of
from tests.attack.world import OUTSIDE, OWNED, World

# as somebody types them; each is sent as it is, escaped once, and escaped twice
WAYS_OUT = (
    "../outside/secret.txt",
    "../../outside/secret.txt",
    "folder/../../outside/secret.txt",
    "./../outside/./secret.txt",
    "way-out/secret.txt",
    "way-out.txt",
    "folder/../way-out.txt",
    "/etc/passwd",
    "//etc/passwd",
    "../../../../../../../../etc/passwd",
    "..\\..\\etc\\passwd",
    "....//....//etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "plain.txt/../../../outside/secret.txt",
    "plain.txt\x00/../../outside/secret.txt",
    "file:///etc/passwd",
    "~/.ssh/id_rsa",
    "/proc/self/environ",
    "pipe",
)
GOOD = {
    "session_id": "1",
    "movie_id": "1",
    "alert_id": "1",
    "transfer_id": "1",
    "instrument": "krios",
    "name": OWNED,
    "zone": OWNED,
    "role": "sum",
    "choice": "accept",
}
TELLTALE = (OUTSIDE.encode(), b"root:x:0:", b"root:*:0:", b"PATH=")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    made.close()


def _encodings(text: str) -> Iterator[str]:
    yield quote(text, safe="/")
    yield quote(text, safe="")
    yield quote(quote(text, safe=""), safe="")
    yield quote(text, safe="").replace(".", "%2e")
    yield quote(text, safe="/").replace("/", "%c0%af")


def _requests(entry: Entry) -> Iterator[tuple[str, bytes, str, bytes]]:
    """Yield every way to put every way out into every parameter of a route: what, target, kind of body, body."""
    form = "application/x-www-form-urlencoded"
    good = {name: GOOD.get(name, "1") for name in entry.names}
    whole = entry.address(good)
    fields = {param.name: GOOD.get(param.name, "1") for param in entry.of_kind("form")}
    models = entry.of_kind("json")
    for way in WAYS_OUT:
        for name in entry.names:
            for text in _encodings(way):
                yield f"{name}={text}", entry.address(good | {name: text}).encode(), form, b""
        for param in entry.of_kind("query"):
            yield f"?{param.name}={way}", f"{whole}?{param.name}={quote(way, safe='')}".encode(), form, b""
        for name in fields:
            sent = "&".join(f"{key}={quote(way if key == name else value, safe='')}" for key, value in fields.items())
            yield f"field {name}={way}", whole.encode(), form, sent.encode()
        for model in models:
            made = example(Random(1), model.annotation)
            for where, body in _replaced(made, way):
                yield f"json {where}={way}", whole.encode(), "application/json", json.dumps(body).encode()


def _replaced(made: Any, way: str) -> Iterator[tuple[str, Any]]:
    """Put a text in the place of each value within a value."""
    if isinstance(made, dict):
        for key, value in made.items():
            yield key, made | {key: way}
            yield key, made | {key: [way]}
            for where, inner in _replaced(value, way):
                yield f"{key}.{where}", made | {key: inner}


@pytest.mark.timeout(1800)
def test_no_parameter_of_any_route_leads_out(world: World) -> None:
    """As the owner of a zone, who may read what lies in it, and as an admin, who may do everything with the service."""

    async def attacked(who: str) -> int:
        credentials = (*world.credentials(who), (b"accept", b"text/html"), (b"hx-request", b"true"))
        asked = 0
        async with world.app.router.lifespan_context(world.app):
            for entry in table_of(world.app):
                if entry.path in ("/log-out", "/log-in"):
                    continue
                for what, target, kind, body in _requests(entry):
                    headers = (*credentials, (b"content-type", kind.encode()))
                    answer = await ask(
                        world.app, Request(entry.method, target, headers, (body,) if entry.method != "GET" else ())
                    )
                    asked += 1
                    assert answer.failure is None and answer.status < 500, (str(entry), what, answer)
                    assert not any(word in answer.body for word in TELLTALE), (str(entry), what)
                    assert answer.seconds < 60, (str(entry), what)  # a pipe has no end
        return asked

    for who in ("oona", "ann"):
        assert asyncio.run(attacked(who)) > 1500
        world.mend()


@pytest.mark.parametrize(
    "target",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static/%2e%2e%2fapp.py",
        "/static/..%5capp.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/css/../../app.py",
        "/static/css/%2e%2e/%2e%2e/templates/base.html",
        "/static/%00",
        "/static/css/base.css%00.txt",
        "/static/css/",
        "/static/css",
        "/static/",
        "/static",
        "/.git/config",
        "/static/.npmrc",
    ],
)
def test_static_files_are_those_of_the_product_and_no_list_of_them(world: World, target: str) -> None:
    answer = asyncio.run(ask(world.app, Request("GET", target.encode(), ((b"host", b"localhost"), (b"accept", b"*/*")))))
    assert answer.status in (303, 307, 401, 404) and b"import" not in answer.body and b"base.css" not in answer.body
