"""`passerelle copy` and `passerelle verify`: a dataset from folder to folder, read back from the medium."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

from passerelle.cli import show
from passerelle.core.errors import printable
from passerelle.service import copy_folder
from passerelle.service.copy_folder import Told
from passerelle.transfer import Control, Copied, Verified

_INTERRUPTED = 130
_MOST_SHOWN = 20
_Done = TypeVar("_Done", Copied, Verified)


def copy(
    source: Annotated[Path, typer.Argument(help="Folder of a dataset; it is only read.")],
    target: Annotated[Path, typer.Argument(help="Folder that is to hold the same; made if it is not there.")],
    leg: Annotated[str, typer.Option(help="What this way is called in the manifest; default: SOURCE to TARGET.")] = "",
    also: Annotated[
        list[str] | None, typer.Option(help="A further digest for the manifest: md5, sha1, sha256, sha512; may be repeated.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, nothing else.")] = False,
) -> None:
    """Copy a dataset; each file is read back from the medium before it gets its name. Run it again to go on."""
    others = tuple(also or ())
    done = _watched(
        lambda control, told: copy_folder.copy_folder(source, target, leg=leg, also=others, control=control, told=told), json
    )
    _show(done, json, f"{done.files} files, {_size(done.bytes)}, verified in {printable(str(target))}")


def verify(
    folder: Annotated[Path, typer.Argument(help="Folder that `passerelle copy` has brought.")],
    manifest_of: Annotated[
        Path | None, typer.Option(help="Hold it against the manifest of this copy; so a source is checked before it is deleted.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, nothing else.")] = False,
) -> None:
    """Read a dataset back from the medium and hold it against its manifest; damage is named by file and block."""
    done = _watched(
        lambda control, told: copy_folder.verify_folder(folder, manifest_of=manifest_of, control=control, told=told), json
    )
    _show(done, json, f"{done.files} files, {_size(done.bytes)}, are as they were verified")


def _watched(verb: Callable[[Control, Told], _Done], quiet: bool) -> _Done:
    """Run a verb with a bar, so that Ctrl-C ends it cleanly."""
    control = Control()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: control.cancel())
    words = "{task.description} {task.fields[files]} files  {task.fields[rate]}  {task.fields[left]}"
    with Progress(TextColumn(words), BarColumn(), console=show.err, transient=True, disable=quiet) as bars:
        bar = bars.add_task("verified", total=None, files=0, rate="", left="")

        def told(now: copy_folder.Progress) -> None:
            left = "" if now.eta_seconds is None else f"about {show.duration(now.eta_seconds)} left"
            rate = f"{now.bytes_per_second * 8 / 1e9:.2f} Gbit/s"
            total = None if now.listing else now.known_bytes
            bars.update(bar, files=now.files, rate=rate, left=left, total=total, completed=now.bytes)

        return verb(control, told)


def _show(done: Copied | Verified, json: bool, words: str) -> None:
    if json:
        show.as_json(dict(copy_folder.report(done)))
    else:
        for problem in done.problems[:_MOST_SHOWN]:
            show.out.print(f"[red]{escape(printable(problem.message))}[/] [dim]{escape(problem.advice)}[/]", soft_wrap=True)
        for path, note in done.notes[:_MOST_SHOWN] if isinstance(done, Copied) else ():
            show.out.print(f"[yellow]{escape(printable(path))}:[/] {escape(note)}", soft_wrap=True)
        for path in done.unknown[:_MOST_SHOWN] if isinstance(done, Verified) else ():
            show.out.print(f"[yellow]{escape(printable(path))}:[/] is not in the manifest.", soft_wrap=True)
        show.out.print(f"{words}, after {show.duration(done.seconds)}. Manifest: {done.manifest_digest[:16]}…", soft_wrap=True)
    if error := copy_folder.first_error(done.problems):
        raise typer.Exit(error.exit_code)
    if done.cancelled:
        raise typer.Exit(_INTERRUPTED)


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(copy)
    app.command()(verify)
