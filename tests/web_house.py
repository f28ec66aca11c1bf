"""The pages over a real service on the bench, with people of every role: real database, real log-ins, no server."""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from anyio.from_thread import start_blocking_portal
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Mount

from passerelle.core.states import MovieState
from passerelle.service.access import Actor, PersonRole
from passerelle.service.facility import Facility
from passerelle.service.passwords import Passwords
from passerelle.service.settings_people import PeopleSettings
from passerelle.service.settings_zones import ZoneSettings
from passerelle.store import people as rows
from passerelle.store import zones
from passerelle.testing.bench import MOVIE, SIDECAR, Bench, sidecar
from passerelle.web import create_app

with warnings.catch_warnings():  # Starlette would rather have the successor of httpx, which has no stable release yet
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

WORDS = "thick maple orbit lantern"
FIRST = "seven brisk otters paddle"
PEOPLE: Mapping[str, PersonRole] = {
    "ann": PersonRole.ADMIN,
    "dora": PersonRole.DATA_MANAGER,
    "olga": PersonRole.OPERATOR,
    "bob": PersonRole.USER,  # may read the zone of the instrument
    "carl": PersonRole.USER,  # may not
}
KRIOS = "krios"
DOMAIN = "testserver.local"  # of cookies, as the client calls it


class House:
    """A facility whose pages ask. One movie of one session is done; `facility` and `bench` are there to be used."""

    def __init__(self, folder: Path, migrated: Path | None = None, **people: Any) -> None:
        if migrated is not None:
            (folder / "state").mkdir()
            shutil.copyfile(migrated, folder / "state" / "passerelle.sqlite")
        self.bench = Bench(folder)
        settings = PeopleSettings.model_validate({"log_in": True} | people)
        zones_there = ZoneSettings(folder=folder / "zones", server="data")
        changed = self.bench.parts.settings.model_copy(update={"people": settings, "zones": zones_there})
        self.parts = replace(self.bench.parts, settings=changed)
        passwords = Passwords(memory_kib=64, rounds=1)
        self.facility = Facility(self.parts, passwords=passwords)
        self.app = create_app(self.facility, files_beneath=(folder,), hosts=("testserver", "krios.example"))
        password_hash = passwords.hash(WORDS)
        with self.parts.database.write() as connection:
            for name, role in PEOPLE.items():
                rows.create(connection, name=name, role=role, source="local", password_hash=password_hash, at=1.0)
            readers = {"people": ["bob"], "groups": []}
            nobody: dict[str, list[str]] = {"people": [], "groups": []}
            zones.create(
                connection,
                name=KRIOS,
                kind="instrument",
                root=str(self.bench.folder),
                owner="dora",
                readers=readers,
                writers=nobody,
                at=1.0,
            )
        self.bench.take(self.bench.whole(MOVIE), self.bench.whole(SIDECAR, sidecar()))
        self.bench.work()
        assert self.bench.state() is MovieState.DONE
        self._open = contextlib.ExitStack()
        self._portal = self._open.enter_context(start_blocking_portal("asyncio"))

    def client(
        self, name: str = "", *, password: str = WORDS, base: str = "http://testserver", token: str = "", peer: str = "192.0.2.1"
    ) -> TestClient:
        """Return a browser: nobody's, logged in as `name`, or a program with a token."""
        made = TestClient(
            _as_sent(self.app), base_url=base, raise_server_exceptions=False, follow_redirects=False, client=(peer, 50_000)
        )
        made.portal = self._portal  # one thread for all requests of a house, not one for each
        if token:
            made.headers["authorization"] = f"Bearer {token}"
            return made
        made.headers["accept"] = "text/html"
        if name:
            answer = self.log_in(made, name, password)
            assert answer.status_code == 204, answer.text
        return made

    @staticmethod
    def log_in(client: TestClient, name: str, password: str, **form: str) -> Any:
        """Fill in the form as a browser does."""
        page_token(client, "/log-in")
        return client.post("/log-in", data={"name": name, "password": password, **form}, headers={"hx-request": "true"})

    def actor(self, name: str) -> Actor:
        """Return a person who has just logged in."""
        return self.facility.log_ins.log_in(name, WORDS, address="a").actor

    def close(self) -> None:
        """Give the database back, and end the processes that made previews."""
        self._open.close()
        self.facility.close()
        self.bench.parts.close()


def _as_sent(app: Any) -> Any:
    """Have paths decoded once, as servers do; Starlette's client does it twice, and a file named 50%25 is another then."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["path"] = unquote(scope["raw_path"].split(b"?")[0].decode("ascii"))
        await app(scope, receive, send)

    return call


def page_token(client: TestClient, address: str) -> str:
    """Take the token out of a page, and send it with each request from now on, as the pages' script does."""
    text = client.get(address).text
    token = text.split('name="passerelle-token" content="')[1].split('"')[0]
    client.headers["x-passerelle-token"] = token
    return token


def routes(of: Sequence[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Yield method and path of every route of an application but the static files, which are there for everybody."""
    for route in of:
        if isinstance(route, Mount):
            assert route.path == "/static", "only files of the product itself are there for everybody"
        elif isinstance(route, APIRoute):
            yield from ((method, route.path) for method in route.methods)
        else:
            yield from routes(route.original_router.routes)  # type: ignore[attr-defined] - FastAPI's own, of include_router
