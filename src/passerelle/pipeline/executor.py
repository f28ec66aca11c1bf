"""What the pipeline asks of a place where work runs. The comments are the specification; tests/contract holds each one to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol


class Ended(Protocol):
    """A run is over. lost: None when the task returned and its outcome is on the disk; else, in words, how it was lost.

    unwritten: the task returned, and its outcome could not be written (a full disk): why, in words. That is not the task's fault.
    """

    @property
    def handle(self) -> str: ...

    @property
    def lost(self) -> str | None: ...

    @property
    def unwritten(self) -> str | None: ...


class Executor(Protocol):
    """Runs registered tasks: JSON in, JSON out. Used by one thread at a time, except `on_ended`.

    A task is the name of a function in the registry that the executor was made with. Its result is written, by rename and synced,
    to the file `outcome` before its end is reported; a task whose worker dies leaves no outcome, or a whole one.
    """

    @property
    def capacity(self) -> int:
        """How many tasks may be submitted and not yet ended at a time."""
        ...

    @property
    def cancels(self) -> bool:
        """Whether `cancel` ends a task that already runs."""
        ...

    def submit(self, task: str, spec: Mapping[str, Any], outcome: Path) -> str:
        """Start a task and return a handle that no other submission gets. Returns at once.

        Raises:
            Busy: no worker can be had now; nothing was started.
        """
        ...

    def poll(self) -> Sequence[Ended]:
        """Return each task that ended since the last call, once. Never waits."""
        ...

    def cancel(self, handle: str) -> None:
        """End a task, if this executor can; its end is then reported as lost. Unknown handles are ignored."""
        ...

    def on_ended(self, call: Callable[[], None]) -> None:
        """Have `call` made, from any thread, soon after a task ended, so that nobody needs to poll in a hurry."""
        ...

    def close(self) -> None:
        """End all workers and wait until they are gone. Tasks that still run are abandoned. May be called twice."""
        ...
