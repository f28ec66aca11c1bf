"""Copy while the acquisition still writes: look again and again, until its session is closed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from passerelle.transfer.attributes import Keep
from passerelle.transfer.dataset import Came, Copied, Told, copying
from passerelle.transfer.ends import Within
from passerelle.transfer.progress import Control
from passerelle.transfer.tree import Entry

POLL_SECONDS = 5.0
QUIET_SECONDS = 10.0


def follow_dataset(
    source: Path | Within,
    target: Path | Within,
    *,
    closed: Callable[[], bool],
    leg: str = "copy",
    keep: Keep | None = None,
    also: tuple[str, ...] = (),
    control: Control | None = None,
    told: Told = lambda progress: None,
    came: Came = lambda outcomes: None,
    wake: threading.Event | None = None,
    poll_seconds: float = POLL_SECONDS,
    quiet_seconds: float = QUIET_SECONDS,
    clock_ns: Callable[[], int] = time.time_ns,
    processes: int | None = None,
) -> Copied:
    """Copy what an acquisition has finished, for as long as it goes on; when it is closed, copy the rest; say what came of it.

    A file that changes after it was copied is copied again. closed: whether the session has ended. A file counts as finished when
    it has not changed for `quiet_seconds`; after the end every file does. wake: set it to look at once.

    Raises:
        As `copy_dataset`.
    """
    control = control or Control()
    wake = wake or threading.Event()

    def quiet(entry: Entry) -> bool:
        age_ns = clock_ns() - max(entry.mtime_ns, entry.ctime_ns)
        return age_ns >= quiet_seconds * 1e9 or age_ns < -1e9  # a clock that was set back must not hold a file for ever

    options: dict[str, Any] = {"leg": leg, "keep": keep, "also": also, "control": control, "told": told, "came": came}
    with copying(source, target, **options, processes=processes) as work:
        while not (ended := closed()) and not control.cancelled:
            work.look(quiet)
            wake.wait(poll_seconds)
            wake.clear()
        if ended and not control.cancelled:
            work.look()
        return work.finish()
