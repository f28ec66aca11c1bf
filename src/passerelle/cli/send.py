"""`passerelle send` and `passerelle transfers …`: datasets on their way to zones, for a person or a machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Annotated

import typer
from rich import box
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from passerelle.cli import show
from passerelle.cli.sessions import Config, Json
from passerelle.core.errors import BadInput
from passerelle.core.states import TransferState
from passerelle.service.access import this_account
from passerelle.service.selections import SelectionKind
from passerelle.service.transfer_view import TransferView
from passerelle.service.transfers import Transfers
from passerelle.service.wiring_people import opened
from passerelle.service.wiring_transfers import datasets_of, transfers_of
from passerelle.store.paths import to_text

app = typer.Typer(no_args_is_help=True, help="Transfers: datasets on their way to zones, and what became of them.")

Number = Annotated[int, typer.Argument(help="Number of the transfer.")]
Watch = Annotated[bool, typer.Option("--watch", help="Stay and show how far it is, until it ends. Ctrl-C leaves it running.")]
_ENDS = {TransferState.DONE, TransferState.INCOMPLETE, TransferState.FAILED, TransferState.CANCELLED}
_LOOK_SECONDS = 0.5
_NOT_WHOLE = 74
_MOST_SHOWN = 20
_STYLE = {"done": "green", "running": "cyan", "incomplete": "yellow", "failed": "red"}


def send(
    dataset: Annotated[str, typer.Argument(help="Number of a session, INSTRUMENT/FOLDER, or the path of a folder.")],
    zone: Annotated[str, typer.Argument(help="Name of the zone.")],
    folder: Annotated[str, typer.Option(help="Folder in the zone; default: by instrument, date and name.")] = "",
    accepted: Annotated[bool, typer.Option("--accepted", help="Accepted movies only, and all that is no movie.")] = False,
    square: Annotated[list[str] | None, typer.Option(help="Movies of this grid square only; may be given again.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Copy what comes until the session is closed.")] = False,
    watch: Watch = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Send a dataset to a zone: the service copies it, reads each file back, and goes on after any interruption."""
    if accepted and square:
        raise BadInput("Either accepted movies or grid squares are chosen.", advice="Leave out --accepted or --square.")
    kind = SelectionKind.ACCEPTED if accepted else SelectionKind.SQUARES if square else SelectionKind.WHOLE
    actor = this_account()
    with opened(config) as parts:
        verbs = transfers_of(parts)
        chosen = datasets_of(parts).named(actor, dataset)
        made = verbs.send(actor, chosen, zone, folder=to_text(folder), kind=kind, squares=square or (), follow=follow)
        _end(_watched(verbs, made, json) if watch else made, json)


@app.command("list")
def list_transfers(
    person: Annotated[str | None, typer.Option(help="Those of this person only.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The latest so many.")] = 50,
    config: Config = None,
    json: Json = False,
) -> None:
    """List transfers, newest first."""
    with opened(config) as parts:
        found = transfers_of(parts).list(this_account(), person=person, limit=limit)
    show.as_json(found) if json else show.out.print(_table(found))


@app.command("show")
def show_transfer(number: Number, watch: Watch = False, config: Config = None, json: Json = False) -> None:
    """Show a transfer: how far it is, or what it came to."""
    with opened(config) as parts:
        verbs = transfers_of(parts)
        found = verbs.get(this_account(), number)
        _end(_watched(verbs, found, json) if watch else found, json)


@app.command()
def pause(number: Number, config: Config = None, json: Json = False) -> None:
    """Hold a transfer; what is verified stays."""
    _act(lambda verbs: verbs.pause(this_account(), number), config, json)


@app.command()
def resume(number: Number, config: Config = None, json: Json = False) -> None:
    """Let a held transfer go on when its turn comes."""
    _act(lambda verbs: verbs.resume(this_account(), number), config, json)


@app.command()
def cancel(number: Number, config: Config = None, json: Json = False) -> None:
    """End a transfer; what is verified stays in the zone."""
    _act(lambda verbs: verbs.cancel(this_account(), number), config, json)


@app.command()
def retry(number: Number, config: Config = None, json: Json = False) -> None:
    """Send again what is not there yet."""
    _act(lambda verbs: verbs.retry(this_account(), number), config, json)


@app.command()
def certificate(number: Number, config: Config = None, json: Json = False) -> None:
    """Show what a transfer has verified."""
    with opened(config) as parts:
        found = transfers_of(parts).certificate(this_account(), number)
    if json:
        show.as_json(found)
        return
    transfer = found.transfer
    for name, value in (
        ("facility", found.facility),
        ("for", transfer.person),
        ("from", found.source),
        ("to", found.target),
        ("what", transfer.selection_words),
        ("files", f"{transfer.files} ({transfer.bytes} bytes)"),
        ("leg", found.leg),
        ("ended", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(transfer.ended_at or 0))),
        ("manifest", f"BLAKE3 {transfer.manifest_digest}"),
    ):
        show.out.print(f"[bold]{name:9}[/] {escape(value)}", soft_wrap=True, highlight=False)


def _act(verb: Callable[[Transfers], TransferView], config: Config, json: bool) -> None:
    with opened(config) as parts:
        changed = verb(transfers_of(parts))
    show.as_json(changed) if json else _tell(changed)


def _watched(verbs: Transfers, view: TransferView, quiet: bool) -> TransferView:
    """Show how far a transfer is until it ends or somebody presses Ctrl-C."""
    actor, words = this_account(), "{task.description} {task.fields[files]} files  {task.fields[rate]}  {task.fields[left]}"
    with Progress(TextColumn(words), BarColumn(), console=show.err, transient=True, disable=quiet) as bars:
        bar = bars.add_task(view.state, total=None, files=0, rate="", left="")
        try:
            while view.state not in _ENDS:
                time.sleep(_LOOK_SECONDS)
                view = verbs.get(actor, view.id)
                left = "" if view.eta_seconds is None else f"about {show.duration(view.eta_seconds)} left"
                rate = f"{view.bytes_per_second * 8 / 1e9:.2f} Gbit/s" if view.state is TransferState.RUNNING else ""
                total = view.known_bytes if view.known_bytes and not view.listing else None
                shown = {"files": view.files, "rate": rate, "left": left}
                bars.update(bar, description=view.state, total=total, completed=view.bytes, **shown)
        except KeyboardInterrupt:
            pass
    return view


def _end(view: TransferView, json: bool) -> None:
    show.as_json(view) if json else _tell(view)
    if view.state in {TransferState.INCOMPLETE, TransferState.FAILED}:
        raise typer.Exit(_NOT_WHOLE)


def _tell(view: TransferView) -> None:
    style = _STYLE.get(view.state, "default")
    where = f"{escape(view.label)} to zone {escape(view.zone)}: {escape(view.linux)}"
    show.out.print(f"Transfer {view.id} is [{style}]{view.state}[/]: {where}", soft_wrap=True, highlight=False)
    if view.state is not TransferState.QUEUED:
        show.out.print(f"{view.files} files, {show.size(view.bytes)}, are verified there.", highlight=False)
    if view.ahead is not None:
        first = "it is the next" if not view.ahead else f"{view.ahead} are before it"
        show.out.print(f"It waits for its turn: {first}. `passerelle serve` runs transfers.")
    if view.error:
        show.out.print(f"[red]{escape(view.error)}[/] [dim]{escape(view.advice)}[/]", soft_wrap=True)
    for problem in view.problems[:_MOST_SHOWN]:
        show.out.print(f"[red]{escape(problem.message)}[/] [dim]{escape(problem.advice)}[/]", soft_wrap=True)
    if view.problem_count > _MOST_SHOWN:
        show.out.print(f"… and {view.problem_count - _MOST_SHOWN} more files that are not there.")
    for note in view.notes[:_MOST_SHOWN]:
        show.out.print(f"[yellow]{escape(note.path)}:[/] {escape(note.note)}", soft_wrap=True)
    if view.manifest_digest:
        show.out.print(f"Manifest: BLAKE3 {view.manifest_digest}", soft_wrap=True, highlight=False)


def _table(found: Iterable[TransferView]) -> Table:
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("id", "state", "person", "dataset", "zone"):
        table.add_column(heading, no_wrap=heading != "dataset", overflow="fold")
    for heading in ("files", "size", "Gbit/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for view in found:
        style = _STYLE.get(view.state, "dim")
        rate = f"{view.mean_bytes_per_second * 8 / 1e9:.2f}" if view.moved_bytes else "–"
        names = (escape(view.person), escape(view.label), escape(view.zone))
        table.add_row(str(view.id), f"[{style}]{view.state}[/]", *names, str(view.files), show.size(view.bytes), rate)
    return table


def register(main: typer.Typer) -> None:
    """Add the commands of this file."""
    main.command()(send)
    main.add_typer(app, name="transfers")
