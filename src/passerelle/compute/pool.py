"""Run tasks in worker processes of this machine: they stay warm, die with the service, and one that dies is replaced."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any

from passerelle.compute.deaths import memory_kills, start_ticks, why_it_died
from passerelle.compute.ended import Ended
from passerelle.compute.work import worker_environment
from passerelle.core.errors import Busy

_LAST_WORDS_BYTES = 2000


class PoolExecutor:
    """An executor of `workers` processes, `threads` numerical threads each. Needs no scheduler and no port."""

    cancels = True

    def __init__(self, registry: str, *, workers: int, threads: int = 1) -> None:
        self.registry = registry
        self.capacity = max(1, workers)
        self._threads = max(1, threads)
        self._ended: SimpleQueue[Ended] = SimpleQueue()
        self._call: Callable[[], None] = lambda: None
        self._count = 0
        self._lock = threading.Lock()
        self._workers = [_Worker(self) for _ in range(self.capacity)]

    def submit(self, task: str, spec: Mapping[str, Any], outcome: Path) -> str:
        """Hand a task to a free worker."""
        line = json.dumps({"task": task, "spec": json.dumps(dict(spec)), "outcome": str(outcome)}).encode("ascii") + b"\n"
        with self._lock:
            for place, worker in enumerate(self._workers):
                if worker.handle is not None:
                    continue
                self._count += 1
                handle = f"pool-{os.getpid()}-{self._count}"
                if not worker.start(handle, line):  # it died while it had nothing to do: another takes its place
                    worker = self._workers[place] = _Worker(self)
                    if not worker.start(handle, line):
                        raise Busy("no worker process can be started.", advice="See the log for the reason.")
                return handle
        raise Busy(f"all {self.capacity} workers have a task.")

    def poll(self) -> Sequence[Ended]:
        """Return the tasks that ended since the last call."""
        ended: list[Ended] = []
        while True:
            try:
                ended.append(self._ended.get_nowait())
            except Empty:
                return ended

    def cancel(self, handle: str) -> None:
        """Kill the worker that has this task."""
        with self._lock:
            for worker in self._workers:
                if worker.handle == handle:
                    worker.process.kill()

    def on_ended(self, call: Callable[[], None]) -> None:
        """Have `call` made, from a thread of the pool, when a task ended."""
        self._call = call

    def process_ids(self) -> list[int]:
        """Return the ids of the worker processes."""
        with self._lock:
            return [worker.process.pid for worker in self._workers if worker.process.poll() is None]

    def close(self) -> None:
        """Kill all workers and wait until they are gone."""
        with self._lock:
            workers = list(self._workers)
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.process.wait()
            worker.reader.join(timeout=5)

    def _task_ended(self, worker: _Worker, lost: str | None, unwritten: str | None = None) -> None:
        """Called by a worker's reader thread."""
        with self._lock:
            handle, worker.handle = worker.handle, None  # a dead worker is replaced when its place is needed
        if handle is not None:
            self._ended.put(Ended(handle, lost, unwritten))
            self._call()


class _Worker:
    """One process, its pipes, and the thread that reads what it says."""

    def __init__(self, pool: PoolExecutor) -> None:
        self.pool = pool
        self.handle: str | None = None
        self.words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self.memory_kills = memory_kills()
        own = os.getpid()
        command = [sys.executable, "-m", "passerelle.compute.worker", pool.registry, str(own), str(start_ticks(own))]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.words,
            bufsize=0,
            env=worker_environment(pool._threads),
            start_new_session=True,  # Ctrl-C at the service's terminal is the service's business
        )
        self.reader = threading.Thread(target=self._read, name="pool-reader", daemon=True)
        self.reader.start()

    def start(self, handle: str, line: bytes) -> bool:
        """Give a task; False if the process is dead."""
        assert self.process.stdin is not None
        if self.process.poll() is not None:
            return False
        self.handle = handle
        try:
            self.process.stdin.write(line)
        except BrokenPipeError:
            self.handle = None
            return False
        return True

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as replies:
            for word in replies:
                if word.startswith(b"ended "):
                    self.pool._task_ended(self, None, json.loads(word.removeprefix(b"ended ")))
        returncode = self.process.wait()
        lost = why_it_died(returncode, memory_kills_before=self.memory_kills, said=self._last_words())
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.words.close()
        self.pool._task_ended(self, lost)

    def _last_words(self) -> str:
        size = self.words.seek(0, os.SEEK_END)
        self.words.seek(max(0, size - _LAST_WORDS_BYTES))
        lines = self.words.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip() if lines else ""
