"""`passerelle simulate`: microscopes that can be trusted write into a folder."""

from __future__ import annotations

import signal
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from passerelle.cli import show
from passerelle.core.errors import printable
from passerelle.service.simulate import replay_session, simulate_session


def simulate(
    folder: Annotated[Path, typer.Argument(help="Gateway folder; each instrument writes into a folder of its own inside.")],
    plan: Annotated[
        Path | None,
        typer.Option(help="TOML file with a table `instruments` a microscope; the other options are for the demo's plan."),
    ] = None,
    movies: Annotated[int | None, typer.Option(min=1, help="Movies of each instrument; without it: until Ctrl-C.")] = None,
    movies_per_hour: Annotated[
        float, typer.Option(min=0, help="Exposures an hour of each instrument; 0: as fast as it can.")
    ] = 120,
    size: Annotated[int | None, typer.Option(min=64, max=8192, help="Side of the frames, pixels.")] = 2048,
    truth: Annotated[
        Path | None, typer.Option(help="Where the true motion, gain and defocus go; default: beside FOLDER.")
    ] = None,
    offline: Annotated[bool, typer.Option(help="Do not fetch the real micrographs; phantoms take their place.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write sessions as EPU (Falcon) and SerialEM (K2) would, with known motion, dose, gain and defects."""
    stop = _stop_by_signal()
    written = simulate_session(
        folder,
        plan_file=plan,
        movies=movies,
        movies_per_hour=movies_per_hour,
        size_px=size,
        offline=offline,
        truth=truth,
        stop=stop,
        told=None if json else lambda one: show.out.print(f"{one.instrument}: {one.movie} {one.fault and f'({one.fault})'}"),
    )
    if json:
        show.as_json({"movies": written})


def replay(
    source: Annotated[Path, typer.Argument(help="Folder of a past session; it is only read.")],
    folder: Annotated[Path, typer.Argument(help="Where its files appear again, in their own order and time.")],
    speed: Annotated[float, typer.Option(min=0, help="So many times as fast; 0: without pauses.")] = 1.0,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write a past session's files again as they came, to try a facility or to show it."""
    stop = _stop_by_signal()
    told = None if json else lambda one: show.out.print(printable(str(one.path)), highlight=False, markup=False)
    written = replay_session(source, folder, speed=speed, stop=stop, told=told)
    if json:
        show.as_json({"files": written})


def _stop_by_signal() -> Event:
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(simulate)
    app.command()(replay)
