"""The verbs on zones: make, change, archive, list, measure, browse, download, repair."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from passerelle.core.errors import BadInput, NotFound, PasserelleError, printable
from passerelle.core.states import ZoneState
from passerelle.service import access
from passerelle.service.access import Actor, Power
from passerelle.service.accounts import machine_accounts
from passerelle.service.audit import acting
from passerelle.service.settings import Settings
from passerelle.service.zone_folders import ZoneFolders
from passerelle.service.zone_hand import looker_of
from passerelle.service.zone_view import (
    FolderView,
    UsageView,
    ZoneEvent,
    ZoneHistory,
    ZoneView,
    folder_view,
    usage_view,
    zone_of,
    zone_view,
)
from passerelle.store import Database, audit, zones
from passerelle.store.paths import from_text
from passerelle.zones import (
    Accounts,
    Relation,
    Settled,
    Who,
    Zone,
    ZoneAct,
    ZoneKind,
    check_account,
    check_zone_name,
    list_folder,
    may,
    measure,
    open_file,
    relative_path,
    require,
    room,
)

_POWERS: dict[ZoneAct, Power] = {
    ZoneAct.SEE: Power.LOOK,
    ZoneAct.READ: Power.LOOK,
    ZoneAct.WRITE: Power.SEND,
    ZoneAct.SHARE: Power.SHARE,
    ZoneAct.GOVERN: Power.KEEP_ZONES,
    ZoneAct.ARCHIVE: Power.KEEP_ZONES,
}
_MOST_ENTRIES = 5000
_OPEN_ACTS = {"zone_create", "zone_change", "zone_archive", "zone_activate"}


class Zones:
    """The zones of a facility.

    rights_changed: called after each change of who may what; returns words about what it did not reach.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        accounts: Callable[[], Accounts] | None = None,
        rights_changed: Callable[[Actor], Sequence[str]] = lambda actor: (),
    ) -> None:
        self._database, self._settings = database, settings
        accounts = accounts or (lambda: machine_accounts(settings.zones.group, looker_of(settings)))
        self._folders = ZoneFolders(settings, accounts)
        self._rights_changed = rights_changed

    # -- read --

    def list(self, actor: Actor, *, archived: bool = True) -> list[ZoneView]:
        """Return the zones that a person may see, by name."""
        access.require(actor, Power.LOOK)
        with self._database.read() as connection:
            found = [(row, zones.usages(connection, row.id, limit=1)) for row in zones.every(connection)]
        return [
            self._view(actor, row, usage)
            for row, usage in found
            if may(actor.visitor, ZoneAct.SEE, zone_of(row)).allowed and (archived or row.state is ZoneState.ACTIVE)
        ]

    def get(self, actor: Actor, name: str) -> ZoneView:
        """Return a zone.

        Raises:
            NotFound: there is none, or the person may not see it.
        """
        row, _ = self._permitted(actor, ZoneAct.SEE, name)
        with self._database.read() as connection:
            return self._view(actor, row, zones.usages(connection, row.id, limit=1))

    def zone(self, actor: Actor, act: ZoneAct, name: str) -> Zone:
        """Return a zone for use by another verb, if the person may do this in it: WRITE for a transfer into it.

        Raises:
            NotFound: there is none, or the person may not see it. NotAllowed: says what the person may.
        """
        return self._permitted(actor, act, name)[1]

    def history(self, actor: Actor, name: str, *, limit: int = 100) -> ZoneHistory:
        """Return what was done with a zone, and how it grew, latest first.

        Who looked at what, and who was refused, is told only to its owner and to who keeps zones.

        Raises:
            NotFound: there is none, or the person may not see it.
        """
        row, zone = self._permitted(actor, ZoneAct.SEE, name)
        with self._database.read() as connection:
            acts = audit.latest(connection, limit=limit, subject=f"zone:{row.name}")
            usages = zones.usages(connection, row.id, limit=limit)
        trusted = may(actor.visitor, ZoneAct.SHARE, zone).allowed or may(actor.visitor, ZoneAct.GOVERN, zone).allowed
        events = [
            ZoneEvent(at=each.at, person=each.person, act=each.act, result=each.result)
            for each in acts
            if trusted or (each.act in _OPEN_ACTS and each.result == "done")
        ]
        return ZoneHistory(events=events, usage=[usage_view(each) for each in usages])

    def browse(self, actor: Actor, name: str, path: str = "", *, after: str = "", limit: int = 1000) -> FolderView:
        """List a folder of a zone. path, after: as views carry names.

        Raises:
            NotFound: no such zone or folder, or the person may not see it. NotAllowed: the person may not look inside.
            BadInput: the path leads elsewhere.
        """
        within = _within(path)
        row, zone = self._permitted(actor, ZoneAct.READ, name)
        start = str(from_text(after)) if after else ""
        listing = list_folder(zone.root, within, after=start, limit=min(max(limit, 1), _MOST_ENTRIES))
        return folder_view(self.server, zone_of(row), within, listing)

    @contextmanager
    def download(self, actor: Actor, name: str, path: str) -> Generator[int]:
        """Open a file of a zone for reading and yield its descriptor; the audit log tells of it.

        Raises:
            NotFound, NotAllowed, BadInput: as `browse`.
        """
        with acting(self._database, actor, "zone_download", f"zone:{name}") as deed:
            deed.data = {"path": path}
            _, zone = self._permitted(actor, ZoneAct.READ, name)
            opened = open_file(zone.root, _within(path))
            descriptor = opened.__enter__()
        try:
            yield descriptor
        finally:
            opened.__exit__(None, None, None)

    # -- change --

    def create(
        self,
        actor: Actor,
        name: str,
        *,
        kind: ZoneKind,
        owner: str,
        root: Path | None = None,
        readers: Who = Who(),  # noqa: B008 - frozen
        writers: Who = Who(),  # noqa: B008
        quota_bytes: int | None = None,
        description: str = "",
        at: float | None = None,
    ) -> ZoneView:
        """Make a zone with its folder.

        root: the instrument's folder for the zone of an instrument; else a folder of its own, made if missing.

        Raises:
            NotAllowed: only who keeps zones may. BadInput: a name or folder that no zone can have. Conflict: they are another's.
            UnsupportedFile: readers or writers cannot be let in, because the file system keeps no access control lists.
        """
        now = time.time() if at is None else at
        with acting(self._database, actor, "zone_create", f"zone:{name}", at=now) as deed:
            access.require(actor, Power.KEEP_ZONES)
            check_zone_name(name)
            _check_values([owner], readers, writers, quota_bytes)
            place = self._folders.chosen(actor, name, kind, root)
            zone = Zone(name, kind, place, owner, readers, writers, quota_bytes)
            with self._database.read() as connection:
                if zones.find(connection, name) is None:
                    self._folders.check(zone, zones.every(connection))
            notes = self._folders.make(zone)
            with self._database.write() as connection:
                row = zones.create(
                    connection,
                    name=name,
                    kind=kind,
                    root=str(place),
                    owner=owner,
                    readers=_plain(readers),
                    writers=_plain(writers),
                    quota_bytes=quota_bytes,
                    description=description,
                    at=now,
                )
                deed.done(connection, kind=kind, root=str(place), owner=owner, readers=_plain(readers), writers=_plain(writers))
        return self._after(actor, row, notes)

    def change(
        self,
        actor: Actor,
        name: str,
        *,
        owner: str | None = None,
        readers: Who | None = None,
        writers: Who | None = None,
        quota_bytes: int | None = None,
        no_quota: bool = False,
        description: str | None = None,
        at: float | None = None,
    ) -> ZoneView:
        """Change readers, writers and description (the zone's owner may), or owner and quota (who keeps zones may).

        Files and shares follow at once; who is connected and may no longer is cut off.

        Raises:
            NotFound, NotAllowed: as `get`; the person may not do this. BadInput: a name that is none.
        """
        now = time.time() if at is None else at
        with acting(self._database, actor, "zone_change", f"zone:{name}", at=now) as deed:
            given = {
                "owner": owner,
                "readers": readers,
                "writers": writers,
                "description": description,
                "quota_bytes": quota_bytes,
            }
            values: dict[str, Any] = {key: each for key, each in given.items() if each is not None}
            if no_quota:
                values["quota_bytes"] = None
            deed.data = {key: _plain(each) if isinstance(each, Who) else each for key, each in values.items()}
            for act, keys in ((ZoneAct.GOVERN, {"owner", "quota_bytes"}), (ZoneAct.SHARE, {"readers", "writers", "description"})):
                if keys & values.keys() or not values:
                    row, zone = self._permitted(actor, act, name)
            _check_values([owner] if owner else [], readers or Who(), writers or Who(), quota_bytes)
            with self._database.write() as connection:
                before = zones.get(connection, name)
                row = zones.change(connection, name, at=now, **deed.data)
                deed.done(connection)
            zone = zone_of(row)
            # recorded first: what is recorded is what must be, and `repair` brings files to it if this ends in mid-way
            notes = self._folders.settle(zone) if _rights(zone) != _rights(zone_of(before)) else ()
        return self._after(actor, row, notes, rights=_rights(zone) != _rights(zone_of(before)))

    def set_relation(self, actor: Actor, name: str, whom: str, relation: Relation, *, at: float | None = None) -> ZoneView:
        """Make a person, or a group (@NAME), a reader or a writer of a zone, or a stranger again.

        Raises:
            BadInput: a relation that is not chosen so, or no name. NotFound, NotAllowed: as `change`.
        """
        if relation not in (Relation.READER, Relation.WRITER, Relation.STRANGER):
            raise BadInput(f"Nobody is made {relation} of a zone so.", advice="Choose reader, writer or stranger.")
        zone = self.zone(actor, ZoneAct.SHARE, name)
        one = Who.of([], [whom[1:]]) if whom.startswith("@") else Who.of([whom])
        chosen = {
            of: Who(who.people - one.people, who.groups - one.groups) | (one if relation is of else Who())
            for of, who in ((Relation.READER, zone.readers), (Relation.WRITER, zone.writers))
        }
        return self.change(actor, name, readers=chosen[Relation.READER], writers=chosen[Relation.WRITER], at=at)

    def archive(self, actor: Actor, name: str, *, at: float | None = None) -> ZoneView:
        """Keep a zone as it is: read as before, written by nobody.

        Raises:
            NotFound, NotAllowed: as `change`. IllegalMove: it is archived.
        """
        return self._move(actor, name, ZoneState.ARCHIVED, "zone_archive", at)

    def activate(self, actor: Actor, name: str, *, at: float | None = None) -> ZoneView:
        """Take an archived zone into use again.

        Raises:
            NotFound, NotAllowed: as `change`. IllegalMove: it is active.
        """
        return self._move(actor, name, ZoneState.ACTIVE, "zone_activate", at)

    def measure(self, actor: Actor, name: str, *, at: float | None = None) -> UsageView:
        """Count what lies in a zone, and keep it in the zone's history.

        Raises:
            NotFound: no such zone, or the person may not see it. Unreachable, StorageError: its folder is away.
        """
        row, zone = self._permitted(actor, ZoneAct.SEE, name)
        found = measure(zone.root)
        usage = zones.Usage(time.time() if at is None else at, found.bytes, found.files)
        with self._database.write() as connection:
            zones.add_usage(connection, row.id, usage)
        return usage_view(usage, unread=found.unread)

    def repair(self, actor: Actor, name: str, *, dry: bool = False) -> Settled:
        """Bring the rights of all files of a zone to what they must be. dry: only count those that are not.

        Raises:
            NotFound, NotAllowed: as `change`. UnsupportedFile: the file system keeps no access control lists.
        """
        with acting(self._database, actor, "zone_repair", f"zone:{name}") as deed:
            _, zone = self._permitted(actor, ZoneAct.GOVERN, name)
            settled = self._folders.repair(zone, dry=dry)
            deed.data = {"seen": settled.seen, "changed": settled.changed, "left": len(settled.left), "dry": dry}
        return settled

    # -- within --

    @property
    def server(self) -> str:
        """The name by which Windows opens zones."""
        return self._settings.zones.server or os.uname().nodename

    def _permitted(self, actor: Actor, act: ZoneAct, name: str) -> tuple[zones.ZoneRow, Zone]:
        with self._database.read() as connection:
            row = zones.get(connection, name)
        zone = zone_of(row)
        if not may(actor.visitor, ZoneAct.SEE, zone).allowed:  # first, and in the words of `get`: nothing tells that it is there
            raise NotFound(f"There is no zone `{printable(name, 80)}`.")
        access.require(actor, _POWERS[act])
        require(actor.visitor, act, zone)
        return row, zone

    def _move(self, actor: Actor, name: str, target: ZoneState, act: str, at: float | None) -> ZoneView:
        now = time.time() if at is None else at
        with acting(self._database, actor, act, f"zone:{name}", at=now) as deed:
            self._permitted(actor, ZoneAct.ARCHIVE, name)
            with self._database.write() as connection:
                row = zones.change_state(connection, name, target, at=now)
                deed.done(connection)
            notes = self._folders.settle(zone_of(row))
        return self._after(actor, row, notes)

    def _view(self, actor: Actor, row: zones.ZoneRow, usage: Sequence[zones.Usage], notes: Sequence[str] = ()) -> ZoneView:
        zone = zone_of(row)
        try:
            space = room(zone.root)
        except PasserelleError as problem:
            space, notes = None, (*notes, str(problem))
        allowed = [act for act in ZoneAct if _POWERS[act] in actor.powers and may(actor.visitor, act, zone).allowed]
        return zone_view(self.server, row, zone, usage[0] if usage else None, space, allowed, notes)

    def _after(self, actor: Actor, row: zones.ZoneRow, notes: Sequence[str], *, rights: bool = True) -> ZoneView:
        if rights:
            notes = (*notes, *self._rights_changed(actor))
        with self._database.read() as connection:
            return self._view(actor, row, zones.usages(connection, row.id, limit=1), notes)


def _within(path: str) -> PurePosixPath:
    """Return the path that a face carried (`store.paths`)."""
    return relative_path(str(from_text(path))) if path.strip("/") else PurePosixPath()


def _check_values(people: Sequence[str], readers: Who, writers: Who, quota_bytes: int | None) -> None:
    for name in (*people, *readers.people, *writers.people):
        check_account(name)
    for name in (*readers.groups, *writers.groups):
        check_account(name, "group")
    if quota_bytes is not None and quota_bytes <= 0:
        raise BadInput("A quota is more than nothing.", advice="Give bytes, or take the quota away.")


def _rights(zone: Zone) -> tuple[object, ...]:
    return zone.owner, zone.readers, zone.writers, zone.state


def _plain(who: Who) -> dict[str, list[str]]:
    return {"people": sorted(who.people), "groups": sorted(who.groups)}
