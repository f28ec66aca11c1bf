"""What every executor must do (`pipeline.Executor`): subclass this suite, give an executor, and pytest does the rest.

class TestMine(ExecutorContract):
    @classmethod
    def make(cls, folder): return MyExecutor(REGISTRY, workers=2, folder=folder)
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from passerelle.core.errors import Busy
from passerelle.pipeline import Ended, Executor

REGISTRY = "passerelle.testing.executors"
_PATIENCE_SECONDS = 120.0


def _echo(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"spec": dict(spec), "process": os.getpid()}


def _sleep(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    Path(spec["began"]).write_text(str(os.getpid()))
    time.sleep(spec["seconds"])
    return {"slept": spec["seconds"]}


def _hold(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    ends = time.monotonic() + 2 * _PATIENCE_SECONDS
    while not Path(spec["until"]).exists() and time.monotonic() < ends:
        time.sleep(0.01)
    return {}


def _die(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def _fault(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    raise RuntimeError("a fault of the task")


def _print(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    os.write(1, b"ended\nwhat a library says\n")
    return {"printed": True}


TASKS = {"echo": _echo, "sleep": _sleep, "hold": _hold, "die": _die, "fault": _fault, "print": _print}


class ExecutorContract:
    """The specification of `pipeline.Executor`, as tests."""

    survives_faults = True  # a task that dies does not take this very process with it

    @classmethod
    def make(cls, folder: Path) -> Executor:
        """Return an executor with the registry of this module and capacity 2 (or 1, if it can do no more)."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def executor(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
        made = cls.make(tmp_path_factory.mktemp("executor"))
        yield made
        made.close()
        made.close()  # may be called twice

    def test_a_task_leaves_its_whole_outcome_before_its_end_is_told(self, executor: Executor, tmp_path: Path) -> None:
        outcome = tmp_path / "outcome.json"
        handle = executor.submit("echo", {"name": "ünï\n", "number": 1.5}, outcome)
        (ended,) = wait_for(executor, 1)
        assert (ended.handle, ended.lost) == (handle, None)
        assert json.loads(outcome.read_bytes())["spec"] == {"name": "ünï\n", "number": 1.5}
        assert [path.name for path in tmp_path.iterdir()] == ["outcome.json"]

    def test_an_end_is_told_once(self, executor: Executor, tmp_path: Path) -> None:
        executor.submit("echo", {}, tmp_path / "outcome.json")
        assert len(wait_for(executor, 1)) == 1
        time.sleep(0.2)
        assert list(executor.poll()) == []

    def test_handles_differ_and_capacity_is_kept(self, executor: Executor, tmp_path: Path) -> None:
        capacity, go = executor.capacity, tmp_path / "go"
        handles = {executor.submit("hold", {"until": str(go)}, tmp_path / f"{number}.json") for number in range(capacity)}
        try:
            assert len(handles) == capacity
            with pytest.raises(Busy):
                executor.submit("echo", {}, tmp_path / "one-too-many.json")
        finally:
            go.touch()
        assert {ended.handle for ended in wait_for(executor, capacity)} == handles

    def test_who_waits_is_told(self, executor: Executor, tmp_path: Path) -> None:
        told = threading.Event()
        executor.on_ended(told.set)
        try:
            executor.submit("echo", {}, tmp_path / "outcome.json")
            if not told.wait(0.01):
                executor.poll()
            assert told.wait(_PATIENCE_SECONDS)
        finally:
            executor.on_ended(lambda: None)
            drain(executor)

    def test_what_a_task_prints_confuses_nobody(self, executor: Executor, tmp_path: Path) -> None:
        executor.submit("print", {}, tmp_path / "outcome.json")
        (ended,) = wait_for(executor, 1)
        assert ended.lost is None
        assert json.loads((tmp_path / "outcome.json").read_bytes()) == {"printed": True}

    def test_a_killed_worker_is_told_in_words_and_replaced(self, executor: Executor, tmp_path: Path) -> None:
        if not self.survives_faults:
            pytest.skip("this executor works in the caller's own process")
        handle = executor.submit("die", {}, tmp_path / "dead.json")
        (ended,) = wait_for(executor, 1)
        assert ended.handle == handle
        assert ended.lost is not None and "killed" in ended.lost
        assert not (tmp_path / "dead.json").exists()
        executor.submit("echo", {}, tmp_path / "next.json")
        (ended,) = wait_for(executor, 1)
        assert ended.lost is None

    def test_a_fault_of_a_task_is_told_with_its_words(self, executor: Executor, tmp_path: Path) -> None:
        if not self.survives_faults:
            pytest.skip("this executor works in the caller's own process")
        executor.submit("fault", {}, tmp_path / "outcome.json")
        (ended,) = wait_for(executor, 1)
        assert ended.lost is not None and "a fault of the task" in ended.lost

    def test_an_outcome_that_finds_no_place_is_not_the_tasks_fault(self, executor: Executor, tmp_path: Path) -> None:
        handle = executor.submit("echo", {}, tmp_path / "nowhere" / "outcome.json")
        (ended,) = wait_for(executor, 1)
        assert (ended.handle, ended.lost) == (handle, None)
        assert ended.unwritten is not None and "nowhere" in ended.unwritten
        executor.submit("echo", {}, tmp_path / "next.json")
        (ended,) = wait_for(executor, 1)
        assert (ended.lost, ended.unwritten) == (None, None)

    def test_a_name_that_is_not_registered_is_never_run(self, executor: Executor, tmp_path: Path) -> None:
        if not self.survives_faults:
            pytest.skip("this executor works in the caller's own process")
        executor.submit("os.system", {}, tmp_path / "outcome.json")
        (ended,) = wait_for(executor, 1)
        assert ended.lost is not None and "is not a task" in ended.lost

    def test_a_running_task_is_ended_where_that_is_possible(self, executor: Executor, tmp_path: Path) -> None:
        executor.cancel("no such handle")
        if not executor.cancels:
            pytest.skip("this executor cannot end what runs")
        began = tmp_path / "began"
        handle = executor.submit("sleep", {"seconds": 300, "began": str(began)}, tmp_path / "outcome.json")
        until(lambda: began.exists() and began.read_text() != "")
        executor.cancel(handle)
        (ended,) = wait_for(executor, 1)
        assert ended.handle == handle and ended.lost is not None
        assert not (tmp_path / "outcome.json").exists()

    def test_closing_leaves_no_worker_behind(self, tmp_path: Path) -> None:
        if not self.survives_faults:
            pytest.skip("this executor works in the caller's own process")
        executor = self.make(tmp_path / "executor")
        began = tmp_path / "began"
        executor.submit("sleep", {"seconds": 300, "began": str(began)}, tmp_path / "outcome.json")
        until(lambda: began.exists() and began.read_text() != "")
        worker = int(began.read_text())
        executor.close()
        until(lambda: not alive(worker), seconds=30)  # before Parsl misses a heartbeat


def wait_for(executor: Executor, count: int) -> Sequence[Ended]:
    """Poll until so many tasks ended."""
    ended: list[Ended] = []

    def enough() -> bool:
        ended.extend(executor.poll())
        return len(ended) >= count

    until(enough)
    return ended


def drain(executor: Executor) -> None:
    """Take what ended lately, so that the next test starts with nothing."""
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline and not executor.poll():
        time.sleep(0.01)


def until(true: Callable[[], bool], seconds: float = _PATIENCE_SECONDS) -> None:
    """Wait until something is true, for two minutes at most."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited for {seconds:.0f} s in vain"
        time.sleep(0.01)


def alive(process_id: int) -> bool:
    """Say whether a process runs: one that is dead and not yet reaped does not."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # it may end while its line is read
        return False
    return state not in {"Z", "X"}
