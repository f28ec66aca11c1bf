"""`passerelle zones …`: places on central storage, for a person or a machine."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from passerelle.cli import show
from passerelle.cli.sessions import Config, Json
from passerelle.service.access import this_account
from passerelle.service.wiring_people import opened, zones_of
from passerelle.service.zone_view import ZoneView
from passerelle.store.paths import to_text
from passerelle.zones import Relation, Who, ZoneKind, size_bytes

app = typer.Typer(no_args_is_help=True, help="Zones: places on central storage with an owner, readers, writers and a quota.")

Name = Annotated[str, typer.Argument(help="Name of the zone.")]
Readers = Annotated[list[str] | None, typer.Option("--reader", help="A person who may read, or @GROUP; may be given again.")]
Writers = Annotated[list[str] | None, typer.Option("--writer", help="The same for writing.")]
Quota = Annotated[str | None, typer.Option(help="The most it may hold: 500GB, 2TB, 2TiB; none takes it away.")]
Description = Annotated[str | None, typer.Option(help="What it is for.")]


@app.command("list")
def list_zones(config: Config = None, json: Json = False) -> None:
    """List the zones: whose they are, what they hold, what is free."""
    with opened(config) as parts:
        found = zones_of(parts).list(this_account())
    show.as_json(found) if json else show.out.print(_table(found))


@app.command()
def create(
    name: Name,
    owner: Annotated[str, typer.Option(help="The person whose zone it is.")],
    kind: Annotated[ZoneKind, typer.Option(help="What it is for.")] = ZoneKind.PERSONAL,
    root: Annotated[Path | None, typer.Option(help="Its folder; default: one of its name in zones.folder.")] = None,
    reader: Readers = None,
    writer: Writers = None,
    quota: Quota = None,
    description: Description = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Make a zone with its folder; files there get the rights that follow from readers and writers."""
    with opened(config) as parts:
        made = zones_of(parts).create(
            this_account(),
            name,
            kind=kind,
            owner=owner,
            root=None if root is None else root.absolute(),
            readers=_who(reader),
            writers=_who(writer),
            quota_bytes=_bytes(quota),
            description=description or "",
        )
    _show(made, json)


@app.command()
def change(
    name: Name,
    owner: Annotated[str | None, typer.Option(help="The person whose zone it becomes.")] = None,
    reader: Readers = None,
    writer: Writers = None,
    no_readers: Annotated[bool, typer.Option("--no-readers", help="Take all readers away.")] = False,
    no_writers: Annotated[bool, typer.Option("--no-writers", help="Take all writers away.")] = False,
    quota: Quota = None,
    description: Description = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Change a zone; readers and writers that are given take the place of all before. Files and shares follow at once."""
    with opened(config) as parts:
        changed = zones_of(parts).change(
            this_account(),
            name,
            owner=owner,
            readers=_who(reader) if reader or no_readers else None,
            writers=_who(writer) if writer or no_writers else None,
            quota_bytes=_bytes(quota),
            no_quota=quota == "none",
            description=description,
        )
    _show(changed, json)


@app.command()
def relate(
    name: Name,
    whom: Annotated[str, typer.Argument(help="A person, or @GROUP.")],
    relation: Annotated[Relation, typer.Argument(help="reader, writer, or stranger: let out again.")],
    config: Config = None,
    json: Json = False,
) -> None:
    """Make one person or group a reader or a writer of a zone, or a stranger again; all others stay what they are."""
    with opened(config) as parts:
        _show(zones_of(parts).set_relation(this_account(), name, whom, relation), json)


@app.command()
def archive(name: Name, config: Config = None, json: Json = False) -> None:
    """Keep a zone as it is: read as before, written by nobody."""
    with opened(config) as parts:
        _show(zones_of(parts).archive(this_account(), name), json)


@app.command()
def activate(name: Name, config: Config = None, json: Json = False) -> None:
    """Take an archived zone into use again."""
    with opened(config) as parts:
        _show(zones_of(parts).activate(this_account(), name), json)


@app.command()
def measure(name: Name, config: Config = None, json: Json = False) -> None:
    """Count what lies in a zone, and keep it in the zone's history."""
    with opened(config) as parts:
        usage = zones_of(parts).measure(this_account(), name)
    show.as_json(usage) if json else show.out.print(f"{show.size(usage.bytes)} in {usage.files} files")


@app.command()
def history(name: Name, config: Config = None, json: Json = False) -> None:
    """Show what was done with a zone, and how it grew."""
    with opened(config) as parts:
        found = zones_of(parts).history(this_account(), name)
    if json:
        show.as_json(found)
        return
    for event in found.events:
        show.out.print(f"{_day(event.at)}  {event.act}  {escape(event.person)}  {event.result}")
    for usage in found.usage:
        show.out.print(f"{_day(usage.at)}  {show.size(usage.bytes)} in {usage.files} files")


@app.command()
def browse(
    name: Name,
    path: Annotated[str, typer.Argument(help="A folder within the zone.")] = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """List a folder of a zone that this account may read, with the paths for Linux and Windows."""
    actor = this_account()
    with opened(config) as parts:
        folder = zones_of(parts).browse(actor, name, to_text(path), limit=5000)
    if json:
        show.as_json(folder)
        return
    show.out.print(f"{escape(folder.linux)}   {escape(folder.windows)}", soft_wrap=True, highlight=False)
    for entry in folder.entries:
        trouble = f"  [yellow]{escape(entry.trouble)}[/]" if entry.trouble else ""
        size = show.size(entry.size) if entry.kind == "file" else entry.kind
        show.out.print(f"{_day(entry.mtime)}  {size:>10}  {escape(entry.shown)}{trouble}", soft_wrap=True, highlight=False)
    if folder.next:
        show.out.print("… and more; --json tells where to go on.")


@app.command()
def repair(
    name: Name,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only count what is not as it must be.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Bring the rights of all files of a zone to what they must be."""
    with opened(config) as parts:
        settled = zones_of(parts).repair(this_account(), name, dry=dry)
    if json:
        show.as_json({"seen": settled.seen, "changed": settled.changed, "left": list(settled.left), "dry": dry})
        return
    show.out.print(f"{settled.changed} of {settled.seen} files and folders {'are not as they must be' if dry else 'changed'}.")
    for left in settled.left:
        show.out.print(f"[yellow]left:[/] {escape(left)}", soft_wrap=True)


def _who(names: Iterable[str] | None) -> Who:
    given = list(names or ())
    return Who.of(
        [name for name in given if not name.startswith("@")], [name.removeprefix("@") for name in given if name.startswith("@")]
    )


def _bytes(text: str | None) -> int | None:
    return None if text is None or text == "none" else size_bytes(text)


def _show(zone: ZoneView, json: bool) -> None:
    if json:
        show.as_json(zone)
        return
    show.out.print(_table([zone]))
    for note in zone.notes:
        show.err.print(f"[yellow]{escape(note)}[/]", soft_wrap=True)


def _table(found: Iterable[ZoneView]) -> Table:
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("zone", "kind", "owner", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("used", "quota", "free"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("folder", overflow="fold")
    for zone in found:
        table.add_row(
            zone.name,
            zone.kind,
            escape(zone.owner),
            zone.state,
            "–" if zone.usage is None else show.size(zone.usage.bytes),
            "–" if zone.quota_bytes is None else show.size(zone.quota_bytes),
            "–" if zone.free_bytes is None else show.size(zone.free_bytes),
            escape(zone.linux),
        )
    return table


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def register(root: typer.Typer) -> None:
    """Add the commands of this file."""
    root.add_typer(app, name="zones")
