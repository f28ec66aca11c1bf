"""Is all well? One list of checks, for a person at the terminal, a page, or a monitoring system."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from passerelle.core.errors import PasserelleError
from passerelle.gateway import FolderState
from passerelle.programs import KINDS
from passerelle.service.alerts import disk_level, disk_use
from passerelle.service.dispatcher import Dispatcher
from passerelle.service.wiring import Parts
from passerelle.store import movies


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; words say what was found, advice what to do."""

    name: str
    well: bool
    words: str
    advice: str = ""


def health(parts: Parts, loop: Dispatcher | None = None) -> list[Check]:
    """Look at database, disks and folders; with a running `loop` also at the watch and the work."""
    checks = [_database(parts), *_disks(parts), *_programs(parts)]
    if loop is None:
        checks += _folders(parts)
    else:
        checks += [_loop(loop), *_watch(loop)]
    return checks


def _database(parts: Parts) -> Check:
    try:
        parts.database.check()
        with parts.database.read() as connection:
            waiting = movies.unprocessed(connection)
    except PasserelleError as error:
        return Check("database", False, error.message, error.advice)
    return Check("database", True, f"{parts.database.shown}: sound; {waiting} movies wait or run.")


def _disks(parts: Parts) -> Iterator[Check]:
    folders = {"results": parts.places.results, "state": parts.places.state}
    for name, folder in folders.items():
        use = disk_use(folder)
        if use is None:
            yield Check(f"disk of {name}", False, f"{folder} cannot be looked at.", "Is it mounted?")
            continue
        words = f"{folder}: {use.percent:.0f} % full, {use.free_bytes / 1e9:.0f} GB free."
        yield Check(f"disk of {name}", disk_level(use, parts.settings.alerts) is None, words, "Free space.")


def _programs(parts: Parts) -> Iterator[Check]:
    """Look at the external programs that the configuration's recipe names."""
    recipe = parts.settings.processing
    for name in (recipe.motion.program, recipe.ctf.program):
        if name not in KINDS:
            continue
        try:
            found = parts.programs.find(name)
        except PasserelleError as error:
            yield Check(f"program {name}", False, error.message, error.advice)
        else:
            yield Check(f"program {name}", True, f"{found.executable}: {found.version}.")


def _folders(parts: Parts) -> Iterator[Check]:
    for name, instrument in parts.instruments.items():
        there = instrument.folder.is_dir()
        words = f"{instrument.folder} is {'there' if there else 'not there'}."
        yield Check(f"folder of {name}", there, words, "" if there else "Mount it, or correct the configuration.")


def _loop(loop: Dispatcher) -> Check:
    if loop.error is not None:
        return Check("work", False, loop.error.message, loop.error.advice)
    return Check(
        "work", loop.alive, "The loop runs." if loop.alive else "The loop has ended.", "" if loop.alive else "See the log."
    )


def _watch(loop: Dispatcher) -> Iterator[Check]:
    for name, status in (loop.watch.statuses() if loop.watch is not None else {}).items():
        well = status.state in {FolderState.WATCHING, FolderState.POLLING}
        words = f"{status.state.value}: {status.present} files, {status.awaited} of them not whole yet. {status.reason}".strip()
        yield Check(f"folder of {name}", well, words, "" if well else "Is it mounted?")
