"""Run a program or a function and account for it: CPU seconds of all its children, wall seconds, peak memory."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from passerelle.compute.work import library_settings


@dataclass(frozen=True)
class Cost:
    """What one run cost. cpu_s: user + system; peak_gib: the largest resident set of a process in it."""

    cpu_s: float
    wall_s: float
    peak_gib: float


def run_command(command: Sequence[str | Path], *, cwd: Path | None = None, log: Path | None = None) -> Cost:
    """Run a program to its end and account for it and its children; raise with its last lines if it fails."""
    output = log or Path(os.devnull)
    began = time.monotonic()
    with output.open("wb") as stream:
        process = subprocess.Popen([str(part) for part in command], cwd=cwd, stdout=stream, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - began
    if process.returncode:
        tail = output.read_bytes()[-2000:].decode(errors="replace") if log else ""
        raise SystemExit(f"{command[0]} ended with {process.returncode}:\n{tail}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 2**20)


class Worker:
    """A process that runs one function after another, as a worker of the service does, and accounts for each alone."""

    def __enter__(self) -> Worker:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other,))
        before = dict(os.environ)
        os.environ.update(library_settings(1))  # for this process alone: it reads them when it starts
        try:
            self._process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        other.close()
        return self

    def __exit__(self, *error: object) -> None:
        self._pipe.close()
        self._process.join()

    def run(self, function: Callable[..., Any], *arguments: Any) -> tuple[Cost, Any]:
        """Return what the call cost (peak memory: of the process so far) and what it returned."""
        self._pipe.send((function, arguments))
        try:
            return self._pipe.recv()
        except EOFError:
            raise SystemExit(f"{function.__name__} died") from None


def run_function(function: Callable[..., Any], *arguments: Any) -> tuple[Cost, Any]:
    """Run a function in a fresh process and account for that process alone; return its result, too."""
    with Worker() as worker:
        return worker.run(function, *arguments)


def _serve(pipe: Any) -> None:
    import resource

    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        before = resource.getrusage(resource.RUSAGE_SELF)
        began = time.monotonic()
        result = function(*arguments)
        wall = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        pipe.send((Cost(cpu, wall, after.ru_maxrss / 2**20), result))


def median(costs: Sequence[Cost]) -> Cost:
    """Return the median of each figure."""
    return Cost(*(statistics.median(getattr(cost, name) for cost in costs) for name in ("cpu_s", "wall_s", "peak_gib")))


def arguments(description: str) -> argparse.Namespace:
    """Read what every script in bench/ takes: --quick and --json FILE."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--quick", action="store_true", help="at most 50 s on two cores; a slow peer is timed on a part and scaled"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write {key: number} there")
    parser.add_argument("--repeat", type=int, default=None, help="runs of each program; the median counts")
    return parser.parse_args()


def write_figures(figures: dict[str, float], path: Path | None) -> None:
    """Print the figures, and write them as one flat JSON object where asked."""
    width = max(len(key) for key in figures)
    for key, value in figures.items():
        print(f"{key:<{width}}  {value:.4g}")
    if path:
        path.write_text(json.dumps(figures, indent=1) + "\n")
