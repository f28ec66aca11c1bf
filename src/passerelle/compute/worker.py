"""A worker process of `compute.pool`: a task a line on standard input, a word a line on standard output, until the pipe closes.

Started as `python -m passerelle.compute.worker REGISTRY PROCESS_ID START_TICKS`. A fault of a task ends the worker with a
traceback on standard error; the pool tells of it and starts another worker.
"""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Iterator

from passerelle.compute.deaths import die_with
from passerelle.compute.work import perform, release_memory, warm

_IDLE_SECONDS = 60.0


def main(registry: str, process_id: str, ticks: str) -> None:
    """Serve tasks until the service closes the pipe or dies."""
    die_with(int(process_id), ticks)
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints must not be taken for a reply
    warm(registry)
    replies.write(b"ready\n")
    for line in _orders():
        order = json.loads(line)
        unwritten = perform(registry, order["task"], order["spec"], order["outcome"])
        replies.write(b"ended " + json.dumps(unwritten).encode("ascii") + b"\n")


def _orders() -> Iterator[bytes]:
    """Yield what the service asks for, one thing at a time; after a minute without, give memory back to the machine."""
    while True:
        # the service sends the next order after the reply to the last one, so that none waits in the buffer unseen
        if not select.select([sys.stdin], [], [], _IDLE_SECONDS)[0]:
            release_memory()
        line = sys.stdin.buffer.readline()
        if not line:
            return
        yield line


if __name__ == "__main__":
    main(*sys.argv[1:4])
