"""Lanes that copy batches side by side: threads for large files, processes for small ones."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue

from passerelle.core.errors import PasserelleError
from passerelle.transfer.copy import copy_batch
from passerelle.transfer.leg import Leg
from passerelle.transfer.outcome import Outcome, outcome_from, problem_of
from passerelle.transfer.plan import Batch, is_small
from passerelle.transfer.progress import Cancelled, Control
from passerelle.transfer.worker import batch_line, introduce

_FEW_FILES = 64  # a batch of so few is copied here: to start a process would take longer
_QUEUED = 4  # batches a lane that may wait: what bounds the memory of a copy of any size

Recorded = Callable[[list[Outcome]], None]


class Movers:
    """Takes batches, copies them in its lanes, and hands on what became of them."""

    def __init__(self, leg: Leg, control: Control, recorded: Recorded, *, processes: int, threads: int) -> None:
        """recorded: called from the lanes, one at a time."""
        self._leg = leg
        self._control = control
        self._recorded = recorded
        self._recording = threading.Lock()
        self._room = threading.Semaphore(_QUEUED * (processes + threads))
        self._small: SimpleQueue[Batch | None] = SimpleQueue()
        self._large: SimpleQueue[Batch | None] = SimpleQueue()
        self.error: BaseException | None = None
        self._lanes = [
            *(
                threading.Thread(target=self._lane, args=(self._small, number), name=f"small-{number}")
                for number in range(processes)
            ),
            *(threading.Thread(target=self._lane, args=(self._large, None), name=f"large-{number}") for number in range(threads)),
        ]
        self._processes = processes
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
        (self._small if is_small(batch) and self._processes else self._large).put(batch)

    def close(self) -> None:
        """Wait until all that was handed over is done; raise what no lane has foreseen."""
        for number in range(len(self._lanes)):
            (self._small if number < self._processes else self._large).put(None)
        for lane in self._lanes:
            lane.join()
        if self.error is not None:
            raise self.error

    def _lane(self, batches: SimpleQueue[Batch | None], number: int | None) -> None:
        process = None if number is None else _Process(self._leg, number)
        try:
            while (batch := batches.get()) is not None:
                self._room.release()
                try:
                    self._control.wait()
                    outcomes = self._copied(batch, process)
                    with self._recording:
                        self._recorded(outcomes)
                except Cancelled:
                    continue  # and take the rest out of the queue
                except BaseException as error:  # noqa: BLE001 - raised again by `close`
                    self.error = self.error or error
                    self._control.cancel()
        finally:
            if process is not None:
                process.close()

    def _copied(self, batch: Batch, process: _Process | None) -> list[Outcome]:
        try:
            if process is not None and len(batch) > _FEW_FILES:
                outcomes = process.copy(batch)
                if outcomes is not None:
                    self._leg.tick(sum(outcome.bytes for outcome in outcomes))
                    return outcomes
            return copy_batch(self._leg, batch)
        except PasserelleError as error:
            return [Outcome(task.path, None, problem_of(task.path, error)) for task in batch]


class _Process:
    """A worker process, started when there is work for it."""

    def __init__(self, leg: Leg, number: int) -> None:
        self._leg = leg
        self._number = number
        self._process: subprocess.Popen[bytes] | None = None

    def copy(self, batch: Batch) -> list[Outcome] | None:
        """Have a batch copied; None if the process has died, so that its batch is to be copied by somebody else."""
        process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(batch_line(batch))
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if not answer.endswith(b"\n"):
            self.close()
            return None
        return [outcome_from(fields) for fields in json.loads(answer)]

    def close(self) -> None:
        """Let the process end."""
        process, self._process = self._process, None
        if process is not None:
            process.communicate()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", "from passerelle.transfer.worker import main; main()"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        assert self._process.stdin is not None
        self._process.stdin.write(introduce(self._leg, self._leg.keep, self._number))
        return self._process
