"""What becomes of work: single decisions, and any sequence of events."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from passerelle.core.errors import IllegalMove
from passerelle.core.errors import Retry as MayRetry
from passerelle.pipeline import (
    Expired,
    Failed,
    Interrupted,
    Launch,
    Lost,
    Order,
    Phase,
    Policy,
    Requeued,
    Retry,
    SetAside,
    Started,
    Stop,
    Succeeded,
    TakeResult,
    Turns,
    Work,
    advance,
)

POLICY = Policy(max_attempts=3, retry_seconds=10.0, longest_wait_seconds=25.0, lease_seconds=100.0)
RUNNING = Work(1, Phase.RUNNING, attempts=1, token="t1", lease_until=100.0)


def test_a_start_is_launched_under_its_token() -> None:
    after, instructions = advance(Work(1), Started(5.0, "t"), POLICY)
    assert after == Work(1, Phase.RUNNING, attempts=1, token="t", lease_until=105.0)
    assert instructions == (Launch("t"),)


def test_a_result_is_taken_once() -> None:
    after, instructions = advance(RUNNING, Succeeded(6.0, "t1"), POLICY)
    assert (after.phase, after.attempts, instructions) == (Phase.DONE, 0, (TakeResult("t1"),))
    assert advance(after, Succeeded(7.0, "t1"), POLICY) == (after, ())


@pytest.mark.parametrize(
    "event", [Succeeded(6.0, "old"), Failed(6.0, "old", "x"), Lost(6.0, "old", "x"), Interrupted(6.0, "old")]
)
def test_what_another_run_reports_is_dropped(event: Succeeded | Failed | Lost | Interrupted) -> None:
    assert advance(RUNNING, event, POLICY) == (RUNNING, ())


def test_waits_grow_up_to_a_limit() -> None:
    assert [POLICY.wait_seconds(n) for n in (1, 2, 3, 99)] == [10.0, 20.0, 25.0, 25.0]


def test_a_failure_is_tried_again_after_a_wait() -> None:
    after, instructions = advance(RUNNING, Failed(6.0, "t1", "no luck"), POLICY)
    assert (after.phase, after.attempts, after.not_before, after.error) == (Phase.QUEUED, 1, 16.0, "no luck")
    assert instructions == (Retry(16.0, "no luck"),)
    with pytest.raises(IllegalMove, match="waits until"):
        advance(after, Started(15.0, "t2"), POLICY)


def test_poison_is_set_aside_with_its_words() -> None:
    after, instructions = advance(replace(RUNNING, attempts=3), Lost(6.0, "t1", "The worker died."), POLICY)
    assert after.phase is Phase.FAILED
    assert after.error == "The worker died. It was tried 3 times."
    assert instructions == (SetAside("The worker died. It was tried 3 times.", ""),)


def test_what_can_never_succeed_is_not_tried_again() -> None:
    after, _ = advance(RUNNING, Failed(6.0, "t1", "wrong magic", "Look at it.", MayRetry.NEVER), POLICY)
    assert (after.phase, after.error, after.advice) == (Phase.FAILED, "wrong magic", "Look at it.")


def test_a_full_disk_costs_no_attempt_and_is_waited_for() -> None:
    work = replace(RUNNING, attempts=3)
    after, instructions = advance(work, Failed(6.0, "t1", "no space", counts=False), POLICY)
    assert (after.phase, after.attempts, after.not_before, after.error) == (Phase.QUEUED, 2, 36.0, "no space")
    assert instructions == (Retry(36.0, "no space"),)


def test_a_service_that_went_down_costs_no_attempt() -> None:
    after, instructions = advance(RUNNING, Interrupted(6.0, "t1"), POLICY)
    assert (after.phase, after.attempts, after.not_before, instructions) == (Phase.QUEUED, 0, None, ())


def test_what_hangs_is_stopped_when_its_lease_is_over() -> None:
    assert advance(RUNNING, Expired(99.0), POLICY) == (RUNNING, ())
    after, instructions = advance(RUNNING, Expired(100.0), POLICY)
    assert after.phase is Phase.QUEUED
    assert instructions[0] == Stop("t1")


def test_an_impossible_event_tells_the_whole_story() -> None:
    with pytest.raises(IllegalMove, match=r"work 1 is running \(attempt 1\) and cannot take Started"):
        advance(RUNNING, Started(6.0, "t2"), POLICY)
    with pytest.raises(IllegalMove, match="cannot take Requeued"):
        advance(Work(1), Requeued(6.0), POLICY)


def test_alternating_takes_from_both_ends() -> None:
    turns = Turns(Order.ALTERNATING)
    taken = []
    for _ in range(4):
        taken.append(turns.newest)
        turns.taken()
    assert taken == [True, False, True, False]
    assert (Turns(Order.NEWEST_FIRST).newest, Turns(Order.OLDEST_FIRST).newest) == (True, False)


class AnyHistory(RuleBasedStateMachine):
    """Whatever happens in whatever order, work is in one place, its result is taken once a queueing, and its words are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.work = Work(7)
        self.now = 0.0
        self.runs = 0
        self.taken = 0
        self.queueings = 1

    def _apply(self, event: object) -> None:
        before = self.work
        self.work, instructions = advance(before, event, POLICY)  # type: ignore[arg-type]
        for instruction in instructions:
            if isinstance(instruction, TakeResult):
                assert instruction.token == before.token
                self.taken += 1
            if isinstance(instruction, SetAside):
                assert self.work.phase is Phase.FAILED and instruction.words

    @rule(seconds=st.floats(0.0, 60.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.work.phase is Phase.QUEUED and (self.work.not_before or 0.0) <= self.now)
    @rule()
    def start(self) -> None:
        self.runs += 1
        self._apply(Started(self.now, f"run{self.runs}"))

    @rule(run=st.integers(0, 2), kind=st.sampled_from(["ok", "failed", "never", "lost", "down", "full"]))
    def report(self, run: int, kind: str) -> None:
        token = f"run{max(self.runs - run, 0)}"
        events = {
            "ok": Succeeded(self.now, token),
            "failed": Failed(self.now, token, "words"),
            "never": Failed(self.now, token, "words", retry=MayRetry.NEVER),
            "lost": Lost(self.now, token, "words"),
            "down": Interrupted(self.now, token),
            "full": Failed(self.now, token, "words", counts=False),
        }
        self._apply(events[kind])

    @rule()
    def expire(self) -> None:
        self._apply(Expired(self.now))

    @precondition(lambda self: self.work.phase in {Phase.DONE, Phase.FAILED})
    @rule()
    def requeue(self) -> None:
        self.queueings += 1
        self._apply(Requeued(self.now))

    @invariant()
    def it_is_consistent(self) -> None:
        work = self.work
        assert (work.token is not None) == (work.lease_until is not None) == (work.phase is Phase.RUNNING)
        assert 0 <= work.attempts <= POLICY.max_attempts
        assert work.not_before is None or work.phase is Phase.QUEUED
        assert (work.phase is not Phase.FAILED) or work.error
        assert self.taken <= self.queueings


AnyHistory.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyHistory = AnyHistory.TestCase


def test_work_that_takes_the_service_down_each_time_is_set_aside_in_the_end() -> None:
    policy = Policy(max_interruptions=3)
    work, deaths = Work(7), 0
    while work.phase is not Phase.FAILED:
        work, _ = advance(work, Started(1.0, f"run-{deaths}"), policy)
        work, told = advance(work, Interrupted(2.0, f"run-{deaths}"), policy)
        deaths += 1
        assert work.attempts in (0, 1)
    assert deaths == 3
    assert told == (SetAside(work.error or "", work.advice or ""),)
    assert "3 times" in (work.error or "")


def test_interruptions_are_counted_in_a_row_and_only_of_runs_that_began() -> None:
    policy = Policy(max_interruptions=2)
    work, _ = advance(Work(7), Started(1.0, "a"), policy)
    work, _ = advance(work, Interrupted(2.0, "a", began=False), policy)
    assert work.interruptions == 0
    work, _ = advance(work, Started(3.0, "b"), policy)
    work, _ = advance(work, Interrupted(4.0, "b"), policy)
    work, _ = advance(work, Started(5.0, "c"), policy)
    work, _ = advance(work, Failed(6.0, "c", "a full disk", counts=False, holds=True), policy)
    assert (work.interruptions, work.attempts, work.not_before) == (0, 0, 6.0 + policy.hold_seconds)
