"""How far a copy is, as values; and the handle by which it is paused or ended."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_WINDOW_SECONDS = 5.0
_TELL_SECONDS = 0.25
_COUNTS: tuple[str, ...] = ("files", "bytes", "known_files", "known_bytes", "unchanged", "problems", "moved")


@dataclass(frozen=True, slots=True)
class Progress:
    """files, bytes: verified until now, `unchanged` among them; of so many known. listing: more may be found.

    moved: bytes read of those not yet verified as well. Rates are of bytes moved: of the last seconds, and from the start.
    """

    files: int = 0
    bytes: int = 0
    known_files: int = 0
    known_bytes: int = 0
    unchanged: int = 0
    problems: int = 0
    moved: int = 0
    listing: bool = True
    paused: bool = False
    seconds: float = 0.0
    bytes_per_second: float = 0.0
    mean_bytes_per_second: float = 0.0

    @property
    def eta_seconds(self) -> float | None:
        """The time that is left, at the mean rate; None while that is not known."""
        if self.listing or self.mean_bytes_per_second <= 0:
            return None
        return max(0, self.known_bytes - self.bytes) / self.mean_bytes_per_second


class Cancelled(Exception):
    """The copy was asked to end."""


class Control:
    """Pause, go on, cancel: called from any thread, heard at the next block or batch."""

    def __init__(self) -> None:
        self._going = threading.Event()
        self._going.set()
        self.cancelled = False

    @property
    def paused(self) -> bool:
        return not self._going.is_set()

    def pause(self) -> None:
        """Let what is begun wait; nothing is lost."""
        self._going.clear()

    def resume(self) -> None:
        """Go on."""
        self._going.set()

    def cancel(self) -> None:
        """End as soon as can be. What was verified stays, and is not copied again."""
        self.cancelled = True
        self._going.set()

    def wait(self) -> None:
        """Wait while it is paused.

        Raises:
            Cancelled: it is to end.
        """
        self._going.wait()
        if self.cancelled:
            raise Cancelled


class Meter:
    """Counts what is done, from many threads, and tells it a few times a second."""

    def __init__(self, told: Callable[[Progress], None], control: Control, clock: Callable[[], float] = time.monotonic) -> None:
        self._told = told
        self._control = control
        self._clock = clock
        self._lock = threading.Lock()
        self._began = self._last_told = clock()
        self._samples: deque[tuple[float, int]] = deque([(self._began, 0)])
        self._count = dict.fromkeys(_COUNTS, 0)
        self._listing = True

    def add(self, **counts: int) -> None:
        """Add to counts of `Progress` by their names."""
        with self._lock:
            for name, number in counts.items():
                self._count[name] += number
            now = self._clock()
            if now - self._last_told < _TELL_SECONDS:
                return
            self._last_told = now
            progress = self._progress(now)
        self._told(progress)

    def listed(self) -> None:
        """Say that all names are known now."""
        self._listing = False

    def now(self) -> Progress:
        """Return how far it is."""
        with self._lock:
            return self._progress(self._clock())

    def _progress(self, now: float) -> Progress:
        moved = self._count["moved"]
        self._samples.append((now, moved))
        while len(self._samples) > 2 and now - self._samples[0][0] > _WINDOW_SECONDS:
            self._samples.popleft()
        since, before = self._samples[0]
        seconds = now - self._began
        return Progress(
            **self._count,
            listing=self._listing,
            paused=self._control.paused,
            seconds=seconds,
            bytes_per_second=(moved - before) / (now - since) if now > since else 0.0,
            mean_bytes_per_second=moved / seconds if seconds > 0 else 0.0,
        )
