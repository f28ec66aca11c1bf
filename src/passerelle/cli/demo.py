"""`passerelle demo`: a simulated Krios with two cameras, processed live. What `make demo` runs."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from passerelle.cli import show
from passerelle.cli.serve import running
from passerelle.core.atomic import write_text
from passerelle.core.errors import BadInput, PasserelleError, StorageError, storage_errors
from passerelle.core.states import MovieState
from passerelle.service.access import this_account
from passerelle.service.facility import Facility
from passerelle.service.settings import read_settings
from passerelle.service.simulate import simulate_session

_MARK = ".passerelle-demo"
_CONFIG = """\
# Written by `passerelle demo`; `passerelle init` writes one with every setting explained.
facility = "Demonstration: a simulated Krios"

[instruments.krios1-falcon]
folder = "gateway/krios1-falcon"
camera = "Falcon"
spherical_aberration_mm = 2.7

[instruments.krios1-k2]
folder = "gateway/krios1-k2"
camera = "K2 Summit"
spherical_aberration_mm = 2.7
voltage_kv = 300.0

[work]
executor = "parsl"
"""


def demo(
    folder: Annotated[Path, typer.Option(help="Where it writes; an earlier demo there is removed.")] = Path("demo"),
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page where there is a browser.")] = True,
    exit_after_movies: Annotated[int | None, typer.Option(min=1, help="End by itself after so many movies.")] = None,
    movies: Annotated[int, typer.Option(min=1, help="Movies of each camera; then the page stays.")] = 12,
    movies_per_hour: Annotated[float, typer.Option(min=0, help="Exposures an hour of each camera; 0: as fast as it can.")] = 120,
    size: Annotated[int, typer.Option(min=256, max=4096, help="Side of the frames, pixels.")] = 3072,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0: any free one.")] = 0,
    offline: Annotated[bool, typer.Option(help="Phantoms instead of the two real micrographs.")] = False,
) -> None:
    """Let a simulated Krios write sessions, and process them as they arrive. The page shows it live. Ctrl-C ends."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    settings = read_settings(_prepare(folder))
    microscope = _Microscope(folder / "gateway", stop, movies, movies_per_hour, size, offline)
    with running(settings, port=port) as (facility, address, alive):
        show.out.print(f"The live page: [bold]{address}[/]  (Ctrl-C ends)")
        if browser:
            _open(address)
        microscope.start()
        while alive() and not stop.wait(0.5):
            if microscope.error is not None:
                raise microscope.error
            if exit_after_movies is not None and _ended(facility) >= exit_after_movies:
                break
        stop.set()
        microscope.join()
        _summary(facility)


def _prepare(folder: Path) -> Path:
    """Make the demo's folder anew; return its configuration. Only what a demo wrote is ever removed."""
    with storage_errors(folder):
        if folder.exists() and any(folder.iterdir()):
            if not (folder / _MARK).is_file():
                raise BadInput("is not empty and holds no earlier demo.", advice="Choose another --folder.", path=folder)
            shutil.rmtree(folder)
        for name in ("krios1-falcon", "krios1-k2"):
            (folder / "gateway" / name).mkdir(parents=True)
        (folder / _MARK).touch()
    write_text(folder / "passerelle.toml", _CONFIG)
    return folder / "passerelle.toml"


class _Microscope(threading.Thread):
    """The simulated microscope in a thread of its own."""

    def __init__(self, folder: Path, stop: threading.Event, movies: int, per_hour: float, size: int, offline: bool) -> None:
        super().__init__(name="microscope", daemon=True)
        self.error: PasserelleError | None = None
        self._run = (folder, stop, movies, per_hour, size, offline)

    def run(self) -> None:
        folder, stop, movies, per_hour, size, offline = self._run
        try:
            simulate_session(folder, movies=movies, movies_per_hour=per_hour, size_px=size, offline=offline, stop=stop)
        except PasserelleError as error:
            self.error = error
        except OSError as error:
            self.error = StorageError(f"the simulated microscope could not write: {error}.", path=folder)


def _ended(facility: Facility) -> int:
    counts = [view.counters for view in facility.live(this_account()).sessions()]
    return sum(count.done + count.failed for count in counts)


def _open(address: str) -> None:
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(address)


def _summary(facility: Facility) -> None:
    time.sleep(0.2)  # the last outcome is being recorded
    live = facility.live(this_account())
    rows = [row for view in live.sessions() for row in live.movies(view.id)]
    ended = [row for row in rows if row.state in (MovieState.DONE, MovieState.FAILED)]
    show.out.print(show.movies_table(ended))
    show.out.print(f"{len(ended)} movies processed.")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(demo)
