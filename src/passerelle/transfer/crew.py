"""The worker processes of a copy, seen from the process that it belongs to."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from io import BufferedRWPair
from typing import Any

from passerelle.transfer.folders import sweep
from passerelle.transfer.leg import Leg
from passerelle.transfer.outcome import Outcome, outcome_from
from passerelle.transfer.plan import Batch
from passerelle.transfer.progress import Cancelled
from passerelle.transfer.tree import list_folder
from passerelle.transfer.worker import GO_ON, batch_line, introduction, run_of


class Crew:
    """Worker processes, started together when there is work for them.

    Only one is started: it makes the others by forking itself, which takes a hundredth of the time that Python takes to start.
    """

    def __init__(self, leg: Leg, count: int) -> None:
        self._leg = leg
        self._count = count
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: list[BufferedRWPair] = []
        self.ready = False

    def start(self) -> None:
        """Start the workers, unless they are there. They die with the thread that calls this; it calls `close` as well."""
        if self._process is not None:
            return
        pairs = [socket.socketpair() for _ in range(self._count)]
        theirs = [other.fileno() for _, other in pairs]
        program = "from passerelle.transfer.worker import main; main()"
        command = [sys.executable, "-c", program, *map(str, [os.getpid(), *theirs])]
        with contextlib.suppress(OSError):  # there may be no room for another process: then there is no worker, as if it had died
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=theirs, start_new_session=True)
            assert self._process.stdin is not None
            self._process.stdin.write(introduction(self._leg))
            self._process.stdin.flush()
        for ours, other in pairs:
            other.close()
            self._lines.append(ours.makefile("rwb"))
            ours.close()
        self.ready = True

    def copy(self, number: int, batch: Batch) -> list[Outcome] | None:
        """Have a batch copied by a worker; None if that has died, so that its batch is to be copied by somebody else.

        Raises:
            Cancelled: by the leg's tick; the worker then gives up as soon as its line is closed.
        """
        line = self._lines[number]
        answer = _asked(line, batch_line(batch))
        while isinstance(answer, int):
            self._leg.tick(answer)
            answer = _asked(line, GO_ON)
        if answer is None:
            return None
        rest, outcomes = answer
        with contextlib.suppress(Cancelled):  # what became of the batch is to be written down all the same
            self._leg.tick(rest)
        return [outcome_from(fields) for fields in outcomes]

    def sweep(self, number: int, batch: Batch) -> None:
        """Take away the temporary files that a dead worker has left of its batch.

        Raises:
            StorageError and kin: one could not be.
        """
        for folder in {task.folder for task in batch}:
            sweep(self._leg, list_folder(self._leg.target, folder), [run_of(self._leg.run, number)])

    def close(self) -> None:
        """Let the workers end, and wait until they have."""
        for line in self._lines:
            with contextlib.suppress(OSError):  # what a dead worker did not take
                line.close()
        if self._process is not None:
            self._process.communicate()


def _asked(line: BufferedRWPair, words: bytes) -> Any:
    """Return what a worker answers: how many bytes it has moved, with what became of its batch at the end; None if it is dead."""
    try:
        line.write(words)
        line.flush()
        answer = line.readline()
    except OSError:
        return None
    return json.loads(answer) if answer.endswith(b"\n") else None
