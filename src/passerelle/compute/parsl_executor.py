"""Run tasks through Parsl's HighThroughputExecutor: on this machine now, on clusters by another provider later."""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from parsl.config import Config
from parsl.dataflow.dflow import DataFlowKernel
from parsl.executors import HighThroughputExecutor
from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost
from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD
from parsl.providers import LocalProvider

from passerelle.compute.deaths import memory_kills, start_ticks
from passerelle.compute.ended import Ended
from passerelle.compute.work import end_claimed, perform_claimed, warm, worker_environment
from passerelle.core.errors import Busy, storage_errors
from passerelle.core.log import logger

_LABEL = "passerelle"
_RUNS_KEPT = 3
_SHUT_DOWN_SECONDS = 5.0


class ParslExecutor:
    """An executor of `workers` Parsl workers on this machine, tied to this process. folder: for Parsl's own files and logs."""

    cancels = True  # a task that has begun, on this machine

    def __init__(self, registry: str, *, workers: int, threads: int = 1, folder: Path) -> None:
        self.registry = registry
        self.capacity = max(1, workers)
        self._threads = max(1, threads)
        self._folder = folder
        self._ended: SimpleQueue[Ended] = SimpleQueue()
        self._call: Callable[[], None] = lambda: None
        self._count = 0
        self._live: dict[str, Future[Any]] = {}
        self._outcomes: dict[str, Path] = {}
        self._lock = threading.Lock()
        self._closed = False
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for old in sorted(folder.glob("[0-9]*"))[:-_RUNS_KEPT]:
                shutil.rmtree(old, ignore_errors=True)
        logging.getLogger("parsl").setLevel(logging.ERROR)
        self._memory_kills = memory_kills()
        self._htex, self._kernel = self._start()

    def _start(self) -> tuple[HighThroughputExecutor, DataFlowKernel]:
        programs = Path(sys.executable).parent
        tether = [sys.executable, "-m", "passerelle.compute.tether", str(os.getpid()), str(start_ticks(os.getpid()))]
        environment = worker_environment(self._threads) | {"PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"}
        ours = {name: inner for name, inner in environment.items() if os.environ.get(name) != inner}
        # both are Python programs beside our own interpreter, which need not be on the service's PATH
        interchange = [*tether, sys.executable, str(programs / "interchange.py")]
        pool = shlex.join([*tether, sys.executable, str(programs / "process_worker_pool.py")])
        htex = HighThroughputExecutor(
            label=_LABEL,
            address="127.0.0.1",
            loopback_address="127.0.0.1",
            provider=LocalProvider(
                init_blocks=1,
                min_blocks=1,
                max_blocks=1,
                worker_init="\n".join(f"export {name}={shlex.quote(inner)}" for name, inner in ours.items()),
            ),
            cores_per_worker=0.01,  # the number of workers is ours to decide
            max_workers_per_node=self.capacity,
            prefetch_capacity=0,
            heartbeat_period=1,  # also how soon a dead worker is noticed
            heartbeat_threshold=60,
            launch_cmd=DEFAULT_LAUNCH_CMD.replace("process_worker_pool.py", pool.replace("{", "{{").replace("}", "}}"), 1),
            interchange_launch_cmd=interchange,
            block_error_handler=False,  # a manager that died is started anew; the pipeline counts what its movies suffered
            encrypted=False,  # all on the loopback device; certificates cost a second at each start
        )
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = environment["PYTHONPATH"]  # the interchange inherits it
        try:
            kernel = DataFlowKernel(
                Config(
                    executors=[htex],
                    run_dir=str(self._folder),
                    usage_tracking=0,
                    retries=0,  # the pipeline retries
                    strategy="simple",
                    strategy_period=1,
                    max_idletime=1e9,
                    exit_mode="skip",
                    initialize_logging=False,
                )
            )
        finally:
            if before is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = before
        for _ in range(self.capacity):
            kernel.submit(warm, app_args=(self.registry,), executors=[_LABEL], cache=False, ignore_for_cache=None, app_kwargs={})
        return htex, kernel

    def submit(self, task: str, spec: Mapping[str, Any], outcome: Path) -> str:
        """Hand a task to Parsl."""
        if self._closed:
            raise Busy("is closed.")
        with self._lock:
            if len(self._live) >= self.capacity:
                raise Busy(f"all {self.capacity} workers have a task.")
            self._count += 1
            handle = f"parsl-{os.getpid()}-{self._count}"
        arguments = (self.registry, task, json.dumps(dict(spec)), str(outcome))
        future = self._kernel.submit(
            perform_claimed, app_args=arguments, executors=[_LABEL], cache=False, ignore_for_cache=None, app_kwargs={}
        )
        with self._lock:
            self._live[handle] = future
            self._outcomes[handle] = outcome
        future.add_done_callback(lambda done: self._done(handle, done))
        return handle

    def poll(self) -> Sequence[Ended]:
        """Return the tasks that ended since the last call; start Parsl anew if its interchange died."""
        interchange = self._htex.interchange_proc
        if not self._closed and interchange is not None and interchange.poll() is not None:
            self._restart()
        ended: list[Ended] = []
        while True:
            try:
                ended.append(self._ended.get_nowait())
            except Empty:
                return ended

    def cancel(self, handle: str) -> None:
        """Kill the worker that has this task: Parsl itself cannot end what runs, and replaces the worker."""
        with self._lock:
            outcome = self._outcomes.get(handle)
        if outcome is not None:
            end_claimed(outcome)

    def on_ended(self, call: Callable[[], None]) -> None:
        """Have `call` made, from a thread of Parsl, when a task ended."""
        self._call = call

    def close(self) -> None:
        """End the workers, the managers and the interchange."""
        if self._closed:
            return
        self._closed = True
        self._shut_down()

    def _done(self, handle: str, future: Future[Any]) -> None:
        with self._lock:
            self._outcomes.pop(handle, None)
            if self._live.pop(handle, None) is None:
                return  # it was given up in a restart
        error = future.exception()
        self._ended.put(Ended(handle, unwritten=future.result()) if error is None else Ended(handle, self._why(error)))
        self._call()

    def _why(self, error: BaseException) -> str:
        if isinstance(error, WorkerLost | ManagerLost):
            before, self._memory_kills = self._memory_kills, memory_kills()
            if self._memory_kills > before:
                return "Its worker process was killed because the machine's memory ran out. Use fewer workers, or add memory."
            return "Its worker process died: killed by a person, a batch system or a limit on memory, or it crashed."
        return f"Its worker met a fault: {type(error).__name__}: {error}"

    def _restart(self) -> None:
        """The interchange died: all that ran is lost. Parsl itself would wait for ever."""
        logger.warning("parsl_restarted", why="its interchange process died")
        with self._lock:
            lost, self._live, self._outcomes = list(self._live), {}, {}
        for handle in lost:
            self._ended.put(Ended(handle, "The process that hands work to the workers died."))
        self._shut_down()
        self._htex, self._kernel = self._start()

    def _shut_down(self) -> None:
        # cleanup waits for tasks that will never end when a process of Parsl is dead: it gets a time limit
        thread = threading.Thread(target=self._kernel.cleanup, name="parsl-cleanup", daemon=True)
        thread.start()
        thread.join(_SHUT_DOWN_SECONDS)
        if thread.is_alive():
            logger.warning("parsl_cleanup_hangs", seconds=_SHUT_DOWN_SECONDS)
