"""Run tasks in this very process, one after the other: no workers to start, and a debugger sees all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from passerelle.compute.ended import Ended
from passerelle.compute.work import perform
from passerelle.core.errors import Busy


class InlineExecutor:
    """An executor of capacity 1 that does the work inside `poll`. A fault of a task is this process's fault and is raised."""

    capacity = 1
    cancels = False

    def __init__(self, registry: str) -> None:
        self.registry = registry
        self._waiting: tuple[str, str, str, Path] | None = None
        self._count = 0
        self._call: Callable[[], None] = lambda: None

    def submit(self, task: str, spec: Mapping[str, Any], outcome: Path) -> str:
        """Take a task; it runs at the next `poll`."""
        if self._waiting is not None:
            raise Busy("does one task at a time.")
        self._count += 1
        handle = f"inline-{self._count}"
        self._waiting = (handle, task, json.dumps(dict(spec)), outcome)
        self._call()
        return handle

    def poll(self) -> Sequence[Ended]:
        """Run the task that was submitted, if one was."""
        if self._waiting is None:
            return ()
        handle, task, spec, outcome = self._waiting
        self._waiting = None
        return (Ended(handle, unwritten=perform(self.registry, task, spec, str(outcome))),)

    def cancel(self, handle: str) -> None:
        """Do nothing: what runs here runs to its end."""

    def on_ended(self, call: Callable[[], None]) -> None:
        """Have `call` made after each submission: the work is done when `poll` is called next."""
        self._call = call

    def close(self) -> None:
        """Forget a task that was submitted and not run."""
        self._waiting = None
