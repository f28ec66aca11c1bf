"""The verbs on zones: make, change, archive, list, measure, browse, download, repair."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from passerelle.core.errors import BadInput, NotFound, PasserelleError, printable, storage_errors
from passerelle.core.states import ZoneState
from passerelle.service import access
from passerelle.service.access import Actor, Power, Through
from passerelle.service.accounts import machine_accounts
from passerelle.service.audit import acting
from passerelle.service.settings import Settings
from passerelle.service.zone_hand import keep_to_folders, left_to_root, looker_of, may_make
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
    check_root,
    check_zone_name,
    has_list,
    list_folder,
    may,
    measure,
    open_file,
    relative_path,
    require,
    room,
    settle_rights,
    wanted,
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
        self._accounts = accounts or (lambda: machine_accounts(settings.zones.group, looker_of(settings)))
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
            place = self._root(actor, name, kind, root)
            zone = Zone(name, kind, place, owner, readers, writers, quota_bytes)
            with self._database.read() as connection:
                if zones.find(connection, name) is None:
                    self._check_root(zone, zones.every(connection))
            keep_to_folders(zone, self._settings, self._accounts())
            may_make(place, name, owner)
            made = _make_folder(place)
            notes = self._settle(zone, fresh=made)
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
            notes = self._settle(zone) if _rights(zone) != _rights(zone_of(before)) else ()
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
            accounts = self._accounts()
            keep_to_folders(zone, self._settings, accounts)
            settled = settle_rights(zone.root, wanted(zone, accounts, hands=self._hands(zone)), dry=dry)
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
            notes = self._settle(zone_of(row))
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

    def _root(self, actor: Actor, name: str, kind: ZoneKind, root: Path | None) -> Path:
        settings = self._settings
        if kind is ZoneKind.INSTRUMENT:
            folders = {key: each.folder for key, each in settings.instruments.items()}
            chosen = root or folders.get(name)
            if chosen is None or chosen not in folders.values():
                raise BadInput(
                    "The zone of an instrument is the instrument's own folder.",
                    advice=f"Call it by one of the instruments: {', '.join(folders) or 'none is configured'}.",
                )
            return chosen
        if root is None:
            return settings.zones.folder / name
        root = Path(os.path.normpath(root))
        bases = (settings.zones.folder, *settings.zones.other_folders)
        if actor.through is not Through.COMMAND and not any(root.is_relative_to(base) and root != base for base in bases):
            raise BadInput(
                "is no folder where zones may lie.",
                advice=f"Choose one within {', '.join(map(str, bases))}, or let an admin make the zone on the server.",
                path=root,
            )
        return root

    def _check_root(self, zone: Zone, others: Sequence[zones.ZoneRow]) -> None:
        settings = self._settings
        used = {f"zone {each.name}": Path(each.root) for each in others}
        if zone.kind is not ZoneKind.INSTRUMENT:
            used |= {f"instrument {key}": each.folder for key, each in settings.instruments.items()}
        used |= {"passerelle's state": settings.state.folder, "passerelle's results": settings.results}
        check_root(zone.root, used)

    def _hands(self, zone: Zone) -> list[str]:
        settings = self._settings
        return [
            pc.account
            for pc in settings.pcs.values()
            if pc.instrument in settings.instruments and settings.instruments[pc.instrument].folder == zone.root
        ]

    def _settle(self, zone: Zone, *, fresh: bool = False) -> tuple[str, ...]:
        """Bring a zone's files to its rights; return words about what was not reached."""
        accounts = self._accounts()
        keep_to_folders(zone, self._settings, accounts)
        if words := left_to_root(zone, self._settings, accounts):
            return words
        alone = not (zone.readers.people | zone.readers.groups | zone.writers.people | zone.writers.groups)
        own = accounts.user_of(zone.owner) in (None, accounts.service_uid)
        if not accounts.may_give and alone and own and zone.state is ZoneState.ACTIVE and not has_list(zone.root):
            # one person, no root: what lies there has the rights that the person gave it
            if fresh:
                with storage_errors(zone.root):
                    zone.root.chmod(0o700)
            return ()
        want = wanted(zone, accounts, hands=self._hands(zone))
        settled = settle_rights(zone.root, want)
        words = [f"This machine knows no account {name}: nothing is shown to it." for name in want.unknown]
        words += [f"Rights were not changed: {left}." for left in settled.left]
        return (*words, *_ways(zone.root, want.folder.users))


def _within(path: str) -> PurePosixPath:
    """Return the path that a face carried (`store.paths`)."""
    return relative_path(str(from_text(path))) if path.strip("/") else PurePosixPath()


def _ways(root: Path, users: Mapping[int, int]) -> list[str]:
    """Say which folder above a root keeps everybody else out of it."""
    if not users:
        return []
    return [
        f"{parent} keeps out others than its owner: nobody but it reaches the zone below. Give it mode 0711."
        for parent in root.parents
        if not parent.stat().st_mode & 0o001
    ]


def _make_folder(root: Path) -> bool:
    """Make a zone's folder where it is missing; say whether it was made."""
    with storage_errors(root):
        try:
            root.parent.mkdir(parents=True, exist_ok=True)
            root.mkdir(mode=0o700)
        except FileExistsError:
            if root.is_symlink() or not root.is_dir():
                raise NotFound("is a link or a file, not a folder.", path=root) from None
            return False
        except OSError as error:
            if error.errno == errno.ENOTDIR:
                raise NotFound("lies within something that is no folder.", path=root) from error
            raise
    return True


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
