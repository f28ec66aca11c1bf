"""`passerelle shares …`: what Samba shows of zones, and to instrument PCs."""

from __future__ import annotations

import typer
from rich.markup import escape

from passerelle.cli import show
from passerelle.cli.sessions import Config, Json
from passerelle.core.errors import printable
from passerelle.service.access import this_account
from passerelle.service.wiring_people import opened, shares_of

app = typer.Typer(no_args_is_help=True, help="Shares: what Samba shows of zones, and to instrument PCs.")


@app.command()
def apply(config: Config = None, json: Json = False) -> None:
    """Write Samba's configuration and the firewall file, checked; running smbds follow, who may no longer is cut off."""
    with opened(config) as parts:
        applied = shares_of(parts).apply(this_account())
    if json:
        show.as_json(applied)
        return
    for path in applied.files:
        show.out.print(f"Wrote {escape(path)}.", soft_wrap=True, highlight=False)
    changed = ", ".join(applied.changed) or "none"
    show.out.print(f"{len(applied.shares)} shares; changed: {changed}; cut off: {', '.join(applied.cut_off) or 'nobody'}.")
    for note in applied.notes:
        show.err.print(f"[yellow]{escape(note)}[/]", soft_wrap=True)


@app.command()
def status(config: Config = None, json: Json = False) -> None:
    """Show who is connected to the shares, and which files are open."""
    with opened(config) as parts:
        found = shares_of(parts).status(this_account())
    if json:
        connections = [
            {"share": each.share, "account": each.account, "address": each.address, "pid": each.pid} for each in found.connections
        ]
        files = [{"path": printable(str(each.path), 4096), "pid": each.pid, "writing": each.writing} for each in found.open_files]
        show.as_json({"connections": connections, "open_files": files})
        return
    for each in found.connections:
        show.out.print(escape(f"{each.share}  {each.account}  {each.address}"), highlight=False)
    for each in found.open_files:
        show.out.print(escape(f"{'writes' if each.writing else 'reads'}  {printable(str(each.path), 4096)}"), highlight=False)


def register(root: typer.Typer) -> None:
    """Add the commands of this file."""
    root.add_typer(app, name="shares")
