"""Each way of running work keeps the same contract."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from passerelle.compute import InlineExecutor, PoolExecutor
from passerelle.compute.parsl_executor import ParslExecutor
from passerelle.testing.executors import REGISTRY, ExecutorContract, alive, until

SOURCE = str(Path(__file__).resolve().parents[2] / "src")


class TestInline(ExecutorContract):
    survives_faults = False

    @classmethod
    def make(cls, folder: Path) -> InlineExecutor:
        return InlineExecutor(REGISTRY)


class TestPool(ExecutorContract):
    @classmethod
    def make(cls, folder: Path) -> PoolExecutor:
        return PoolExecutor(REGISTRY, workers=2)


class TestParsl(ExecutorContract):
    @classmethod
    def make(cls, folder: Path) -> ParslExecutor:
        return ParslExecutor(REGISTRY, workers=2, folder=folder)


SERVICE = """
import os, sys, time
from pathlib import Path
from passerelle.compute import PoolExecutor
from passerelle.compute.parsl_executor import ParslExecutor
from passerelle.testing.executors import REGISTRY
if __name__ == "__main__":
    kind, folder = sys.argv[1], Path(sys.argv[2])
    if kind == "pool":
        executor = PoolExecutor(REGISTRY, workers=1)
    else:
        executor = ParslExecutor(REGISTRY, workers=1, folder=folder / "parsl")
    executor.submit("sleep", {"seconds": 300, "began": str(folder / "began")}, folder / "outcome.json")
    time.sleep(300)
"""


@pytest.mark.parametrize("kind", ["pool", "parsl"])
def test_workers_die_with_a_service_that_is_killed(kind: str, tmp_path: Path) -> None:
    environment = {"PYTHONPATH": SOURCE, "PATH": "/usr/bin:/bin"}
    service = subprocess.Popen([sys.executable, "-c", SERVICE, kind, str(tmp_path)], env=environment)
    began = tmp_path / "began"
    try:
        until(lambda: began.exists() and began.read_text() != "")
        worker = int(began.read_text())
        family = [each for each in (worker, *_with_words(str(tmp_path))) if alive(each)]  # a script may have ended meanwhile
        assert {worker, service.pid} <= set(family)
    finally:
        service.kill()
        service.wait()
    until(lambda: not any(alive(process_id) for process_id in family))


def _with_words(words: str) -> list[int]:
    """Return the processes whose command line names a folder: Parsl's managers and interchange."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words in path.read_bytes().decode("utf-8", "replace"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found
