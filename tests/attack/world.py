"""A facility with people of every kind, who own and may see different things, and with files of every nasty name."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from passerelle.core.errors import PasserelleError
from passerelle.core.states import PersonState, TransferState
from passerelle.service.access import Power, this_account
from passerelle.service.facility import Facility
from passerelle.service.settings_zones import ZoneSettings
from passerelle.store import alerts, people, transfers, zones
from passerelle.web import create_app
from passerelle.web.arrival import LOG_IN_COOKIE, form_token
from passerelle.zones import Who, ZoneKind
from tests.attack.drive import Headers
from tests.attack.nasty import PROBE
from tests.web_house import FIRST, KRIOS, PEOPLE, WORDS, House

OWNED = "oona-data"  # a zone that `carl` and `bob` know nothing of
SECRET = "the words of the zone of oona"  # in a file of that zone
NEW = "nina"  # has a first password
OUTSIDE = "what no zone shows"  # in a file beside the zones
SENDER = "daemon"  # an account that every machine has: sends from the instrument to a zone of its own
MORE_PEOPLE = ("oona", "wim", "rita", SENDER)  # own it, write there, read there
NAMES = (
    "plain.txt",
    f"{PROBE}.txt".replace("/", "_"),
    "new\nline.txt",
    "=cmd|calc.csv",
    'quote".txt',
    "back\\slash",
    "..hidden",
    "trailing. ",
    "\u202egpj.exe",
    os.fsdecode(b"\xff\xfe.mrc"),
    "é" * 100,
    "<img src=x onerror=alert(1)>.png",
    "page.html",
    "picture.svg",
)


class World(House):
    """The house of the page tests, with zones and more people, and with credentials for each."""

    def __init__(self, folder: Path, migrated: Path | None = None, **people: Any) -> None:
        super().__init__(folder, migrated, **people)
        self.folder = folder
        (folder / "outside").mkdir()
        (folder / "outside" / "secret.txt").write_text(OUTSIDE)
        zone_settings = ZoneSettings(folder=folder / "zones")
        self.parts = replace(self.parts, settings=self.parts.settings.model_copy(update={"zones": zone_settings}))
        self.facility = Facility(self.parts, passwords=self._passwords())
        self.app = create_app(self.facility, files_beneath=(folder / "results", self.bench.folder), hosts=("testserver",))
        root = this_account()
        for name in MORE_PEOPLE:
            self.facility.people.create(root, name, password=WORDS, own=True)
        self.facility.people.create(root, NEW, password=FIRST)
        self.facility.zones.create(
            root,
            OWNED,
            kind=ZoneKind.PERSONAL,
            owner="oona",
            readers=Who.of(["rita"]),
            writers=Who.of(["wim"]),
            description=f"Words of oona {PROBE}",
        )
        self.facility.zones.create(root, "carl-data", kind=ZoneKind.PERSONAL, owner="carl")
        self.facility.zones.create(root, f"{SENDER}-data", kind=ZoneKind.PERSONAL, owner=SENDER)
        self._fill(folder / "zones" / OWNED)
        with self.parts.database.write() as connection:
            alerts.raise_(connection, "disk", level="error", message=f"Full {PROBE}", at=5.0)
            alerts.raise_(connection, "no_new_movie", level="warning", message=f"None {PROBE}", session_id=1, at=6.0)
        with self.parts.database.write() as connection:
            zones.change(connection, KRIOS, at=2.0, readers={"people": ["bob", SENDER], "groups": []})
            for state in (TransferState.PAUSED, TransferState.CANCELLED, TransferState.DONE):
                self._transfer(connection, state)
        self.names = (*PEOPLE, *MORE_PEOPLE, NEW)
        self.secrets: dict[str, str] = {}
        self.small = self.token("oona", Power.SEND)
        self.wide = self.token("ann", *Power)

    def _passwords(self) -> Any:
        from passerelle.service.passwords import Passwords

        return Passwords(memory_kib=64, rounds=1)

    def _fill(self, zone: Path) -> None:
        (zone / "folder").mkdir()
        for name in NAMES:
            for place in (zone, zone / "folder"):
                (place / name).write_text(SECRET)
        (zone / "way-out").symlink_to(self.folder / "outside")
        (zone / "way-out.txt").symlink_to(self.folder / "outside" / "secret.txt")
        os.mkfifo(zone / "pipe")

    def _transfer(self, connection: Connection, state: TransferState) -> None:
        """Write down a transfer of oona's as the runner would."""
        row = transfers.create(
            connection,
            person="oona",
            groups=[],
            through="page",
            instrument=KRIOS,
            source="s1",
            session_id=1,
            name="s1",
            selection="whole",
            zone_id=zones.get(connection, OWNED).id,
            folder=f"datasets/{state}-{PROBE.replace('/', '_')}",
            at=10.0,
        )
        if state is TransferState.DONE:
            transfers.change_state(connection, row.id, TransferState.RUNNING, at=11.0)
        transfers.change_state(connection, row.id, state, at=12.0)

    def token(self, name: str, *scopes: Power) -> str:
        """Return the secret of a token of somebody."""
        return self.facility.tokens.create(self.actor(name), name=f"{PROBE}"[:40], scopes=scopes, days=1).secret

    def credentials(self, who: str) -> Headers:
        """Return the headers by which somebody is known.

        who: a name, `nobody`, `small token` (of oona, to send), `wide token` (of ann, for everything).
        """
        host = (b"host", b"localhost")
        if who == "nobody":
            return (host, (b"cookie", b"passerelle_token=" + b"t" * 24), (b"x-passerelle-token", b"t" * 24))
        if who.endswith(" token"):
            return (host, (b"authorization", f"Bearer {self.small if who == 'small token' else self.wide}".encode()))
        if who not in self.secrets:
            try:
                made = self._log_in(who)
            except PasserelleError:  # an admin was here
                self.mend()
                made = self._log_in(who)
            self.secrets[who] = made
        secret = self.secrets[who]
        return (
            host,
            (b"cookie", f"{LOG_IN_COOKIE}={secret}".encode()),
            (b"x-passerelle-token", form_token(secret).encode()),
        )

    def _log_in(self, who: str) -> str:
        return self.facility.log_ins.log_in(who, FIRST if who == NEW else WORDS, address="a").secret

    def mend(self) -> None:
        """Let everybody be again who they were, after somebody has used the powers of an admin."""
        roles: Mapping[str, Any] = PEOPLE
        hashes = {True: self._passwords().hash(FIRST), False: self._passwords().hash(WORDS)}
        with self.parts.database.write() as connection:
            for name in self.names:
                new = name == NEW
                values = {"role": roles.get(name, "user"), "must_change": new, "password_hash": hashes[new]}
                person = people.change(connection, name, **values, password_at=time.time())
                if person.state is PersonState.DISABLED:
                    people.change_state(connection, name, PersonState.ENABLED)
            people.forget_failures(connection, before=float("inf"))
            for zone, owner, readers, writers in (
                (OWNED, "oona", ["rita"], ["wim"]),
                (KRIOS, "dora", ["bob", SENDER], []),
                ("carl-data", "carl", [], []),
                (f"{SENDER}-data", SENDER, [], []),
            ):
                named = {"readers": {"people": readers, "groups": []}, "writers": {"people": writers, "groups": []}}
                zones.change(connection, zone, at=time.time(), owner=owner, **named)
        for name in self.names:
            self.facility.log_ins.end_log_ins(this_account(), name)
        self.secrets.clear()
        self.small, self.wide = self.token("oona", Power.SEND), self.token("ann", *Power)
