"""Every route × everybody: who is let in where, as the tables of docs/explanations/security.md and zones.md say."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from random import Random
from urllib.parse import urlencode

import pytest

from passerelle.service.access import Power, this_account
from tests.attack.drive import Answer, Headers, Request, ask
from tests.attack.fuzz import example
from tests.attack.table import Entry, table_of
from tests.attack.world import OWNED, SECRET, World

# who: `bob` and `daemon` read the zone of the instrument; `oona` owns a zone, where `wim` writes and `rita` reads;
# `carl` has a zone of his own and nothing else
KNOWN = ("carl", "bob", "daemon", "oona", "wim", "rita", "olga", "dora", "ann", "wide token")
NOT_LOGGED_IN = ("nobody", "forged", "ended", "disabled", "revoked token")
STEER = {"olga", "dora", "ann", "wide token"}
SEE_KRIOS = STEER | {"bob", "daemon"}
EVERYBODY = set(KNOWN)
ADMINS = {"ann", "wide token"}
KEEP = {"dora", "ann", "wide token"}
IN_ZONE = {"oona", "wim", "rita"}
SEE_ZONE = IN_ZONE | {"dora", "ann", "wide token"}

# the first line that fits says who is let in; what no line fits is for who is logged in, and shows nothing of another's
RULES: tuple[tuple[str, set[str]], ...] = (
    (r"GET /(|parts/sessions|alerts|parts/alerts)", EVERYBODY),
    (r"GET /api/(health|metrics|openapi.json|sessions|alerts|events)", EVERYBODY),
    (r"GET /first-password", EVERYBODY),
    (r"POST /(log-out|log-in)", EVERYBODY),
    (r"GET /(account|parts/account/.*|api/me|api/tokens)", EVERYBODY),
    (r"(GET|POST) /(api/)?people.*", ADMINS),
    (r"GET /(parts/|api/)?audit.*", ADMINS),
    (r"GET /(send|transfers|parts/transfers|parts/send/estimate)", EVERYBODY),
    (r"GET /api/(datasets|transfers)", EVERYBODY),
    (r"GET /api/datasets/folders", SEE_KRIOS),
    (r"(GET|POST) /(api/|parts/)?buffer.*", KEEP),
    (r"(GET|POST) /(health|parts/health|parts/mutes|mutes|api/checks|api/mutes.*|api/notices.*)", STEER),
    (r"GET /metrics", EVERYBODY),
    (r"GET /(api/)?zones", EVERYBODY),
    (r"GET /(api/)?zones/{name}(/history)?", SEE_ZONE),
    (r"GET /(api/)?zones/{name}/(files/|folders|looks|pictures|previews|download|bundle).*", IN_ZONE),
    (r"POST /(api/)?zones/{name}/(archive|activate|repair)", KEEP),
    (r"GET /(api/)?instruments/{name}/(files/|folders|looks|pictures|previews|download|bundle).*", set()),  # no such instrument
    (r"GET .*transfer_id.*", {"oona", "dora", "ann", "wide token"}),
    (r"POST .*transfer_id.*", {"oona", "dora", "ann", "wide token"}),
    (r"GET .*(session_id|movie_id).*", SEE_KRIOS),
    (r"POST .*(session_id|movie_id|alert_id).*", STEER),
)
OPEN = {"GET /log-in", "POST /log-in", "GET /alive", "GET /healthz"}
REFUSED = (401, 403, 404)
VALUES = {
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


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    made.close()


def _credentials(world: World, who: str) -> Headers:
    host = (b"host", b"localhost")
    if who == "forged":
        return (host, (b"cookie", b"passerelle_log_in=" + b"A" * 43), (b"x-passerelle-token", b"t" * 24))
    if who == "ended":
        made = world.credentials("carl")
        world.facility.log_ins.end_log_ins(this_account(), "carl")
        del world.secrets["carl"]
        return made
    if who == "disabled":
        made = world.credentials("nina")
        world.facility.people.disable(this_account(), "nina")
        return made
    if who == "revoked token":
        token = world.facility.tokens.create(world.actor("ann"), name="x", scopes=list(Power), days=1)
        world.facility.tokens.revoke(this_account(), token.token.id)
        return (host, (b"authorization", f"Bearer {token.secret}".encode()))
    return world.credentials(who)


def _request(entry: Entry, credentials: Headers, accept: bytes = b"application/json") -> Request:
    address = entry.address({name: VALUES.get(name, "1") for name in entry.names})
    kind = b"application/x-www-form-urlencoded"
    values = {name: text for name, text in VALUES.items() if name != "role"}  # in forms it is a person's
    fields = [(param.name, values.get(param.name) or example(Random(1), param.annotation)) for param in entry.of_kind("form")]
    body = urlencode([(name, "" if value is None else value) for name, value in fields], doseq=True).encode()
    if models := entry.of_kind("json"):
        body, kind = json.dumps(example(Random(1), models[0].annotation)).encode(), b"application/json"
    headers = (*credentials, (b"accept", accept), (b"content-type", kind))
    query = "&".join(f"{param.name}={VALUES[param.name]}" for param in entry.of_kind("query") if param.name in VALUES)
    return Request(entry.method, f"{address}?{query}".encode(), headers, (body,) if entry.method != "GET" else ())


def _ask(world: World, *requests: Request) -> list[Answer]:
    async def all_of_them() -> list[Answer]:
        async with world.app.router.lifespan_context(world.app):
            return [await ask(world.app, request) for request in requests]

    return asyncio.run(all_of_them())


def test_nobody_is_let_in_by_any_way_that_ends_or_is_none(world: World) -> None:
    table = [entry for entry in table_of(world.app) if str(entry) not in OPEN]
    for who in NOT_LOGGED_IN:
        credentials = _credentials(world, who)
        for entry, answer in zip(table, _ask(world, *(_request(entry, credentials) for entry in table)), strict=True):
            assert answer.status in (401, 403), (who, str(entry), answer.status)
    world.mend()


@pytest.mark.parametrize("who", KNOWN)
def test_each_route_lets_in_whom_the_table_says(world: World, who: str) -> None:
    credentials = world.credentials(who)
    wrong: list[str] = []
    for entry in table_of(world.app):
        allowed = next((people for rule, people in RULES if re.fullmatch(rule, str(entry))), None)
        (answer,) = _ask(world, _request(entry, credentials))
        assert answer.failure is None and answer.status < 500, (str(entry), answer)
        if who not in IN_ZONE and SECRET.encode() in answer.body:
            wrong.append(f"{entry} shows the zone of oona")
        # what is let in may still not be found (no atlas here), but never for want of rights
        let_in = answer.status not in (401, 403) and (answer.status != 404 or who in (allowed or ()))
        if allowed is not None and let_in != (who in allowed) and str(entry) not in OPEN:
            wrong.append(f"{entry}: {'let in' if let_in else 'refused'}: {answer.status}")
        if str(entry) == "POST /log-out":
            world.secrets.pop(who, None)
            credentials = world.credentials(who)
    assert not wrong, "\n".join(wrong)
    world.mend()


def test_a_small_token_may_no_more_than_its_scope(world: World) -> None:
    """oona's, with the scope to send alone: it sees no session, no zone, no account."""
    world.mend()
    for entry in table_of(world.app):
        (answer,) = _ask(world, _request(entry, world.credentials("small token")))
        assert SECRET.encode() not in answer.body and b"FoilHole" not in answer.body, str(entry)
        if any(re.fullmatch(rule, str(entry)) for rule, people in RULES if people in (STEER, SEE_KRIOS, ADMINS)):
            assert answer.status in REFUSED, str(entry)


def test_what_is_anybodys_own_is_kept_by_no_cache(world: World) -> None:
    """Pictures of results alone stay in the browser's own cache; log-out clears that."""
    for who in ("oona", "ann"):
        for entry in table_of(world.app):
            if entry.method != "GET" or str(entry) in OPEN:
                continue
            (answer,) = _ask(world, _request(entry, world.credentials(who), b"text/html"))
            said = answer.header("cache-control")
            assert "public" not in said, str(entry)
            assert "no-store" in said or "private" in said, (str(entry), said)
    (static,) = _ask(world, Request("GET", b"/static/css/base.css?v=1", ((b"host", b"localhost"),)))
    assert "public" in static.header("cache-control")
