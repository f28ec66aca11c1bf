"""Looks at this machine: folders and rights, disks, the kernel's watches, clocks, certificates, Python and cards."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from passerelle.core.errors import PasserelleError, printable
from passerelle.gateway.mounts import is_remote, mount_kind
from passerelle.gateway.watch_limits import watch_limits
from passerelle.service.alerts import disk_level, disk_use
from passerelle.service.certificates import holds_until
from passerelle.service.checks import Check, Level
from passerelle.service.clocks import DRIFT_SECONDS, clock_is_synchronised, drift_seconds, drift_words
from passerelle.service.settings import Settings
from passerelle.store import Database, files

_WATCHES_WARN, _WATCHES_ERROR = 0.8, 0.95
_CERTIFICATE_WARN_DAYS, _DAY = 21.0, 86400.0
_LATELY_SECONDS = 24 * 3600.0
_LATEST_FILES = 40


def folders(settings: Settings) -> Iterator[Check]:
    """Look whether the service may use its folders."""
    state = settings.state.folder
    if is_remote(state) and settings.database_url.startswith("sqlite"):
        kind = mount_kind(state) or "of a kind that cannot be found out"
        words = f"{state} lies on a file system that is {kind}: SQLite may lose the state there."
        yield Check("folder of state", Level.ERROR, words, "Choose a local disk in [state], or PostgreSQL.")
    else:
        yield _usable("folder of state", state, "Make it, and give it to the service's account.")
    yield _usable("folder of results", settings.results, "Make it, and give it to the service's account.")
    if settings.zones.folder.exists():
        yield _usable("folder of zones", settings.zones.folder, "Give it to the service's account.")
    for name, instrument in settings.instruments.items():
        yield gateway_folder(name, instrument.folder)


def gateway_folder(name: str, folder: Path) -> Check:
    """Look whether an instrument's folder is there and can be read."""
    if not folder.is_dir():
        advice = "Mount it, or correct the configuration."
        return Check(f"folder of {name}", Level.ERROR, f"{folder} is not there.", advice, instrument=name)
    if not os.access(folder, os.R_OK | os.X_OK):
        words = f"{folder} may not be read by this account."
        return Check(f"folder of {name}", Level.ERROR, words, "Check owner and mode.", instrument=name)
    return Check(f"folder of {name}", Level.WELL, f"{folder} is there.", instrument=name)


def disks(settings: Settings) -> Iterator[Check]:
    """Look how full the disks of the service are."""
    for name, folder in {"results": settings.results, "state": settings.state.folder}.items():
        use = disk_use(folder)
        if use is None:
            yield Check(f"disk of {name}", Level.ERROR, f"{folder} cannot be looked at.", "Is it mounted?")
            continue
        words = f"{folder}: {use.percent:.0f} % full, {use.free_bytes / 1e9:.0f} GB free."
        level = disk_level(use, settings.alerts)
        yield Check(f"disk of {name}", Level(level) if level else Level.WELL, words, "Free space." if level else "")


def kernel_watches() -> Iterator[Check]:
    """Look how near this account is to the kernel's limit of watches."""
    found = watch_limits()
    if found is None:
        return
    words = f"{found.watches} of {found.most_watches} watches and {found.instances} of {found.most_instances} instances in use."
    level = Level.ERROR if found.share >= _WATCHES_ERROR else Level.WARNING if found.share >= _WATCHES_WARN else Level.WELL
    advice = "Raise fs.inotify.max_user_watches and max_user_instances (sysctl); folders beyond are polled only."
    yield Check("inotify", level, words, "" if level is Level.WELL else advice, kind="watch_limits")


def clock() -> Iterator[Check]:
    """Look whether this machine's clock follows others."""
    followed = clock_is_synchronised()
    if followed is None:
        yield Check("clock", Level.WARNING, "The kernel does not tell whether the clock is right.", "See chronyc or timedatectl.")
    elif followed:
        yield Check("clock", Level.WELL, "This machine's clock follows others (NTP).")
    else:
        words = "This machine's clock follows no other (NTP): ages, alerts and log-ins go by it."
        yield Check("clock", Level.WARNING, words, "Start chrony or systemd-timesyncd.", kind="clock")


def clocks_of_pcs(database: Database, instruments: Iterator[str] | list[str], now: float | None = None) -> Iterator[Check]:
    """Compare the times of the latest files of each instrument with the moments when they came.

    Raises:
        Busy, StorageError: the database cannot be used now.
    """
    since = (time.time() if now is None else now) - _LATELY_SECONDS
    with database.read() as connection:
        offsets = {name: files.close_offsets(connection, name, since=since, limit=_LATEST_FILES) for name in instruments}
    for name, each in offsets.items():
        drift = drift_seconds(each)
        if drift is None:
            continue
        if abs(drift) <= DRIFT_SECONDS:
            yield Check(
                f"clock of {name}", Level.WELL, f"Its files' times agree with this clock ({drift:+.0f} s).", instrument=name
            )
        else:
            words = f"The clock of the PC of {name} is {drift_words(drift)}, as the times of its latest files tell."
            advice = "Set the PC's clock, or let it follow this machine (NTP)."
            yield Check(f"clock of {name}", Level.WARNING, words, advice, kind=f"clock_{name}", instrument=name)


def certificates(settings: Settings, now: float | None = None) -> Iterator[Check]:
    """Look until when certificates hold."""
    now = time.time() if now is None else now
    for name, path in (("pages", settings.web.certificate), ("directory", settings.ldap.ca_file)):
        if path is None:
            continue
        try:
            days = (holds_until(path) - now) / _DAY
        except PasserelleError as problem:
            yield Check(f"certificate of the {name}", Level.ERROR, str(problem), kind=f"certificate_{name}")
            continue
        level = Level.ERROR if days <= 0 else Level.WARNING if days < _CERTIFICATE_WARN_DAYS else Level.WELL
        words = f"{path} holds for {days:.0f} more days." if days > 0 else f"{path} ended {-days:.0f} days ago."
        advice = "" if level is Level.WELL else "Renew it, then start the service again."
        yield Check(f"certificate of the {name}", level, words, advice, kind=f"certificate_{name}")


def python(settings: Settings) -> Iterator[Check]:
    """Tell which Python runs, and look for the cards that the configuration names."""
    version = importlib.metadata.version("passerelle")
    yield Check("passerelle", Level.WELL, f"{version} on Python {platform.python_version()} ({sys.executable}).")
    cards = [each for each in settings.work.devices if each != "cpu"]
    if not cards:
        return
    if importlib.util.find_spec("torch") is None:
        words = f"The configuration names {', '.join(cards)}, and torch is not installed."
        yield Check("cards", Level.ERROR, words, "pip install 'passerelle[gpu]'")
        return
    from passerelle.imaging.devices import kernels_for

    for card in cards:
        try:
            kernels_for(card)
        except PasserelleError as problem:
            yield Check(f"card {card}", Level.ERROR, problem.message, problem.advice)
        else:
            yield Check(f"card {card}", Level.WELL, "It is there.")


def _usable(name: str, folder: Path, advice: str) -> Check:
    shown = printable(str(folder))
    if not folder.is_dir():
        return Check(name, Level.ERROR, f"{shown} is not there.", advice)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return Check(name, Level.ERROR, f"{shown} may not be written to by this account.", advice)
    return Check(name, Level.WELL, f"{shown} is there and may be written to.")
