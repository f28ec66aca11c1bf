"""Values to what a person reads in a terminal, or to JSON where a machine reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from passerelle.core.errors import PasserelleError, printable
from passerelle.processing import BY_NAME
from passerelle.service.view import MovieRow, SessionView

out = Console()
err = Console(stderr=True)

SHOWN_METRICS = (
    "defocus_angstrom",
    "astigmatism_angstrom",
    "ctf_resolution_angstrom",
    "total_motion_angstrom",
    "contamination_percent",
)
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


def movies_table(rows: Iterable[MovieRow]) -> Table:
    """Return the summary table of movies: verdict and the numbers that are read first."""
    table = Table(title=None, header_style="bold", pad_edge=False)
    table.add_column("movie", overflow="fold", ratio=3)
    table.add_column("verdict")
    for name in SHOWN_METRICS:
        metric = BY_NAME[name]
        unit = metric.shown_unit or metric.unit
        table.add_column(f"{metric.label}{f', {unit}' if unit else ''}", justify="right")
    for row in rows:
        verdict = row.chosen or row.verdict
        word = verdict.value if verdict else row.state.value
        colour = _STYLE.get(word, "red" if word == "failed" else "dim")
        numbers = [metric_text(name, row.metrics.get(name)) for name in SHOWN_METRICS]
        table.add_row(escape(printable(row.name)), f"[{colour}]{word}[/]", *numbers)
    return table


def sessions_table(sessions: Iterable[SessionView]) -> Table:
    """Return one line a session: where it is, and how many movies are where."""
    table = Table(header_style="bold", pad_edge=False)
    for name in ("id", "session", "instrument", "state"):
        table.add_column(name, overflow="fold")
    for name in ("found", "queued", "running", "accepted", "warned", "rejected", "failed", "movies/h"):
        table.add_column(name, justify="right")
    for session in sessions:
        count = session.counters
        table.add_row(
            str(session.id),
            escape(printable(session.name)),
            escape(session.instrument),
            session.state.value,
            *(str(number) for number in (count.found, count.queued + count.waiting, count.running)),
            *(str(number) for number in (count.accepted, count.warned, count.rejected, count.failed)),
            f"{session.flow.processed_per_hour:.0f}",
        )
    return table
