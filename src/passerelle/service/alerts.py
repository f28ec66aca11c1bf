"""The rules that watch over the service itself: no new movie, a movie without result, a full disk, metrics out of bounds."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection

from passerelle.processing import BY_NAME, Threshold
from passerelle.service.former_references import made_with_former
from passerelle.service.instruments import Instrument
from passerelle.service.settings import AlertSettings
from passerelle.service.stored import readable_thresholds
from passerelle.store import Database, Session, alerts, movies, sessions

_EVERY_SECONDS = 15.0
_WINDOW = 25  # micrographs
_FORGOTTEN_SECONDS = 24 * 3600.0  # a session that nobody closed is no news any more
_BACKUP_SECONDS = 3600.0
_RESULTS_DISK = "disk_results"
_OURS = ("disk_", "no_new_movie", "no_result", "bounds_", "reference_changed")


@dataclass(frozen=True, slots=True)
class DiskUse:
    """How full a disk is."""

    path: Path
    free_bytes: int
    total_bytes: int

    @property
    def percent(self) -> float:
        # as df counts it: what is reserved for root is not free
        return 100.0 * (1.0 - self.free_bytes / self.total_bytes) if self.total_bytes else 0.0


def disk_use(folder: Path) -> DiskUse | None:
    """Return how full the disk of a folder is; None where that cannot be told."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return DiskUse(folder, usage.free, usage.total)


def disk_level(use: DiskUse, rules: AlertSettings) -> str | None:
    """Return the level of the alert that a disk deserves: warning, error, or None."""
    if rules.disk_error_percent and use.percent >= rules.disk_error_percent:
        return "error"
    if rules.disk_warn_percent and use.percent >= rules.disk_warn_percent:
        return "warning"
    return None


def share_outside(name: str, threshold: Threshold, latest: Sequence[Mapping[str, float]]) -> float | None:
    """Return which share of the latest micrographs lies outside of a threshold; None where too few were measured to say."""
    values = [metrics[name] for metrics in latest if name in metrics]
    if len(values) < _WINDOW:
        return None
    return sum(not _inside(value, threshold) for value in values) / len(values)


def _inside(value: float, threshold: Threshold) -> bool:
    lows = [low for low in (threshold.warn_min, threshold.reject_min) if low is not None]
    highs = [high for high in (threshold.warn_max, threshold.reject_max) if high is not None]
    return all(value >= low for low in lows) and all(value <= high for high in highs)


@dataclass(frozen=True, slots=True)
class _Finding:
    kind: str
    level: str
    message: str
    advice: str
    session_id: int | None = None


@dataclass(slots=True)
class Guard:
    """Looks at the rules every few seconds. results: the folder that work fills; watched: further folders whose disk matters.

    backup: where a copy of an SQLite database is written, at the start and every hour.
    """

    database: Database
    rules: AlertSettings
    results: Path
    watched: Mapping[str, Path] = field(default_factory=dict[str, Path])
    backup: Path | None = None
    instruments: Mapping[str, Instrument] = field(default_factory=dict[str, Instrument])
    _next_backup: float = 0.0
    _started_at: float = 0.0
    _next: float = 0.0
    _room: bool = True
    waits_for: str = ""  # why no new work is to be started now

    def look(self, now: float) -> bool:
        """Raise and clear alerts, if it is time; say whether there is room for new work.

        Raises:
            Busy, StorageError: the database cannot be used now.
        """
        if now < self._next:
            return self._room
        self._started_at = self._started_at or now
        with self.database.read() as connection:
            known = sessions.opened(connection)
            findings = [*self._disks(), *self._late(connection, known, now)]
            for session in known:
                findings += [*self._silence(session, now), *self._out_of_bounds(connection, session)]
                findings += self._former_references(connection, session)
            standing = {(alert.session_id, alert.kind) for alert in alerts.standing(connection, muted=True)}
        self._record(findings, standing, now)
        full = [each for each in findings if each.kind == _RESULTS_DISK and each.level == "error"]
        self._room, self.waits_for = not full, " ".join(f"{each.message} {each.advice}" for each in full)
        self._next = now + _EVERY_SECONDS
        if self.backup is not None and self._room and now >= self._next_backup:
            self._next_backup = now + _BACKUP_SECONDS
            self.database.backup(self.backup)
        return self._room

    def _record(self, findings: Sequence[_Finding], standing: Collection[tuple[int | None, str]], now: float) -> None:
        found = {(each.session_id, each.kind) for each in findings}
        over = [(session_id, kind) for session_id, kind in standing if kind.startswith(_OURS) and (session_id, kind) not in found]
        if not findings and not over:
            return
        with self.database.write() as connection:
            for each in findings:
                alerts.raise_(
                    connection,
                    each.kind,
                    level=each.level,
                    message=each.message,
                    advice=each.advice,
                    session_id=each.session_id,
                    at=now,
                )
            for session_id, kind in over:
                alerts.clear(connection, kind, session_id=session_id, at=now)

    def _disks(self) -> Iterator[_Finding]:
        for name, folder in {"results": self.results, **self.watched}.items():
            use = disk_use(folder)
            level = None if use is None else disk_level(use, self.rules)
            if use is None or level is None:
                continue
            words = f"The disk of {folder} is {use.percent:.0f} % full; {use.free_bytes / 1e9:.0f} GB are free."
            stops = name == "results" and level == "error"
            advice = "Free space: no new movie is started until then." if stops else "Free space."
            yield _Finding(f"disk_{name}"[:40], level, words, advice)

    def _silence(self, session: Session, now: float) -> Iterator[_Finding]:
        limit = self.rules.no_new_movie_minutes * 60
        came_at = session.last_file_at or session.opened_at
        # counted from the start of this service at the earliest: while it was down nobody could see new files
        silent = now - max(came_at, self._started_at)
        if limit and silent > limit and now - came_at < _FORGOTTEN_SECONDS:
            words = f"No new file has come for {silent // 60:.0f} minutes."
            advice = "See whether the acquisition goes on; close the session if it has ended."
            yield _Finding("no_new_movie", "warning", words, advice, session.id)

    def _former_references(self, connection: Connection, session: Session) -> Iterator[_Finding]:
        instrument = self.instruments.get(session.instrument)
        count = 0 if instrument is None else len(made_with_former(connection, session, instrument))
        if count:
            number = "1 movie was" if count == 1 else f"{count} movies were"
            words = f"The configured gain reference or defect map has changed; {number} made with the former one."
            advice = "They stay as they are until the session is processed again."
            yield _Finding("reference_changed", "warning", words, advice, session.id)

    def _late(self, connection: Connection, known: Sequence[Session], now: float) -> Iterator[_Finding]:
        limit = self.rules.no_result_minutes * 60
        if not limit:
            return
        open_ones = {session.id for session in known}
        for session_id, count in movies.late(connection, whole_before=now - limit):
            if session_id in open_ones:
                words = f"{count} movies have been whole for more than {limit / 60:.0f} minutes and there is no result."
                advice = "If movies come faster than they are processed, use more workers; else see the log."
                yield _Finding("no_result", "error", words, advice, session_id)

    def _out_of_bounds(self, connection: Connection, session: Session) -> Iterator[_Finding]:
        if not self.rules.outside_share:
            return
        latest = movies.latest_metrics(connection, session.id, limit=_WINDOW)
        for name, threshold in readable_thresholds(session).items():
            share = share_outside(name, threshold, latest)
            if share is not None and share >= self.rules.outside_share:
                label = BY_NAME[name].label if name in BY_NAME else name
                words = f"{label}: {share:.0%} of the latest {_WINDOW} micrographs are outside of the threshold."
                yield _Finding(f"bounds_{name}"[:40], "warning", words, "", session.id)
