"""Zones, their folders and their history as faces show them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pydantic import BaseModel

from passerelle.core.errors import printable
from passerelle.core.states import ZoneState
from passerelle.store import zones
from passerelle.store.paths import from_text, to_text
from passerelle.zones import Listing, Room, Who, Zone, ZoneAct, ZoneKind, linux_path, windows_path, windows_trouble


class UsageView(BaseModel):
    """What a zone held at an instant. unread: folders that could not be read, not in the numbers."""

    at: float
    bytes: int
    files: int
    unread: int = 0


class WhoView(BaseModel):
    """People and groups."""

    people: list[str]
    groups: list[str]


class ZoneView(BaseModel):
    """A zone. may: what the person who asked may do in it. notes: what a person should know about it."""

    name: str
    kind: ZoneKind
    state: ZoneState
    owner: str
    readers: WhoView
    writers: WhoView
    description: str
    linux: str
    windows: str
    quota_bytes: int | None
    usage: UsageView | None
    quota_used: float | None  # share of the quota that the latest measurement found
    free_bytes: int | None  # of the file system, or of the quota where that is less
    total_bytes: int | None
    made_at: float
    archived_at: float | None
    may: list[ZoneAct]
    notes: list[str]


class EntryView(BaseModel):
    """Something in a folder. name: as `store.paths` carries it, for the next request; shown: safe to print.

    trouble: why Windows cannot open it.
    """

    name: str
    shown: str
    kind: str
    size: int
    mtime: float
    linux: str
    windows: str
    trouble: str


class FolderView(BaseModel):
    """A part of a folder. next: give it as `after` for the rest; empty where this is all."""

    zone: str
    path: str
    linux: str
    windows: str
    entries: list[EntryView]
    next: str


class ZoneEvent(BaseModel):
    """Something that was done with a zone."""

    at: float
    person: str
    act: str
    result: str


class ZoneHistory(BaseModel):
    """What was done with a zone, and how it grew, latest first."""

    events: list[ZoneEvent]
    usage: list[UsageView]


def zone_of(row: zones.ZoneRow) -> Zone:
    """Make the zone that a row keeps."""
    return Zone(
        row.name,
        ZoneKind(row.kind),
        Path(from_text(row.root)),
        row.owner,
        Who.of(row.readers["people"], row.readers["groups"]),
        Who.of(row.writers["people"], row.writers["groups"]),
        row.quota_bytes,
        row.state,
    )


def zone_view(
    server: str,
    row: zones.ZoneRow,
    zone: Zone,
    usage: zones.Usage | None,
    space: Room | None,
    allowed: Sequence[ZoneAct],
    notes: Sequence[str],
) -> ZoneView:
    """Put together what is known of a zone."""
    left = None if space is None else space.free
    if zone.quota_bytes is not None and usage is not None:
        rest = max(0, zone.quota_bytes - usage.bytes)
        left = rest if left is None else min(left, rest)
    return ZoneView(
        name=zone.name,
        kind=zone.kind,
        state=zone.state,
        owner=zone.owner,
        readers=_who(zone.readers),
        writers=_who(zone.writers),
        description=row.description,
        linux=printable(str(linux_path(zone)), 4096),
        windows=windows_path(server, zone),
        quota_bytes=zone.quota_bytes,
        usage=None if usage is None else usage_view(usage),
        quota_used=None if usage is None or not zone.quota_bytes else usage.bytes / zone.quota_bytes,
        free_bytes=left,
        total_bytes=None if space is None else space.total,
        made_at=row.made_at,
        archived_at=row.archived_at,
        may=list(allowed),
        notes=list(notes),
    )


def usage_view(usage: zones.Usage, *, unread: int = 0) -> UsageView:
    """Return a measurement as it is shown."""
    return UsageView(at=usage.at, bytes=usage.bytes, files=usage.files, unread=unread)


def folder_view(server: str, zone: Zone, within: PurePosixPath, listing: Listing) -> FolderView:
    """Return a folder as it is shown."""
    share = windows_path(server, zone)
    entries = [
        EntryView(
            name=to_text(entry.name),
            shown=printable(entry.name),
            kind=entry.kind,
            size=entry.size,
            mtime=entry.mtime_ns / 1e9,
            linux=printable(str(linux_path(zone, within / entry.name)), 8192),
            windows=printable(windows_path(server, zone, within / entry.name), 8192),
            trouble=windows_trouble(within / entry.name, share=share),
        )
        for entry in listing.entries
    ]
    return FolderView(
        zone=zone.name,
        path=to_text("" if within == PurePosixPath() else str(within)),
        linux=printable(str(linux_path(zone, within)), 8192),
        windows=printable(windows_path(server, zone, within), 8192),
        entries=entries,
        next=entries[-1].name if listing.more and entries else "",
    )


def _who(who: Who) -> WhoView:
    return WhoView(people=sorted(who.people), groups=sorted(who.groups))
