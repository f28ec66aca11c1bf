"""Seals movies and frames of instrument PCs a while after they were taken over: the PC can no longer change or delete them.

Sidecars and session files are not sealed, since programs add to them for hours; nor is what a program has open.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from passerelle.acquisition import Role
from passerelle.core.errors import NotAllowed, NotFound, PasserelleError, printable
from passerelle.core.log import logger
from passerelle.gateway import Writers, writers_of
from passerelle.service.settings import Settings
from passerelle.store import Database, File, files, paths
from passerelle.zones import open_file, seal

_IDLE_SECONDS = 5.0
_AT_ONCE = 500
_ROLES = (Role.MOVIE, Role.FRAME)


class Sealer:
    """A thread of its own. Sealing again changes nothing, so that each start goes through all files once."""

    def __init__(
        self, database: Database, folders: Mapping[str, Path], *, after_seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        """folders: of the instruments whose PCs write through Samba, by name."""
        self._database, self._folders = database, dict(folders)
        self._after, self._clock = after_seconds, clock
        self._reached: dict[str, tuple[float, int]] = dict.fromkeys(folders, (0.0, 0))
        self._later: dict[str, list[File]] = {name: [] for name in folders}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sealer", daemon=True)

    def start(self) -> None:
        """Begin, if any instrument has a PC."""
        if self._folders:
            self._thread.start()

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """End after the file in hand."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def step(self) -> int:
        """Seal what is due, at most a few hundred files an instrument; return how many were sealed.

        Raises:
            Busy, StorageError: the database cannot be used now.
            NotAllowed: this account may not give files away.
        """
        return sum(self._seal_of(name, folder) for name, folder in self._folders.items())

    def _seal_of(self, name: str, folder: Path) -> int:
        with self._database.read() as connection:
            due = files.whole_after(
                connection, name, _ROLES, *self._reached[name], until=self._clock() - self._after, limit=_AT_ONCE
            )
        if due:
            self._reached[name] = (due[-1].whole_at or 0.0, due[-1].id)
        waiting, self._later[name] = [*self._later[name], *due], []
        done = 0
        for file in waiting:
            if self._stop.is_set():
                break
            within = paths.from_text(file.path)
            try:
                with open_file(folder, within) as descriptor:
                    busy = writers_of(descriptor) is Writers.SOME
                    changed = os.fstat(descriptor).st_mtime_ns != file.mtime_ns
                if busy:
                    self._later[name].append(file)
                elif not changed:  # else it is another content, which becomes whole in its own time
                    done += seal(folder, within, uid=os.geteuid())
            except NotFound:
                continue
            except NotAllowed:
                raise
            except PasserelleError as problem:
                logger.warning("file_not_sealed", file=printable(str(within)), why=str(problem))
        return done

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                done = self.step()
            except NotAllowed as problem:
                logger.error("sealing_ended", why=str(problem))
                return
            except PasserelleError as problem:
                logger.warning("sealing_waits", why=str(problem))
                done = 0
            self._stop.wait(0.05 if done >= _AT_ONCE else _IDLE_SECONDS)


def sealer_of(settings: Settings, database: Database) -> Sealer | None:
    """Make the sealer that the configuration asks for; None where there is none, or where it would need root and has it not."""
    names = {pc.instrument for pc in settings.pcs.values()}
    if settings.shares.folder is None or not settings.shares.seal or not names:
        return None
    if os.geteuid() != 0:
        logger.warning("files_are_not_sealed", why="it needs root", advice="Run as root, or set shares.seal = false.")
        return None
    folders = {name: settings.instruments[name].folder for name in names}
    return Sealer(database, folders, after_seconds=settings.shares.seal_after_minutes * 60)
