"""Bodies that no page sends: each is refused at once, in words, and in a bounded amount of memory."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from random import Random

import pytest

from passerelle.web.security import BODY_LIMIT
from tests.attack.drive import Answer, Request, ask
from tests.attack.fuzz import example
from tests.attack.rules import MOST_BYTES_OF_LARGE
from tests.attack.table import table_of
from tests.web_house import House, page_token

JSON, FORM, PARTS = b"application/json", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=b"
SESSION, MOVIE, LIMITS = b"/api/sessions/1/again", b"/api/movies/1/again", b"/api/sessions/1/thresholds"


def _many(entry: bytes, count: int) -> bytes:
    return b",".join(entry % number for number in range(count))


# each once took seconds (80,000 unknown settings: minutes, with the database locked) or a hundred times its size of memory
BODIES = {
    "unknown settings": (JSON, MOVIE, b'{"changes":{"motion":{' + _many(b'"a%d":1', 20_000) + b"}}}"),
    "unknown groups": (JSON, SESSION, b'{"changes":{' + _many(b'"a%d":{"a":1}', 15_000) + b"}}"),
    "values within values": (JSON, SESSION, b'{"changes":{"motion":{"patches_x":' + b"[" * 900 + b"NaN" + b"]" * 900 + b"}}}"),
    "no number": (JSON, SESSION, b'{"changes":{"motion":{"patches_x":NaN}}}'),
    "half a character": (JSON, SESSION, b'{"changes":{"motion":{"program":"\\ud800"}}}'),
    "a long number": (JSON, SESSION, b'{"changes":{"motion":{"patches_x":' + b"9" * 4000 + b"}}}"),
    "unknown limits": (JSON, LIMITS, b'{"thresholds":{' + _many(b'"a%d":{}', 20_000) + b"}}"),
    "wrong limits": (JSON, LIMITS, b'{"thresholds":{' + _many(b'"a%d":1', 20_000) + b"}}"),
    "brackets": (JSON, SESSION, b"[" * (BODY_LIMIT - 10)),
    "objects": (JSON, SESSION, b"[" + b"{}," * (BODY_LIMIT // 3 - 5) + b"{}]"),
    "escapes": (FORM, b"/log-in", b"name=" + b"%41" * (BODY_LIMIT // 3 - 5)),
    "fields": (FORM, b"/log-in", b"a=&" * (BODY_LIMIT // 3 - 5)),
    "fields of a form read by hand": (FORM, b"/movies/1/again", b"motion.patches_x=1&" * 10_000),
    "files": (PARTS, b"/log-in", b'--b\r\nContent-Disposition: form-data; name="a"; filename="x"\r\n\r\n\r\n' * 3000 + b"--b--"),
    "headers of a part": (PARTS, b"/log-in", b"--b\r\n" + b"A: b\r\n" * 30_000),
    "too much": (JSON, SESSION, b" " * (BODY_LIMIT + 1)),
}


def _ask(house: House, kind: bytes, target: bytes, body: bytes, method: str = "POST") -> Answer:
    client = house.client("olga")
    token = page_token(client, "/").encode()
    secret = "; ".join(f"{name}={value}" for name, value in client.cookies.items()).encode()
    headers = ((b"host", b"localhost"), (b"cookie", secret), (b"x-passerelle-token", token), (b"content-type", kind))
    return asyncio.run(ask(house.app, Request(method, target, headers, (body,))))


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory):
    house = House(tmp_path_factory.mktemp("house"))
    _ask(house, FORM, b"/movies/1/again", b"")  # what is loaded when it is first used
    _ask(house, JSON, LIMITS, b'{"thresholds":{}}')
    yield house
    house.close()


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_refused_at_once(one: House, name: str) -> None:
    kind, target, body = BODIES[name]
    assert len(body) <= BODY_LIMIT or name == "too much"
    answer = _ask(one, kind, target, body)
    assert answer.failure is None and answer.status in (400, 401, 413, 422), answer
    assert answer.cpu_seconds < 1.0 and len(answer.body) < 4096
    tracemalloc.start()
    try:
        _ask(one, kind, target, body)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES_OF_LARGE
    finally:
        tracemalloc.stop()
    assert one.bench.kinds().count("movie_queued") == 2, "nothing was done"


def test_no_body_takes_a_value_that_is_not_asked_for(one: House) -> None:
    """A role, an owner, a state that somebody adds to a body is refused, not passed over: every route that takes JSON."""
    tried = 0
    for entry in table_of(one.app):
        for model in entry.of_kind("json"):
            tried += 1
            body = json.dumps(example(Random(1), model.annotation) | {"made_admin": True}).encode()
            target = entry.address(dict.fromkeys(entry.names, "1")).encode()
            answer = _ask(one, JSON, target, body, entry.method)
            assert answer.status == 422 and b"made_admin" in answer.body, (str(entry), answer)
    assert tried >= 5


def test_a_field_that_comes_twice_counts_once(one: House) -> None:
    """Which of two is one rule for all: the last one, in addresses and in forms; what follows is checked as one value."""
    client = one.client("olga")
    assert client.get("/api/alerts?closed=1&closed=5000").status_code == 422
    assert client.get("/api/alerts?closed=5000&closed=1").status_code == 200
    assert client.get("/api/sessions/1?session_id=99").json()["id"] == 1, "the address says which"
    form = b"name=olga&name=nobody&password=thick+maple+orbit+lantern"
    assert _ask(one, FORM, b"/log-in", form).status == 401
