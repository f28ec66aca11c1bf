"""What a worker does with a task: find the registered function, run it, write its outcome by rename."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import platform
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from passerelle.compute.deaths import open_process, start_ticks
from passerelle.core.atomic import write_bytes
from passerelle.core.errors import BadInput, NotAllowed, NotFound, StorageError, storage_errors

Task = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def find(registry: str, task: str) -> Task:
    """Return the function that module `registry` registers under the name `task` in its table TASKS.

    Raises:
        BadInput: there is none; nothing but registered functions is ever run.
    """
    tasks: Mapping[str, Task] = importlib.import_module(registry).TASKS
    if task not in tasks:
        raise BadInput(f"{task!r} is not a task of {registry}.")
    return tasks[task]


def warm(registry: str) -> None:
    """Load what the tasks of a registry will need, if it says so by a function WARM."""
    getattr(importlib.import_module(registry), "WARM", lambda: None)()


def perform(registry: str, task: str, spec: str, outcome: str) -> str | None:
    """Run a task with its specification in JSON and write what it returns, in JSON, to the file `outcome`.

    Return None, or in words why the outcome could not be written: the place is at fault then, not the task.

    Raises:
        BadInput: no such task.
    """
    result = find(registry, task)(json.loads(spec))
    content = json.dumps(result).encode("ascii")
    try:
        with storage_errors(outcome):
            write_bytes(Path(outcome), content)
    except (StorageError, NotFound, NotAllowed) as error:
        return str(error)
    return None


def perform_claimed(registry: str, task: str, spec: str, outcome: str) -> str | None:
    """Do as `perform`, and while it runs leave a note of this process beside the outcome, for `end_claimed`."""
    claim = _claim(outcome)
    own = os.getpid()
    try:
        with storage_errors(claim):
            claim.write_text(f"{platform.node()} {own} {start_ticks(own)}")
    except (StorageError, NotFound, NotAllowed) as error:
        return str(error)  # nor would there be room for the outcome
    try:
        return perform(registry, task, spec, outcome)
    finally:
        claim.unlink(missing_ok=True)


def end_claimed(outcome: Path) -> None:
    """Kill the process that works on this outcome, if it runs on this machine."""
    try:
        node, process_id, ticks = _claim(str(outcome)).read_text().split()
    except (FileNotFoundError, ValueError):
        return  # not begun, or done
    if node == platform.node() and (worker := open_process(int(process_id), ticks)) is not None:
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            signal.pidfd_send_signal(worker, signal.SIGKILL)
        os.close(worker)


def _claim(outcome: str) -> Path:
    return Path(f"{outcome}.claim")


def library_settings(threads: int) -> dict[str, str]:
    """Return the environment in which a worker's libraries keep to so many threads, and keep their memory for the next task.

    As they come, they give each large array back to the kernel, which clears its pages anew for the next movie, and they ask for
    huge pages, for which the kernel moves others about: that was half of a movie's CPU time.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    kept = {"MALLOC_MMAP_THRESHOLD_": str(4 << 30), "MALLOC_TRIM_THRESHOLD_": str(8 << 30), "NUMPY_MADVISE_HUGEPAGE": "0"}
    return {name: str(threads) for name in names} | kept


def release_memory() -> None:
    """Give the memory that library_settings has kept back to the machine, where the C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def worker_environment(threads: int) -> dict[str, str]:
    """Return the environment of a worker: this process's, its import path, and the settings of its libraries."""
    source = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(dict.fromkeys([source, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]))
    return os.environ | library_settings(threads) | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
