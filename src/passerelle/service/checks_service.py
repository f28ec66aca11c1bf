"""Looks at what the service rests on: database and its copy, programs, Samba, the directory, notices, transfers, the buffer."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator

from passerelle.core.errors import NotFound, PasserelleError
from passerelle.core.states import TransferState
from passerelle.programs import KINDS
from passerelle.programs.samba import samba_answers
from passerelle.service.buffer import Buffer
from passerelle.service.buffer_view import BufferView
from passerelle.service.checks import Check, Level
from passerelle.service.receivers import read_receivers
from passerelle.service.settings_care import BufferSettings
from passerelle.service.wiring import Parts
from passerelle.service.wiring_people import shares_of
from passerelle.store import movies, notices, transfers
from passerelle.store.notices import NoticeState
from passerelle.store.transfers import Transfer

Stand = tuple[tuple[object, ...], float]  # how far a transfer was, and since when

_BACKUP_LATE_SECONDS = 3 * 3600.0
_STUCK_SECONDS = 15 * 60.0
_MOVES = ("files", "bytes", "moved", "known_files")  # what of the progress changes while a copy goes on
_LATELY_SECONDS = 24 * 3600.0


def database(parts: Parts) -> Iterator[Check]:
    """Look for damage, and whether what is written survives a power cut."""
    try:
        parts.database.check()
        durable = parts.database.durability()
        with parts.database.read() as connection:
            waiting = movies.unprocessed(connection)
    except PasserelleError as error:
        yield Check("database", Level.ERROR, error.message, error.advice, kind="database")
        return
    yield Check("database", Level.WELL, f"{parts.database.shown}: sound; {waiting} movies wait or run.")
    level = Level.WELL if durable.safe else Level.ERROR
    advice = "" if durable.safe else "Set what is named back: a power cut would take acknowledged work."
    yield Check("durability", level, f"{durable.version}, schema {durable.schema}; {durable.words}.", advice)


def backup(parts: Parts, now: float | None = None) -> Iterator[Check]:
    """Look how old the copy of the database is."""
    if not parts.database.is_sqlite:
        yield Check("backup", Level.WELL, "PostgreSQL keeps the state: its backups are its own administrator's.")
        return
    path = parts.places.backup
    try:
        age = (time.time() if now is None else now) - path.stat().st_mtime
    except OSError:
        yield Check("backup", Level.WARNING, f"There is no copy of the database at {path}.", "The service writes one each hour.")
        return
    words = f"The copy of the database at {path} is {age / 3600:.1f} h old."
    late = age > _BACKUP_LATE_SECONDS
    advice = "The service writes one each hour while there is room for results; see its log." if late else ""
    yield Check("backup", Level.WARNING if late else Level.WELL, words, advice, kind="backup")


def programs(parts: Parts) -> Iterator[Check]:
    """Look at the external programs that the configuration's recipe names."""
    recipe = parts.settings.processing
    for name in (recipe.motion.program, recipe.ctf.program):
        if name not in KINDS:
            continue
        try:
            found = parts.programs.find(name)
        except PasserelleError as error:
            yield Check(f"program {name}", Level.ERROR, error.message, error.advice)
        else:
            yield Check(f"program {name}", Level.WELL, f"{found.executable}: {found.version}.")


def samba_configuration(parts: Parts) -> Iterator[Check]:
    """Compare what Samba's files say with what they must say now."""
    shares = shares_of(parts)
    if not shares.wanted:
        return
    try:
        stale = shares.stale()
    except PasserelleError as problem:
        yield Check("shares", Level.ERROR, str(problem), problem.advice)
        return
    if stale:
        words = f"Samba's configuration is not what zones and people ask for now: {', '.join(stale)}."
        yield Check("shares", Level.ERROR, words, "passerelle shares apply", kind="shares")
    else:
        yield Check("shares", Level.WELL, "Samba's configuration is as zones and people ask for, and testparm takes it.")


def samba_runs(parts: Parts) -> Iterator[Check]:
    """Ask the smbds that must run by our configuration whether they do, and whether they can be reached."""
    shares = shares_of(parts)
    if not shares.wanted:
        return
    for path, addresses in shares.servers():
        name = f"smbd of {path.name}"
        try:
            samba_answers(path)
        except NotFound as problem:
            words = f"No smbd runs by {path}: instrument PCs cannot write." if "runs" in problem.message else str(problem)
            yield Check(name, Level.ERROR, words, f"Start it: smbd -D -s {path}", kind="smbd")
            continue
        except PasserelleError as problem:
            yield Check(name, Level.WARNING, str(problem), problem.advice, kind="smbd")
            continue
        away = [address for address in addresses if not shares.reachable(address)]
        words = f"It runs, and answers at {', '.join(addresses)}." if not away else f"It runs, and nothing answers at {away[0]}."
        yield Check(name, Level.ERROR if away else Level.WELL, words, "See interfaces and firewall." if away else "", kind="smbd")


def directory(parts: Parts) -> Iterator[Check]:
    """Let the directory let us in, as for a search."""
    if not parts.settings.ldap.url:
        return
    from passerelle.service.source_ldap import LdapSource  # its library is an extra

    try:
        LdapSource(parts.settings.ldap).try_bind()
    except PasserelleError as problem:
        yield Check("directory", Level.ERROR, str(problem), problem.advice, kind="directory")
    else:
        yield Check("directory", Level.WELL, f"{parts.settings.ldap.url} lets passerelle in.")


def notices_sent(parts: Parts, now: float | None = None) -> Iterator[Check]:
    """Look at the file of receivers, and at what could not be sent."""
    path = parts.settings.notices.urls_file
    if path is None:
        yield Check("notices", Level.WELL, "Nobody is told of alerts by mail or chat: notices.urls_file is not set.")
        return
    try:
        known = read_receivers(path)
        open_to_others = stat.S_IMODE(path.stat().st_mode) & 0o077
    except (PasserelleError, OSError) as problem:
        yield Check("notices", Level.ERROR, str(problem), "See notices.urls_file.", kind="notices")
        return
    if open_to_others:
        yield Check("receivers", Level.WARNING, f"{path} can be read by other accounts, and holds secrets.", f"chmod 600 {path}")
    now = time.time() if now is None else now
    with parts.database.read() as connection:
        bad = notices.troubled(connection, since=now - 24 * 3600.0)
    if not known:
        yield Check("notices", Level.WARNING, f"{path} names nobody.", "Add a line: NAME URL.")
    elif not bad:
        yield Check("notices", Level.WELL, f"Alerts go to {', '.join(known)}.")
    else:
        lost = sum(each.state is NoticeState.GIVEN_UP for each in bad)
        words = f"{len(bad) - lost} notices could not be sent yet, {lost} were given up; the last: {bad[-1].problem}"
        yield Check("notices", Level.WARNING, words, "`passerelle notices test` tries the way.", kind="notices")


def transfers_flow(parts: Parts, seen: dict[int, Stand] | None = None, now: float | None = None) -> Iterator[Check]:
    """Look for transfers that stand still, or came to an end without everything.

    seen: how far each was at earlier looks, kept by the caller from one look to the next; without it nothing stands still.
    """
    now = time.time() if now is None else now
    with parts.database.read() as connection:
        standing = transfers.standing(connection)
        ended = transfers.latest(connection, limit=200, states=[TransferState.INCOMPLETE, TransferState.FAILED])
    running = [each for each in standing if each.state is TransferState.RUNNING]
    seen = {} if seen is None else seen
    for number in seen.keys() - {each.id for each in running}:
        del seen[number]
    for each in running:
        still = now - _since(seen, each, now)
        if still > _STUCK_SECONDS and not each.follow:
            words = f"Transfer {each.id} to zone {each.zone} has not moved for {still / 60:.0f} minutes."
            advice = "Is the zone's disk there? Pause it, then let it go on: it takes up where it was."
            yield Check(f"transfer {each.id}", Level.WARNING, words, advice, f"transfer_{each.id}", each.instrument)
    bad = [each for each in ended if (each.ended_at or 0.0) > now - _LATELY_SECONDS]
    for each in bad:
        why = each.error or f"{each.problem_count} files are not there."
        words = f"Transfer {each.id} to zone {each.zone} ended {each.state}: {why}"
        yield Check(f"transfer {each.id}", Level.WARNING, words, "Open it, and retry.", f"transfer_{each.id}", each.instrument)
    if not bad and not any(each.state is TransferState.RUNNING for each in standing):
        yield Check("transfers", Level.WELL, f"{len(standing)} wait or run.")
    elif not bad:
        yield Check("transfers", Level.WELL, f"{len(running)} run, {len(standing) - len(running)} wait.")


def _since(seen: dict[int, Stand], transfer: Transfer, now: float) -> float:
    """Return since when a transfer is as far as it is."""
    mark = (transfer.begun_at, transfer.files, transfer.bytes, *(transfer.progress.get(name) for name in _MOVES))
    before = seen.get(transfer.id)
    if before is None or before[0] != mark:
        seen[transfer.id] = before = (mark, now)
    return before[1]


def buffer_room(buffer: Buffer, settings: BufferSettings, warn_percent: float = 0.0) -> Iterator[Check]:
    """Say how full gateway folders are, and alarm before the stop line. warn_percent: warn of such a fill; 0: never."""
    for view in buffer.state():
        level = buffer_level(view, settings, warn_percent)
        name = f"buffer of {view.instrument}"
        advice = ""
        if level is not Level.WELL:
            advice = "See what may go: the page Buffer, or `passerelle buffer plan`. Else slow the acquisition down."
        yield Check(name, level, buffer_words(view), advice, f"buffer_{view.instrument}"[:40], view.instrument)


def buffer_level(view: BufferView, settings: BufferSettings, warn_percent: float = 0.0) -> Level:
    """Return how grave it is: by the time until the stop line, an error beyond it, a warning of a fill."""
    hours = view.hours_to_stop
    if hours is not None and (hours <= settings.error_hours or hours == 0.0):
        return Level.ERROR
    full = warn_percent and view.percent >= warn_percent
    return Level.WARNING if full or (hours is not None and hours <= settings.warn_hours) else Level.WELL


def buffer_words(view: BufferView) -> str:
    """Say how full it is, and when it will be."""
    words = f"{view.folder}: {view.percent:.0f} % full, {view.free_bytes / 1e12:.2f} TB free"
    if view.hours_to_stop == 0.0:
        return f"{words}; beyond the stop line at {view.stop_percent:g} %."
    if view.bytes_per_hour is None:
        return f"{words}; how fast it fills is not known yet."
    if view.hours_to_stop is None:
        return f"{words}; nothing comes in."
    rate = f"{view.bytes_per_hour / 1e9:.0f} GB/h"
    until = hours_words(view.hours_to_stop)
    return f"{words}; at this rate ({rate}) the stop line at {view.stop_percent:g} % is reached in {until}."


def hours_words(hours: float) -> str:
    """Say a time as a person would: 40 min, 9 h, 4 days."""
    if hours < 1:
        return f"{max(1, round(hours * 60))} min"
    return f"{hours:.0f} h" if hours < 72 else f"{hours / 24:.0f} days"
