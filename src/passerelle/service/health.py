"""Is all well? One list of checks, for a person at the terminal, a page, or a monitoring system; some raise alerts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from passerelle.core.errors import PasserelleError
from passerelle.gateway import FolderState
from passerelle.service import checks_hand
from passerelle.service import checks_machine as machine
from passerelle.service import checks_service as service
from passerelle.service.buffer import Buffer
from passerelle.service.checks import Check, Level, worst
from passerelle.service.dispatcher import Dispatcher
from passerelle.service.wiring import Parts
from passerelle.store import sessions

__all__ = ["Check", "Level", "care", "doctor", "health", "worst"]


def health(parts: Parts, loop: Dispatcher | None = None) -> list[Check]:
    """Look at database, disks, folders and programs; with a running `loop` at the watch and the work in place of the folders."""
    checks = [*_guarded("database", service.database(parts)), *machine.disks(parts.settings), *service.programs(parts)]
    if loop is None:
        checks += [machine.gateway_folder(name, each.folder) for name, each in parts.instruments.items()]
    else:
        checks += [_loop(loop), *_watch(loop)]
    return checks


def care(
    parts: Parts, buffer: Buffer, loop: Dispatcher | None = None, seen: dict[int, service.Stand] | None = None
) -> list[Check]:
    """Look at what goes wrong slowly while the service runs: room, clocks, limits, smbd, copies of the database, notices.

    seen: as `transfers_flow` has it.
    """
    checks = [*_guarded("buffer", service.buffer_room(buffer, parts.settings.buffer, parts.settings.alerts.disk_warn_percent))]
    checks += [*machine.kernel_watches(), *machine.clock()]
    checks += [*_guarded("clocks of PCs", machine.clocks_of_pcs(parts.database, list(parts.instruments)))]
    checks += [*machine.certificates(parts.settings), *_guarded("smbd", service.samba_runs(parts))]
    checks += [*service.backup(parts), *_guarded("notices", service.notices_sent(parts))]
    checks += checks_hand.hand(parts.settings)
    checks += [*_guarded("transfers", service.transfers_flow(parts, seen)), *_guarded("last movie", _last_files(parts))]
    if loop is not None:
        checks.append(_loop(loop))
    return checks


def doctor(parts: Parts, buffer: Buffer) -> list[Check]:
    """Look at everything, whether a service runs or not; takes seconds."""
    checks = [*machine.python(parts.settings), *machine.folders(parts.settings), *machine.disks(parts.settings)]
    checks += [*_guarded("database", service.database(parts)), *service.programs(parts)]
    checks += [*_guarded("shares", service.samba_configuration(parts)), *_guarded("directory", service.directory(parts))]
    return [*checks, *care(parts, buffer)]


def _guarded(name: str, found: Iterator[Check]) -> Iterator[Check]:
    """Yield what a look says; a look that cannot be made is an error of its own."""
    try:
        yield from found
    except PasserelleError as problem:
        yield Check(name, Level.ERROR, str(problem), problem.advice)


def _last_files(parts: Parts) -> Iterator[Check]:
    """Tell when the latest file of each instrument came; whether that is late is the alerts' to say."""
    with parts.database.read() as connection:
        known = sessions.every(connection)
    for name in parts.instruments:
        latest = max((each.last_file_at or 0.0 for each in known if each.instrument == name), default=0.0)
        words = f"{instant_words(latest)} (UTC)." if latest else "None has come yet."
        yield Check(f"last file of {name}", Level.WELL, words, instrument=name)


def instant_words(at: float) -> str:
    """Say an instant for a terminal and a log."""

    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def _loop(loop: Dispatcher) -> Check:
    if loop.error is not None:
        return Check("work", Level.ERROR, loop.error.message, loop.error.advice, kind="work")
    if not loop.alive:
        return Check("work", Level.ERROR, "The loop has ended.", "See the log, and start the service again.", kind="work")
    if loop.obstacles:
        return Check("work", Level.WARNING, f"The loop runs, and waits: {' '.join(loop.obstacles)}")
    return Check("work", Level.WELL, f"The loop runs; {loop.executor.capacity} movies at a time.", kind="work")


def _watch(loop: Dispatcher) -> Iterator[Check]:
    for name, status in (loop.watch.statuses() if loop.watch is not None else {}).items():
        well = status.state in {FolderState.WATCHING, FolderState.POLLING}
        words = f"{status.state.value}: {status.present} files, {status.awaited} of them not whole yet. {status.reason}".strip()
        level, advice = (Level.WELL, "") if well else (Level.ERROR, "Is it mounted?")
        yield Check(f"folder of {name}", level, words, advice, instrument=name)
