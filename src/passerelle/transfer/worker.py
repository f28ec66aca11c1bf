"""A process that copies batches of files: a JSON line in, a JSON line out.

For many files most of the time is spent in Python and in the kernel; processes share that work, threads would wait for each
other. While it copies, it says how many bytes it has moved, and waits for leave to go on: so it pauses, and gives up, when it is
to. It ends when its input does, and dies with the process that started it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import socket
import sys
import threading
from io import BufferedRWPair
from pathlib import Path
from typing import Any

from passerelle.core.errors import PasserelleError
from passerelle.transfer import kernel
from passerelle.transfer.attributes import Keep
from passerelle.transfer.beneath import Root
from passerelle.transfer.copy import copy_batch
from passerelle.transfer.leg import Leg
from passerelle.transfer.outcome import Outcome, problem_of, row_from
from passerelle.transfer.plan import Batch, Task
from passerelle.transfer.progress import Cancelled

_ENCODE = json.JSONEncoder(separators=(",", ":")).encode
GO_ON = b"\n"
_TOLD_BYTES = 16 << 20  # what is moved between two words about it
_OPEN_FILES = 4096  # a batch and what is read ahead; the usual limit is 1024


def introduction(leg: Leg) -> bytes:
    """Return the first line for the workers: the folders, and the names that their temporary files may have."""
    keep = leg.keep
    roots = [[os.fspath(root.path), *root.identity] for root in (leg.source, leg.target)]
    return _line([*roots, leg.name, leg.run, [keep.owner, keep.mode, keep.extended], leg.also, leg.lanes])


def run_of(run: str, number: int) -> str:
    """Return what names the temporary files of one worker of a run, and of no other."""
    return f"{run}-{number:x}"


def batch_line(batch: Batch) -> bytes:
    """Return a batch as a worker reads it."""
    return _line(batch)


def main() -> None:
    """Serve sockets, each in a process of its own. Arguments: who has started this, the sockets. Input: the introduction."""
    parent, *sockets = map(int, sys.argv[1:])
    kernel.die_with_parent(parent)
    gc.set_threshold(100_000)  # a batch makes many values that live until its end, and no cycles
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_OPEN_FILES, most) if most >= 0 else _OPEN_FILES, most))
    source, target, name, run, keep, also, lanes = json.loads(sys.stdin.buffer.readline())
    with _root(source) as source_root, _root(target) as target_root:
        number = _forked(len(sockets))
        leg = Leg(source_root, target_root, name, run_of(run, number), Keep(*keep), tuple(also), lanes)
        for other in sockets[:number] + sockets[number + 1 :]:
            os.close(other)  # else nobody would see that its worker has died
        _serve(leg, sockets[number])
    while number == 0:  # the first waits for the others, and whoever waits for the first has waited for all
        try:
            os.wait()
        except ChildProcessError:
            return


def _forked(count: int) -> int:
    """Become so many processes; return the number of this one."""
    first = os.getpid()
    for number in range(1, count):
        if os.fork() == 0:
            kernel.die_with_parent(first)
            os.setsid()  # as the first: on a busy machine the kernel shares its processors out by sessions
            return number
    return 0


def _serve(leg: Leg, descriptor: int) -> None:
    """Copy the batches that come over a socket; answer each with what became of its files."""
    with (
        contextlib.suppress(Cancelled, ConnectionError),
        socket.socket(fileno=descriptor) as connection,
        connection.makefile("rwb") as stream,
    ):
        moved = _Moved(stream)
        leg.tick = moved.add
        for line in stream:
            outcomes = _copied(leg, _batch(json.loads(line)))
            stream.write(_line([moved.taken(), outcomes]))
            stream.flush()


class _Moved:
    """Bytes that were moved, and that nobody was told of yet."""

    def __init__(self, stream: BufferedRWPair) -> None:
        self._stream = stream
        self._bytes = 0
        self._telling = threading.Lock()

    def add(self, size: int) -> None:
        """Add bytes, from any thread; if there are many now, tell of them, and wait until we may go on.

        Raises:
            Cancelled: nobody listens any more.
        """
        with self._telling:
            self._bytes += size
            if self._bytes < _TOLD_BYTES:
                return
            self._stream.write(_line(self.taken()))
            with contextlib.suppress(ConnectionError):
                self._stream.flush()
            if self._stream.readline() != GO_ON:
                raise Cancelled

    def taken(self) -> int:
        """Return how many they are; they count as told."""
        taken, self._bytes = self._bytes, 0
        return taken


def _copied(leg: Leg, batch: Batch) -> list[Outcome]:
    try:
        return copy_batch(leg, batch)
    except PasserelleError as error:
        return [Outcome(task.path, None, problem_of(task.path, error)) for task in batch]


def _root(fields: list[Any]) -> Root:
    path, device, inode = fields
    return Root(Path(path), same_as=(device, inode))


def _batch(fields: list[Any]) -> Batch:
    return tuple(Task(path, size, replace, row_from(row)) for path, size, replace, row in fields)


def _line(value: Any) -> bytes:
    return _ENCODE(value).encode("ascii") + b"\n"
