"""Let a registry rehearse its tasks in a process of its own, at the lowest priority, while the service already works.

Started as `python -m passerelle.compute.rehearse REGISTRY PROCESS_ID START_TICKS`. It ends with the service, or when it is done.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

from passerelle.compute.code_place import mark_rehearsed, rehearsed
from passerelle.compute.deaths import die_with, start_ticks
from passerelle.compute.work import worker_environment


class Rehearsal:
    """The process, started where it is not known that all was rehearsed before."""

    def __init__(self, registry: str) -> None:
        self._registry = registry
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin; returns at once."""
        if rehearsed():
            return
        own = os.getpid()
        command = [sys.executable, "-m", "passerelle.compute.rehearse", self._registry, str(own), str(start_ticks(own))]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=worker_environment(1),
            start_new_session=True,
        )

    def wait(self, timeout_seconds: float) -> bool:
        """Wait until it is over; return whether it is, and has rehearsed everything."""
        if self._process is not None:
            try:
                self._process.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                return False
        return rehearsed()

    def stop(self) -> None:
        """End it: what was compiled so far is kept, the rest is compiled when it is needed."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def main(registry: str, process_id: str, ticks: str) -> int:
    """Rehearse, and leave a mark when nothing went wrong; return the exit code."""
    die_with(int(process_id), ticks)
    os.nice(19)
    problems: list[str] = getattr(importlib.import_module(registry), "REHEARSE", list)()
    if not problems:
        mark_rehearsed()
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
