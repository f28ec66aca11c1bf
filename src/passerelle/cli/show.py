"""Values to what a person reads in a terminal, or to JSON where a machine reads."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from passerelle.core.errors import PasserelleError, printable
from passerelle.core.states import MovieState
from passerelle.processing import BY_NAME
from passerelle.service.process_folder import Processed
from passerelle.service.view import MovieRow, SessionView

out = Console()
err = Console(stderr=True)

# name -> heading: what is read first, in headings that fit a terminal of 80 columns
SHOWN_METRICS = {
    "defocus_angstrom": "defocus µm",
    "ctf_resolution_angstrom": "CTF fit Å",
    "total_motion_angstrom": "motion Å",
    "contamination_percent": "contam. %",
}
_NUMBERS_WIDTH = 66
_COUNTS_WIDTH = 66
_STYLE = {"accept": "green", "warn": "yellow", "reject": "red"}


def as_json(value: BaseModel | Sequence[BaseModel] | dict[str, Any]) -> None:
    """Print one JSON document on standard output."""
    if isinstance(value, BaseModel):
        plain: Any = value.model_dump(mode="json")
    elif isinstance(value, dict):
        plain = value
    else:
        plain = [each.model_dump(mode="json") for each in value]
    out.print_json(json.dumps(plain))


def error(problem: PasserelleError) -> None:
    """Print an error and what to do about it on standard error."""
    where = f"{escape(printable(problem.path))}: " if problem.path else ""
    err.print(f"[bold red]error:[/] {where}{escape(problem.message)}", soft_wrap=True)
    if problem.advice:
        err.print(f"[dim]→ {escape(problem.advice)}[/]", soft_wrap=True)


def metric_text(name: str, value: float | None) -> str:
    """Return a metric in the unit that pages show, or a dash."""
    if value is None:
        return "–"
    metric = BY_NAME[name]
    return f"{value * metric.scale:.{metric.digits}f}"


def duration(seconds: float) -> str:
    """Return a time as a person says it: 8 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def instant(at: float) -> str:
    """Return an instant by this machine's clock: 2026-11-28 23:59."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def size(count: int) -> str:
    """Return bytes as a person says them: 512 B, 1.5 MiB, 20.0 TiB."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} PiB"


def problems(processed: Processed) -> None:
    """Print what a person should know beside the table: conflicts between sources, alerts."""
    for session in processed.sessions:
        for alert in session.alerts:
            out.print(f"[yellow]{escape(printable(session.name))}:[/] {escape(alert.message)} [dim]{escape(alert.advice)}[/]")
        for conflict in session.conflicts:
            said = ", ".join(f"{source}: {value}" for source, value in conflict.get("said", {}).items())
            words = f"{conflict.get('name')} differs ({said}); used: {conflict.get('used')}"
            out.print(f"[yellow]{escape(printable(session.name))}:[/] {escape(words)}")


def errors(rows: Iterable[MovieRow], *, most: int = 20) -> None:
    """Print why movies have no result, and what to do."""
    told = [row for row in rows if row.error]
    for row in told[:most]:
        out.print(
            f"[red]{escape(printable(row.name))}:[/] {escape(row.error or '')} [dim]{escape(row.advice or '')}[/]", soft_wrap=True
        )
    if len(told) > most:
        out.print(f"… and {len(told) - most} more; --json lists all.")


def reasons(rows: Iterable[MovieRow], *, most: int = 20) -> None:
    """Print why micrographs were marked or rejected, where that is not a person's choice."""
    told = [row for row in rows if row.reasons and row.chosen is None and row.state is MovieState.DONE]
    for row in told[:most]:
        name = _shortened(printable(row.name), max(out.width - _NUMBERS_WIDTH, 12))
        words = "; ".join(reason.rstrip(".") for reason in row.reasons)
        out.print(f"[{_STYLE[row.verdict or 'warn']}]{escape(name)}:[/] {escape(words)}", soft_wrap=True)
    if len(told) > most:
        out.print(f"… and {len(told) - most} more; --json lists all.")


def movies_table(rows: Iterable[MovieRow]) -> Table:
    """Return the summary table of movies: verdict and the numbers that are read first."""
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("movie", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for heading in SHOWN_METRICS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    room = max(out.width - _NUMBERS_WIDTH, 12)
    for row in rows:
        verdict = row.chosen or row.verdict
        word = verdict.value if verdict else "not whole" if row.state is MovieState.FOUND and row.error else row.state.value
        colour = _STYLE.get(word, "red" if word == "failed" else "dim")
        numbers = [metric_text(name, row.metrics.get(name)) for name in SHOWN_METRICS]
        table.add_row(escape(_shortened(printable(row.name), room)), f"[{colour}]{word}[/]", *numbers)
    return table


def _shortened(name: str, room: int) -> str:
    """Cut the middle out: what tells the movies of a session apart stands at the end of their names."""
    return name if len(name) <= room else f"{name[: room // 3]}…{name[len(name) - room + room // 3 + 1 :]}"


def sessions_table(sessions: Iterable[SessionView]) -> Table:
    """Return one line a session: where it is, and how many movies are where."""
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("id", "session"):
        table.add_column(heading, no_wrap=True)
    for heading in ("found", "to do", "accept", "warn", "reject", "failed", "per h"):
        table.add_column(heading, justify="right", no_wrap=True)
    room = max(out.width - _COUNTS_WIDTH, 12)
    for session in sessions:
        count = session.counters
        table.add_row(
            str(session.id),
            escape(_shortened(printable(session.name), room)),
            *(str(number) for number in (count.found, count.queued + count.waiting + count.running)),
            *(str(number) for number in (count.accepted, count.warned, count.rejected, count.failed)),
            f"{session.flow.processed_per_hour:.0f}",
        )
    return table
