"""`passerelle recompress`: raw MRC movies as compressed TIFF beside them, proven bit by bit."""

from __future__ import annotations

import signal
from pathlib import Path
from threading import Event
from typing import Annotated, Literal

import typer
from rich.markup import escape

from passerelle.cli import show
from passerelle.core.errors import printable
from passerelle.service import recompress as service

_INTERRUPTED = 130


def recompress(
    place: Annotated[Path, typer.Argument(help="An MRC movie, or a folder of them.")],
    method: Annotated[
        Literal["deflate", "lzw"], typer.Option(help="both are about as fast; lzw makes smaller files of counts.")
    ] = "deflate",
    remove_original: Annotated[
        bool, typer.Option("--remove-original", help="Remove a movie when its copy is proven and no process has it open.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, nothing else.")] = False,
) -> None:
    """Write raw MRC movies as compressed TIFF beside them; each is read back and compared. Run it again to go on."""
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    outcomes = service.recompress(
        place, method=method, remove_original=remove_original, stop=stop, told=_nothing if json else _tell
    )
    done = [each for each in outcomes if each.state == "recompressed"]
    before, after = sum(each.original_bytes for each in done), sum(each.target_bytes for each in done)
    if json:
        show.as_json({"movies": [each.as_json() for each in outcomes], "original_bytes": before, "target_bytes": after})
    else:
        words = f"{len(done)} movies: {before / 1e9:.2f} GB became {after / 1e9:.2f} GB; {_count(outcomes)} originals removed."
        show.out.print(words, soft_wrap=True)
    failed = next((each.error for each in outcomes if each.error is not None), None)
    if failed is not None:
        raise typer.Exit(failed.exit_code)
    if stop.is_set():
        raise typer.Exit(_INTERRUPTED)


def _count(outcomes: list[service.Outcome]) -> int:
    return sum(each.removed for each in outcomes)


def _nothing(outcome: service.Outcome) -> None:
    pass


def _tell(outcome: service.Outcome) -> None:
    if outcome.state == "recompressed":
        ratio = outcome.original_bytes / max(outcome.target_bytes, 1)
        gone = ", original removed" if outcome.removed else ""
        words = f"{escape(printable(outcome.target))}: {ratio:.1f} × smaller{gone}. {escape(outcome.words)}"
        show.out.print(words.strip(), soft_wrap=True)
    else:
        show.out.print(f"[yellow]{outcome.state}:[/] {escape(outcome.words)}", soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(recompress)
