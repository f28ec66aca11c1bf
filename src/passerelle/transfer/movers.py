"""Lanes that copy batches side by side: threads for large files, processes for batches of many files."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator
from queue import SimpleQueue

from passerelle.core.errors import PasserelleError
from passerelle.transfer.copy import copy_batch
from passerelle.transfer.crew import Crew
from passerelle.transfer.leg import Leg
from passerelle.transfer.outcome import Outcome, problem_of
from passerelle.transfer.plan import Batch, is_large
from passerelle.transfer.progress import Cancelled, Control

_FEW_FILES = 64  # so few are copied here: to start a process would take longer; more at a time would be too many open files
_QUEUED = 4  # batches a lane that may wait: what bounds the memory of a copy of any size

Recorded = Callable[[list[Outcome]], None]


class Movers:
    """Takes batches, copies them in its lanes, and hands on what became of them."""

    def __init__(self, leg: Leg, control: Control, recorded: Recorded, *, processes: int, threads: int) -> None:
        """recorded: called from the lanes, several at a time."""
        self._leg = leg
        self._control = control
        self._recorded = recorded
        self._room = threading.Semaphore(_QUEUED * (processes + threads))
        self._many: SimpleQueue[Batch | None] = SimpleQueue()
        self._large: SimpleQueue[Batch | None] = SimpleQueue()
        self.error: BaseException | None = None
        self._lanes = [
            *(
                threading.Thread(target=self._lane, args=(self._many, number), name=f"many-{number}")
                for number in range(processes)
            ),
            *(threading.Thread(target=self._lane, args=(self._large, None), name=f"large-{number}") for number in range(threads)),
        ]
        self._processes = processes
        self._files = 0
        self._crew = Crew(leg, processes)
        for lane in self._lanes:
            lane.daemon = True
            lane.start()

    def put(self, batch: Batch) -> None:
        """Hand over a batch; waits while many are waiting.

        Raises:
            Cancelled: the copy was asked to end.
        """
        while not self._room.acquire(timeout=0.2):
            self._control.wait()
        many = self._processes > 0 and not is_large(batch)
        self._files += len(batch) if many else 0
        if self._files > _FEW_FILES:
            self._crew.start()
        (self._many if many else self._large).put(batch)

    def close(self) -> None:
        """Wait until all that was handed over is done; raise what no lane has foreseen."""
        for number in range(len(self._lanes)):
            (self._many if number < self._processes else self._large).put(None)
        for lane in self._lanes:
            lane.join()
        self._crew.close()
        if self.error is not None:
            raise self.error

    def _lane(self, batches: SimpleQueue[Batch | None], worker: int | None) -> None:
        while (batch := batches.get()) is not None:
            self._room.release()
            try:
                self._control.wait()
                for outcomes in self._copied(batch, worker):
                    self._recorded(outcomes)
            except Cancelled:
                continue  # and take the rest out of the queue
            except BaseException as error:  # noqa: BLE001 - raised again by `close`
                self.error = self.error or error
                self._control.cancel()

    def _copied(self, batch: Batch, worker: int | None) -> Generator[list[Outcome]]:
        """Copy a batch, by a worker process where there is one, else here; yield what became of its files, as it is known."""
        if worker is not None and self._crew.ready:
            outcomes = self._crew.copy(worker, batch)
            if outcomes is not None:
                yield outcomes
                return
            with contextlib.suppress(PasserelleError):  # what it cannot take away, the next run will
                self._crew.sweep(worker, batch)
        for start in range(0, len(batch), _FEW_FILES):
            piece = batch[start : start + _FEW_FILES]
            try:
                yield copy_batch(self._leg, piece)
            except PasserelleError as error:
                yield [Outcome(task.path, None, problem_of(task.path, error)) for task in piece]
