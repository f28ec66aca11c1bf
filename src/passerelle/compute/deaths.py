"""Why a process died, in words; and how a process sees that the service it works for is gone."""

from __future__ import annotations

import os
import select
import signal
import threading
from pathlib import Path

_VMSTAT = Path("/proc/vmstat")
KILLED_WITH_SERVICE = 70


def memory_kills() -> int:
    """Return how many processes the kernel has killed since the machine started because memory ran out."""
    try:
        lines = _VMSTAT.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def why_it_died(returncode: int, *, memory_kills_before: int, said: str = "") -> str:
    """Return a sentence about a worker's end. said: the last line that it wrote to its standard error."""
    if returncode >= 0:
        tail = f" Its last words: {said}" if said else ""
        return f"Its worker process ended with exit code {returncode}.{tail}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    if returncode == -signal.SIGKILL:
        if memory_kills() > memory_kills_before:
            return "Its worker process was killed because the machine's memory ran out. Use fewer workers, or add memory."
        return "Its worker process was killed (SIGKILL): by a person, a batch system, or a limit on memory."
    return f"Its worker process crashed ({name})."


def start_ticks(process_id: int) -> str | None:
    """Return when a process started, in the kernel's own count: with the id, it names a process for ever."""
    try:
        text = Path(f"/proc/{process_id}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()[19]


def open_process(process_id: int, ticks: str) -> int | None:
    """Return a descriptor that becomes readable when the process ends; None if it is gone already."""
    try:
        descriptor = os.pidfd_open(process_id)
    except OSError:
        return None
    if start_ticks(process_id) != ticks:
        os.close(descriptor)
        return None
    return descriptor


def die_with(process_id: int, ticks: str) -> None:
    """End this process soon after another one ends: the other may be killed in a way that tells nobody."""
    descriptor = open_process(process_id, ticks)
    if descriptor is None:
        os._exit(KILLED_WITH_SERVICE)

    def wait() -> None:
        select.select([descriptor], [], [])
        os._exit(KILLED_WITH_SERVICE)

    threading.Thread(target=wait, name="dies-with-service", daemon=True).start()
