"""Zones and what was measured in them; who may do what in one is decided elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from passerelle.core.errors import Conflict, NotFound, printable
from passerelle.core.states import ZoneState, move
from passerelle.store import events
from passerelle.store.paths import storable, to_text
from passerelle.store.tables_people import zone_usage, zones


@dataclass(frozen=True, slots=True)
class ZoneRow:
    """A zone as it is kept. readers, writers: {"people": [...], "groups": [...]}."""

    id: int
    name: str
    kind: str
    root: str
    owner: str
    readers: Mapping[str, Sequence[str]]
    writers: Mapping[str, Sequence[str]]
    quota_bytes: int | None
    description: str
    state: ZoneState
    made_at: float
    archived_at: float | None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a zone held at an instant."""

    at: float
    bytes: int
    files: int


def create(
    connection: Connection,
    *,
    name: str,
    kind: str,
    root: str,
    owner: str,
    readers: Mapping[str, Sequence[str]],
    writers: Mapping[str, Sequence[str]],
    quota_bytes: int | None = None,
    description: str = "",
    at: float,
) -> ZoneRow:
    """Write a new, active zone.

    Raises:
        Conflict: a zone of this name (upper and lower case are the same), or with this root, is there already.
    """
    same = connection.execute(
        select(zones).where((zones.c.folded_name == name.lower()) | (zones.c.root == to_text(root)))
    ).first()
    if same is not None:
        what = "name" if same.folded_name == name.lower() else "folder"
        raise Conflict(f"There is a zone of this {what} already: {printable(same.name)}.", advice=f"Choose another {what}.")
    row = {
        "name": name,
        "folded_name": name.lower(),
        "kind": kind,
        "root": to_text(root),
        "owner": owner,
        "readers": _plain(readers),
        "writers": _plain(writers),
        "quota_bytes": quota_bytes,
        "description": storable(description),
        "state": ZoneState.ACTIVE,
        "made_at": at,
    }
    connection.execute(insert(zones).values(row))
    events.add(connection, "zone_made", at=at, data={"zone": name, "kind": kind})
    return get(connection, name)


def find(connection: Connection, name: str) -> ZoneRow | None:
    """Return the zone of this name, upper and lower case being the same, if there is one."""
    found = connection.execute(select(zones).where(zones.c.folded_name == storable(name).lower())).one_or_none()
    return None if found is None else _zone(found)


def get(connection: Connection, name: str) -> ZoneRow:
    """Return the zone of this name.

    Raises:
        NotFound: there is none.
    """
    found = find(connection, name)
    if found is None:
        raise NotFound(f"There is no zone `{printable(name, 80)}`.")
    return found


def every(connection: Connection) -> list[ZoneRow]:
    """Return all zones by name."""
    return [_zone(found) for found in connection.execute(select(zones).order_by(zones.c.folded_name))]


def change(connection: Connection, name: str, *, at: float, **values: Any) -> ZoneRow:
    """Change what is not a state (owner, readers, writers, quota_bytes, description), with an event.

    Raises:
        NotFound: there is no such zone.
    """
    zone = get(connection, name)
    fields = {
        key: _plain(inner) if key in ("readers", "writers") else storable(inner) if isinstance(inner, str) else inner
        for key, inner in values.items()
    }
    if fields:
        connection.execute(update(zones).where(zones.c.id == zone.id).values(**fields))
        events.add(connection, "zone_changed", at=at, data={"zone": zone.name, **fields})
    return get(connection, name)


def change_state(connection: Connection, name: str, target: ZoneState, *, at: float) -> ZoneRow:
    """Archive a zone or make it active again, with its event.

    Raises:
        NotFound: there is no such zone. IllegalMove: it is in that state already.
    """
    zone = get(connection, name)
    move(zone.state, target, what=f"zone {zone.name}")
    archived_at = at if target is ZoneState.ARCHIVED else None
    connection.execute(update(zones).where(zones.c.id == zone.id).values(state=target, archived_at=archived_at))
    events.add(connection, f"zone_{target.value}", at=at, data={"zone": zone.name})
    return get(connection, name)


def add_usage(connection: Connection, zone_id: int, usage: Usage) -> None:
    """Write down what was measured; a measurement that says the same as the one before takes its place in time."""
    latest = usages(connection, zone_id, limit=2)
    if len(latest) == 2 and all((each.bytes, each.files) == (usage.bytes, usage.files) for each in latest):
        newest = select(zone_usage.c.id).where(zone_usage.c.zone_id == zone_id).order_by(zone_usage.c.at.desc()).limit(1)
        connection.execute(update(zone_usage).where(zone_usage.c.id == newest.scalar_subquery()).values(at=usage.at))
        return
    connection.execute(insert(zone_usage).values(zone_id=zone_id, at=usage.at, bytes=usage.bytes, files=usage.files))


def usages(connection: Connection, zone_id: int, *, limit: int = 100) -> list[Usage]:
    """Return what was measured, latest first."""
    query = select(zone_usage).where(zone_usage.c.zone_id == zone_id).order_by(zone_usage.c.at.desc()).limit(limit)
    return [Usage(found.at, found.bytes, found.files) for found in connection.execute(query)]


def _plain(who: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {key: [storable(name) for name in names] for key, names in who.items()}


def _zone(row: Row[Any]) -> ZoneRow:
    fields: dict[str, Any] = dict(row._mapping)
    fields.pop("folded_name")
    fields["state"] = ZoneState(fields["state"])
    return ZoneRow(**fields)
