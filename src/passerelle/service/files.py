"""The verbs on files of zones, and of instruments' folders on the gateway: look through, see previews, download."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from passerelle.core.errors import BadInput, NotFound, printable, storage_errors
from passerelle.service import access
from passerelle.service.access import Actor, Power
from passerelle.service.audit import acting
from passerelle.service.file_view import Crumb, DatasetView, FileView, LeafEntry, LeafView, ProofView
from passerelle.service.instrument_access import sight
from passerelle.service.previews import Preview, Previews
from passerelle.service.proofs import Dataset, Proof, Proofs
from passerelle.service.settings import Settings
from passerelle.service.text_lines import READ_BYTES, first_lines
from passerelle.service.zone_view import zone_of
from passerelle.service.zones import Zones
from passerelle.store import Database, zones
from passerelle.store.paths import from_text, to_text
from passerelle.zones import (
    Entry,
    Order,
    ZoneAct,
    bundle,
    leaf_through,
    may,
    open_file,
    open_folder,
    relative_path,
    windows_path,
    windows_trouble,
)

MOST_ENTRIES = 1000
_TOP = PurePosixPath()
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class AreaKind(StrEnum):
    """Where files are looked at."""

    ZONE = "zone"
    INSTRUMENT = "instrument"  # its folder on the gateway


@dataclass(frozen=True, slots=True)
class Area:
    """A root that a person may read. windows: how Windows writes it; empty where people do not reach it from there."""

    kind: AreaKind
    name: str
    root: Path
    windows: str
    writable: bool

    def on_windows(self, within: PurePosixPath) -> str:
        """Return a place as Windows writes it; empty where it is not reached."""
        return "\\".join([self.windows, *within.parts]) if self.windows else ""


class Files:
    """What lies in zones and on the gateway."""

    def __init__(self, database: Database, settings: Settings, verbs: Zones, previews: Previews) -> None:
        self._database, self._settings, self._zones, self._previews = database, settings, verbs, previews
        self._proofs = Proofs()

    def folder(
        self,
        actor: Actor,
        kind: AreaKind,
        name: str,
        path: str = "",
        *,
        order: Order = Order.NAME,
        descending: bool = False,
        first: int = 0,
        limit: int = 200,
    ) -> LeafView:
        """Return a page of a sorted folder. path: as views carry it.

        Raises:
            NotFound: no such area or folder, or the person may not see it. NotAllowed: the person may not look inside.
            BadInput: the path leads elsewhere.
        """
        area, within = self._area(actor, kind, name), _within(path)
        limit = min(max(limit, 1), MOST_ENTRIES)
        leaf = leaf_through(area.root, within, order=order, descending=descending, first=max(first, 0), limit=limit)
        dataset, proofs = self._proofs.of(area.root, within, leaf.entries)
        return LeafView(
            area=name,
            path=_carried(within),
            crumbs=_crumbs(within),
            linux=printable(str(area.root / within), 8192),
            windows=printable(area.on_windows(within), 8192),
            entries=[_entry(area, within, entry, proofs.get(entry.name)) for entry in leaf.entries],
            first=leaf.first,
            total=leaf.total,
            order=leaf.order,
            descending=descending,
            dataset=_dataset(dataset),
            writable=area.writable,
        )

    def file(self, actor: Actor, kind: AreaKind, name: str, path: str) -> FileView:
        """Return what is known of a file, and its first lines where it is a text; errors as `folder`."""
        area, within = self._area(actor, kind, name), _within(path)
        with open_file(area.root, within) as descriptor:
            status = os.fstat(descriptor)
            with storage_errors(area.root / within):
                lines = first_lines(os.pread(descriptor, READ_BYTES, 0))
        entry = Entry(within.name, "file", status.st_size, status.st_mtime_ns)
        dataset, proofs = self._proofs.of(area.root, within.parent, [entry])
        return FileView(
            area=name,
            folder=_carried(within.parent),
            path=_carried(within),
            crumbs=_crumbs(within.parent),
            entry=_entry(area, within.parent, entry, proofs.get(within.name)),
            dataset=_dataset(dataset),
            lines=lines,
        )

    def is_folder(self, actor: Actor, kind: AreaKind, name: str, path: str) -> bool:
        """Say whether a path is a folder; errors as `folder`."""
        area, within = self._area(actor, kind, name), _within(path)
        if within == _TOP:
            return True
        try:
            with open_folder(area.root, within):
                return True
        except NotFound:
            with open_file(area.root, within):
                return False

    def preview(self, actor: Actor, kind: AreaKind, name: str, path: str) -> Future[Preview]:
        """Return what will be the preview of a file; errors as `folder`.

        Raises:
            Busy: very many previews are waited for.
        """
        area, within = self._area(actor, kind, name), _within(path)
        with open_file(area.root, within) as descriptor:
            return self._previews.of(area.root, within, descriptor)

    @contextmanager
    def download(self, actor: Actor, kind: AreaKind, name: str, path: str) -> Generator[int]:
        """Open a file for reading and yield its descriptor; the audit log tells of it. Errors as `folder`."""
        with acting(self._database, actor, "file_download", f"{kind}:{name}") as deed:
            deed.data = {"path": path}
            area = self._area(actor, kind, name)
            opened = open_file(area.root, _within(path))
            descriptor = opened.__enter__()
        try:
            yield descriptor
        finally:
            opened.__exit__(None, None, None)

    def bundle(self, actor: Actor, kind: AreaKind, name: str, path: str, items: Sequence[str]) -> Iterator[bytes]:
        """Return some files and folders of a folder (all of it, where none is named) as a ZIP file; the audit log tells of it.

        items: names in the folder, as views carry them.

        Raises:
            BadInput: nothing, or too much, to be sent in one go. NotFound, NotAllowed: as `folder`.
        """
        with acting(self._database, actor, "file_bundle", f"{kind}:{name}") as deed:
            deed.data = {"path": path, "items": list(items[:100])}
            area, within = self._area(actor, kind, name), _within(path)
            chosen = [within / _single(item) for item in items] or [within]
            above = within if items else within.parent
            packed = bundle(area.root, chosen, above=above)
            deed.data |= {"files": len(packed.files), "bytes": packed.bytes}
        return packed.write()

    def close(self) -> None:
        """End the processes that make previews."""
        self._previews.close()

    # -- within --

    def _area(self, actor: Actor, kind: AreaKind, name: str) -> Area:
        if kind is AreaKind.ZONE:
            zone = self._zones.zone(actor, ZoneAct.READ, name)
            writable = may(actor.visitor, ZoneAct.WRITE, zone).allowed
            return Area(kind, zone.name, zone.root, windows_path(self._zones.server, zone), writable)
        access.require(actor, Power.LOOK)
        folders = {key: each.folder for key, each in self._settings.instruments.items()}
        with self._database.read() as connection:
            known = [zone_of(row) for row in zones.every(connection)]
        if name not in folders or not sight(actor, folders, known).has(name):
            raise NotFound(f"There is no instrument `{printable(name, 80)}`.")
        return Area(kind, name, folders[name], "", writable=False)


def _within(path: str) -> PurePosixPath:
    """Return the path that a face carried (`store.paths`)."""
    return relative_path(str(from_text(path))) if path.strip("/") else _TOP


def _single(item: str) -> PurePosixPath:
    path = _within(item)
    if len(path.parts) != 1:
        raise BadInput(f"`{printable(item, 80)}` is not the name of something in this folder.", advice="Reload the page.")
    return path


def _carried(within: PurePosixPath | str) -> str:
    """Return a path or name as `store.paths` carries it, control characters as %XX, too: forms and addresses change line ends."""
    return "" if within == _TOP else _CONTROL.sub(lambda found: f"%{ord(found.group()):02X}", to_text(within))


def _crumbs(within: PurePosixPath) -> list[Crumb]:
    places = [PurePosixPath(*within.parts[: depth + 1]) for depth in range(len(within.parts))]
    return [Crumb(shown=printable(place.name), path=_carried(place)) for place in places]


def _entry(area: Area, within: PurePosixPath, entry: Entry, proof: Proof | None) -> LeafEntry:
    place = within / entry.name
    return LeafEntry(
        name=_carried(entry.name),
        shown=printable(entry.name),
        kind=entry.kind,
        size=entry.size,
        mtime=entry.mtime_ns / 1e9,
        linux=printable(str(area.root / place), 8192),
        windows=printable(area.on_windows(place), 8192),
        trouble=windows_trouble(place, share=area.windows) if area.windows else "",
        proof=None if proof is None else ProofView(state=proof.state, at=proof.at, leg=proof.leg, digest=proof.digest),
    )


def _dataset(found: Dataset | None) -> DatasetView | None:
    if found is None:
        return None
    return DatasetView(
        path=_carried(found.within),
        files=found.files,
        bytes=found.bytes,
        digest=found.digest,
        legs=list(found.legs),
        trouble=found.trouble,
    )
