"""`passerelle process`: an existing folder, no server; ends with a table."""

from __future__ import annotations

import signal
import threading
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from passerelle.cli import show
from passerelle.core.errors import BadInput
from passerelle.service import process_folder as service
from passerelle.service.movies import changed_recipe
from passerelle.service.settings import InstrumentSettings, Settings, read_settings

_INTERRUPTED = 130


def process(
    folder: Annotated[Path, typer.Argument(help="Folder with movies; it is only read.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Results; default: NAME-processed, here.")] = None,
    config: Annotated[Path | None, typer.Option(help="Take parameters and thresholds from this passerelle.toml.")] = None,
    program: Annotated[str, typer.Option(help="epu, serialem, digital_micrograph, falcon, generic or auto.")] = "auto",
    gain: Annotated[Path | None, typer.Option(help="Gain reference; default: the one that lies with the movies.")] = None,
    defects: Annotated[Path | None, typer.Option(help="Defect map; default: the one that lies with the movies.")] = None,
    voltage: Annotated[float | None, typer.Option(help="Acceleration voltage, kV, where files do not say it.")] = None,
    cs: Annotated[float | None, typer.Option(help="Spherical aberration, mm.")] = None,
    pixel_size: Annotated[float | None, typer.Option(help="Pixel on the specimen, Å.")] = None,
    dose_per_frame: Annotated[float | None, typer.Option(help="Dose of a frame, e/Å².")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A parameter, as ctf.box_px=512; may be repeated.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Movies at a time; 0: chosen by processors and memory.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads a worker.")] = 1,
    device: Annotated[list[str] | None, typer.Option(help="cpu, or a graphics card as cuda:0; may be repeated.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, nothing else.")] = False,
) -> None:
    """Process the movies of a folder: gain, motion, dose weighting, CTF, verdict. Run it again to go on or change a parameter."""
    base = read_settings(config) if config else Settings()
    recipe = changed_recipe(base.processing.model_dump(mode="json"), recipe_changes(set_ or []))
    work = base.work.model_copy(
        update={
            "workers": workers or base.work.workers,
            "threads_per_worker": threads,
            "devices": tuple(device or base.work.devices),
        }
    )
    instrument = InstrumentSettings.model_validate(
        {
            "folder": folder,
            "program": program,
            "gain": gain and gain.resolve(),
            "defects": defects and defects.resolve(),
            "voltage_kv": voltage,
            "spherical_aberration_mm": cs,
            "pixel_size_angstrom": pixel_size,
            "dose_per_frame_e_per_angstrom2": dose_per_frame,
        }
    )
    settings = service.folder_settings(
        folder,
        output or Path.cwd() / f"{folder.resolve().name}-processed",
        base.model_copy(update={"processing": recipe, "work": work}),
        instrument,
    )
    processed = _run(settings, quiet=json)
    if problem := service.exit_error(processed):
        raise problem
    _show(processed, json=json)
    if processed.interrupted:
        raise typer.Exit(_INTERRUPTED)
    if processed.failed:
        raise typer.Exit(1)


def recipe_changes(words: list[str]) -> dict[str, dict[str, Any]]:
    """Read `group.field=value` words as {group: {field: value}}; a value is written as in TOML, text may go without quotes."""
    changes: dict[str, dict[str, Any]] = {}
    for word in words:
        key, equals, text = word.partition("=")
        group, dot, field = key.strip().partition(".")
        if not (equals and dot and group and field):
            raise BadInput(f"`{word}` is no setting of the recipe.", advice="Write GROUP.FIELD=VALUE, as ctf.box_px=512.")
        changes.setdefault(group, {})[field] = _value(text.strip())
    return changes


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _run(settings: Settings, *, quiet: bool) -> service.Processed:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=show.err, transient=True, disable=quiet) as bars:
        bar = bars.add_task("looking for movies", total=None, left="")
        said: set[str] = set()

        def told(progress: service.Progress) -> None:
            words = "looking for movies" if progress.listing and not progress.total else "processing"
            left = "" if progress.eta_seconds is None else f"about {show.duration(progress.eta_seconds)} left"
            if progress.waits_for:
                words, left = "waiting", "goes on by itself; Ctrl-C ends"
            for reason in progress.waits_for:
                if reason not in said:  # once each, above the bar or into a log
                    show.err.print(f"[yellow]waits:[/] {escape(reason)}", soft_wrap=True)
            said.update(progress.waits_for)
            if not progress.waits_for and said:
                said.clear()
                show.err.print("[green]goes on[/]")
            bars.update(
                bar, description=words, total=progress.total or None, completed=progress.done + progress.failed, left=left
            )

        return service.process_folder(settings, told=told, stop=stop)


def _show(processed: service.Processed, *, json: bool) -> None:
    if json:
        show.as_json(
            {
                "results": str(processed.results),
                "seconds": round(processed.seconds, 2),
                "interrupted": processed.interrupted,
                "waits_for": list(processed.waits_for),
                "sessions": [view.model_dump(mode="json") for view in processed.sessions],
                "movies": [row.model_dump(mode="json") for row in processed.movies],
            }
        )
        return
    show.out.print(show.movies_table(processed.movies))
    show.reasons(processed.movies)
    show.errors(processed.movies)
    show.problems(processed)
    if processed.interrupted:
        for reason in processed.waits_for:
            show.out.print(f"[yellow]It waited:[/] {escape(reason)}", soft_wrap=True)
    done = len(processed.movies) - processed.failed
    rest = "Interrupted; run it again to go on." if processed.interrupted else ""
    if processed.failed and not processed.interrupted:
        rest = f"{processed.failed} have no result: see above; run it again when that is mended."
    words = f"{done} of {len(processed.movies)} movies have a result, after {show.duration(processed.seconds)}. {rest}"
    show.out.print(words.strip(), soft_wrap=True)
    show.out.print(f"Results: {processed.results}", soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(process)
