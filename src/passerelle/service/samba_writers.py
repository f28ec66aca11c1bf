"""Which files instrument PCs have open, as smbd says: asked where the kernel does not tell the service who writes to a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from passerelle.core.errors import PasserelleError
from passerelle.core.log import logger
from passerelle.programs.samba import Status, samba_status
from passerelle.service.settings import Settings
from passerelle.service.shares import LEGACY, MODERN

_LONGEST_SECONDS = 5.0
_SHORTEST_SECONDS = 0.25  # smbd is not asked more often than that
_AFTER_FAILURE_SECONDS = 60.0


class SambaWriters:
    """Asks smbd, and remembers the answer for a short while. Safe to share between threads.

    An answer counts for a file only if it is younger than the file's last change: one from before says nothing of who changed it.
    """

    def __init__(
        self,
        configs: Sequence[Path],
        *,
        ask: Callable[[Path], Status] = samba_status,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._configs, self._ask, self._clock = tuple(configs), ask, clock
        self._open: frozenset[Path] | None = None
        self._asked_at = self._not_before = 0.0

    def __call__(self, path: Path, mtime_ns: int) -> bool | None:
        """Say whether a client may still write to a file; None where smbd does not tell."""
        now = self._clock()
        changed_at = mtime_ns / 1e9
        if self._asked_at <= changed_at or now - self._asked_at > _LONGEST_SECONDS:
            self._look(now)
        if self._open is None or self._asked_at <= changed_at:
            return None
        return path in self._open

    def _look(self, now: float) -> None:
        if now < self._not_before:
            return
        self._not_before = now + _SHORTEST_SECONDS
        try:
            found = [self._ask(config) for config in self._configs if config.is_file()]
        except PasserelleError as problem:
            logger.warning("samba_not_asked", why=str(problem))
            self._open, self._not_before = None, now + _AFTER_FAILURE_SECONDS
            return
        # the answer is as old as the question
        self._open, self._asked_at = frozenset(Path(each.path) for one in found for each in one.open_files if each.writing), now


def samba_writers(settings: Settings) -> dict[str, SambaWriters]:
    """Return whom to ask, by instrument, for those whose PCs write through Samba."""
    if settings.shares.folder is None:
        return {}
    asked = SambaWriters([settings.shares.folder / name for name in (MODERN, LEGACY)])
    return {pc.instrument: asked for pc in settings.pcs.values()}
