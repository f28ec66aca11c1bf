"""The runner between a ledger that may refuse and an executor that may lose."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from passerelle.core.errors import Busy
from passerelle.pipeline import Failed, Instruction, Order, Phase, Policy, Result, Runner, SetAside, Work


@dataclass
class Memory:
    """A ledger in memory; `refuse` makes its next writings fail."""

    work: dict[int, Work]
    refuse: int = 0
    results: dict[int, list[Any]] = field(default_factory=dict)
    aside: list[str] = field(default_factory=list)

    def startable(self, *, now: float, newest: bool, but_not: Iterable[int]) -> Work | None:
        taken = set(but_not)
        ready = [w for w in self.work.values() if w.phase is Phase.QUEUED and w.key not in taken and (w.not_before or 0) <= now]
        return (max if newest else min)(ready, key=lambda each: each.key, default=None)

    def running(self) -> Sequence[Work]:
        return [each for each in self.work.values() if each.phase is Phase.RUNNING]

    def token(self, work: Work, *, at: float) -> str:
        return f"{work.key}-{at}"

    def task(self, work: Work) -> tuple[str, Mapping[str, Any]]:
        return "task", {"key": work.key}

    def read(self, work: Work, content: Mapping[str, Any], *, at: float) -> Result:
        return Result(content, Failed(at, str(work.token), content["error"]) if "error" in content else None)

    def record(
        self, before: Work, after: Work, instructions: tuple[Instruction, ...], *, at: float, result: Result | None = None
    ) -> bool:
        if self.refuse:
            self.refuse -= 1
            raise Busy("is locked.")
        if self.work[before.key] != before:
            return False
        self.work[before.key] = after
        self.aside += [each.words for each in instructions if isinstance(each, SetAside)]
        if result is not None and after.phase is Phase.DONE:
            self.results.setdefault(after.key, []).append(dict(result.content))
        return True


@dataclass
class End:
    handle: str
    lost: str | None = None
    unwritten: str | None = None


@dataclass
class Hands:
    """An executor whose tasks end when the test says so."""

    capacity: int = 2
    cancels: bool = True
    given: dict[str, Path] = field(default_factory=dict)
    ended: list[End] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def submit(self, task: str, spec: Mapping[str, Any], outcome: Path) -> str:
        handle = f"h{spec['key']}-{len(self.given)}"
        self.given[handle] = outcome
        return handle

    def end(self, number: int, content: Mapping[str, Any] | None, lost: str | None = None, unwritten: str | None = None) -> None:
        handle = list(self.given)[number]
        if content is not None:
            self.given[handle].write_text(json.dumps(content))
        self.ended.append(End(handle, lost, unwritten))

    def poll(self) -> Sequence[End]:
        ended, self.ended = self.ended, []
        return ended

    def cancel(self, handle: str) -> None:
        self.cancelled.append(handle)

    def on_ended(self, call: Any) -> None: ...

    def close(self) -> None: ...


def make(folder: Path, count: int = 4, order: Order = Order.OLDEST_FIRST) -> tuple[Memory, Hands, Runner]:
    ledger, hands = Memory({key: Work(key) for key in range(count)}), Hands()
    runner = Runner(ledger, hands, folder / "outcomes", policy=Policy(max_attempts=2, lease_seconds=100.0), order=order)
    runner.reconcile(0.0)
    return ledger, hands, runner


def phases(ledger: Memory) -> list[str]:
    return [work.phase.value for work in ledger.work.values()]


def test_the_executor_is_kept_full_and_not_fuller(tmp_path: Path) -> None:
    ledger, hands, runner = make(tmp_path)
    assert runner.step(1.0).started == 2
    assert runner.step(2.0).started == 0
    hands.end(0, {"ok": 1})
    assert (runner.step(3.0).started, phases(ledger)) == (1, ["done", "running", "running", "queued"])


def test_alternating_takes_the_newest_then_the_oldest(tmp_path: Path) -> None:
    ledger, _, runner = make(tmp_path, order=Order.ALTERNATING)
    runner.step(1.0)
    assert phases(ledger) == ["running", "queued", "queued", "running"]


def test_an_end_that_cannot_be_recorded_is_recorded_later(tmp_path: Path) -> None:
    ledger, hands, runner = make(tmp_path, count=1)
    runner.step(1.0)
    hands.end(0, {"ok": 1})
    ledger.refuse = 2
    for _ in range(2):
        with pytest.raises(Busy):
            runner.step(2.0)
        runner.reconcile(2.5, sweep=False) if not ledger.refuse else None
    runner.step(3.0)
    assert (phases(ledger), ledger.results) == (["done"], {0: [{"ok": 1}]})


def test_a_start_that_cannot_be_recorded_is_not_made(tmp_path: Path) -> None:
    ledger, hands, runner = make(tmp_path, count=1)
    ledger.refuse = 1
    with pytest.raises(Busy):
        runner.step(1.0)
    assert hands.given == {}
    runner.reconcile(1.5, sweep=False)
    assert (runner.step(2.0).started, len(hands.given)) == (1, 1)


def test_a_lost_worker_is_made_good_and_poison_set_aside(tmp_path: Path) -> None:
    ledger, hands, runner = make(tmp_path, count=1)
    runner.step(1.0)
    hands.end(0, None, "The worker was killed.")
    assert runner.step(2.0).started == 1
    hands.end(1, None, "The worker was killed.")
    runner.step(3.0)
    assert phases(ledger) == ["failed"]
    assert ledger.aside == ["The worker was killed. It was tried 2 times."]


def test_a_result_that_was_left_by_a_dying_worker_counts(tmp_path: Path) -> None:
    ledger, hands, runner = make(tmp_path, count=1)
    runner.step(1.0)
    hands.end(0, {"ok": 1}, "The worker was killed.")
    runner.step(2.0)
    assert ledger.results == {0: [{"ok": 1}]}


def test_what_hangs_is_ended_and_its_late_result_dropped(tmp_path: Path) -> None:
    ledger, hands, runner = make(tmp_path, count=1)
    runner.step(1.0)
    runner.step(101.0)
    assert hands.cancelled == ["h0-0"]
    hands.end(0, {"late": 1})
    runner.step(102.0)
    assert ledger.results == {}
    later = ledger.work[0].not_before or 0.0
    runner.step(later + 1.0)
    hands.end(1, {"ok": 2})
    runner.step(later + 2.0)
    assert ledger.results == {0: [{"ok": 2}]}


def test_work_that_was_changed_while_it_ran_waits_for_the_old_run(tmp_path: Path) -> None:
    ledger, hands, runner = make(tmp_path, count=1)
    runner.step(1.0)
    ledger.work[0] = Work(0)  # queued anew by another
    assert runner.step(2.0).started == 0
    hands.end(0, {"old": 1})
    assert runner.step(3.0).started == 1
    hands.end(1, {"new": 1})
    runner.step(4.0)
    assert ledger.results == {0: [{"new": 1}]}


def test_after_a_restart_results_are_taken_and_the_rest_is_done_again(tmp_path: Path) -> None:
    ledger, hands, runner = make(tmp_path)
    runner.step(1.0)
    hands.end(0, {"ok": 1})
    (tmp_path / "outcomes" / ".p-123").write_text("half")
    fresh = Hands()
    again = Runner(ledger, fresh, tmp_path / "outcomes", policy=runner.policy, order=Order.OLDEST_FIRST)
    again.reconcile(5.0)
    assert phases(ledger) == ["done", "queued", "queued", "queued"]
    assert [work.attempts for work in ledger.work.values()] == [0, 0, 0, 0]
    assert list((tmp_path / "outcomes").iterdir()) == []
    again.step(6.0)
    assert phases(ledger) == ["done", "running", "running", "queued"]
