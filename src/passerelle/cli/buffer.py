"""`passerelle buffer …`: how full gateway folders are, what may go, and let it go."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from passerelle.cli import show
from passerelle.cli.sessions import Config, Json
from passerelle.core.errors import printable
from passerelle.service.access import this_account
from passerelle.service.buffer_view import PlanView, PurgeView
from passerelle.service.checks_service import buffer_level, buffer_words
from passerelle.service.housekeeping import buffer_of
from passerelle.service.wiring_people import opened

app = typer.Typer(
    no_args_is_help=False, invoke_without_command=True, help="The gateway's disk: how full, what may go, let it go."
)

Instrument = Annotated[str | None, typer.Option(help="Of this instrument only.")]
DatasetOf = Annotated[str | None, typer.Option(help="Of this dataset only, as `plan` names it.")]
_MOST_REASONS = 3
_MOST_SHOWN = 20
_STYLE = {"well": "green", "warning": "yellow", "error": "red"}


@app.callback()
def status(context: typer.Context, config: Config = None, json: Json = False) -> None:
    """Show how full gateway folders are, how fast they fill, and when the stop line is reached."""
    if context.invoked_subcommand is not None:
        return
    with opened(config) as parts:
        found = buffer_of(parts).state()
        settings = parts.settings
    if json:
        show.as_json(found)
        return
    for view in found:
        level = buffer_level(view, settings.buffer, settings.alerts.disk_warn_percent)
        show.out.print(
            f"[{_STYLE[level]}]●[/] {escape(view.instrument)}  {escape(buffer_words(view))}", highlight=False, soft_wrap=True
        )
    if not found:
        show.out.print("No instrument's folder can be looked at.")


@app.command()
def plan(instrument: Instrument = None, dataset: DatasetOf = None, config: Config = None, json: Json = False) -> None:
    """Show what may go and why the rest may not; this is the dry run that a purge asks for."""
    with opened(config) as parts:
        found = buffer_of(parts).dry_run(this_account(), instrument=instrument, dataset=dataset)
    if json:
        show.as_json(found)
    else:
        _show_plan(found)


@app.command()
def purge(
    digest: Annotated[str, typer.Argument(help="Of the dry run, as `passerelle buffer plan` prints it.")],
    instrument: Instrument = None,
    dataset: DatasetOf = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Delete what a dry run of the last hour has shown; each file is read again, and its copies looked at, before it goes."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with opened(config) as parts:
        done = buffer_of(parts).purge(this_account(), digest, instrument=instrument, dataset=dataset, stop=stop)
    if json:
        show.as_json(done)
    else:
        _show_purge(done)


@app.command()
def purged(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="So many at most.")] = 50, config: Config = None, json: Json = False
) -> None:
    """Show what was deleted, latest first, and where its copies lie."""
    with opened(config) as parts:
        found = buffer_of(parts).history(this_account(), limit=limit)
    if json:
        show.as_json(found)
        return
    for each in found:
        places = ", ".join(str(copy["folder"]) for copy in each.copies) or "–"
        words = (
            f"{show.instant(each.at)}  {each.state:<8} {show.size(each.size):>10}  {printable(each.path)}  → {printable(places)}"
        )
        show.out.print(escape(words), highlight=False, soft_wrap=True)
    if not found:
        show.out.print("Nothing was ever purged.")


def _show_plan(found: PlanView) -> None:
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("instrument", "dataset"):
        table.add_column(heading, overflow="fold")
    for heading in ("files", "size", "may go"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("why not, and copies", overflow="fold")
    for each in found.datasets:
        words = [f"{_files(reason.files)}: {reason.words}" for reason in each.reasons[:_MOST_REASONS]]
        words += [
            f"Copy in zone {copy.zone}: {copy.folder}{f' ({copy.problem})' if copy.problem else ''}" for copy in each.copies
        ]
        words += [each.problem] if each.problem else []
        table.add_row(
            escape(each.instrument),
            escape(printable(each.dataset or ".")),
            str(each.files),
            show.size(each.bytes),
            show.size(each.go_bytes) if each.go_files else "–",
            escape(printable("\n".join(words), 2000).replace("\\n", "\n")),
        )
    show.out.print(table)
    show.out.print(f"Rule: {found.rule}.")
    if not found.files:
        show.out.print("Nothing may go now.")
        return
    show.out.print(f"{_files(found.files)}, {show.size(found.bytes)}, may go. To delete them within the next hour:")
    show.out.print(f"  passerelle buffer purge {found.digest}", soft_wrap=True, highlight=False)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _show_purge(done: PurgeView) -> None:
    for words in done.kept[:_MOST_SHOWN]:
        show.out.print(f"[yellow]stays:[/] {escape(printable(words, 600))}", soft_wrap=True, highlight=False)
    show.out.print(
        f"{done.files} files, {show.size(done.bytes)}, and {done.folders} empty folders deleted; {done.kept_files} files stay."
    )
    if done.stopped:
        show.out.print("It was stopped; run it again, after another dry run, to go on.")


def register(root: typer.Typer) -> None:
    """Add the commands of this file."""
    root.add_typer(app, name="buffer")
