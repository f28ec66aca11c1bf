"""The whole-file rule, decided from facts and the time alone."""

from __future__ import annotations

import numpy as np
import pytest

from passerelle.formats.reader import MovieHeader
from passerelle.gateway.change import ExpectedFrames
from passerelle.gateway.settle import (
    Broken,
    FileFacts,
    Finding,
    GiveNotice,
    HandOn,
    Incomplete,
    SetAside,
    SettleRules,
    Unproven,
    Wait,
    Whole,
    Writers,
    settle,
)

RULES = SettleRules()
CLOSED, OPEN, UNKNOWN = Writers.NONE, Writers.SOME, Writers.UNKNOWN


def movie(frames: int, *, growable: bool = False, doubt: str = "") -> Whole:
    return Whole(MovieHeader("x", frames, 4, 4, np.dtype("u1")), growable=growable, doubt=doubt)


def facts(finding: Finding, writers: Writers = CLOSED, *, gap: float = 0.0, expected: ExpectedFrames | None = None) -> FileFacts:
    return FileFacts(changed_at=100.0, longest_gap_seconds=gap, writers=writers, finding=finding, expected=expected)


@pytest.mark.parametrize(
    ("case", "quiet_seconds"),
    [
        (facts(movie(40)), 0.3),
        (facts(movie(40), UNKNOWN), 4.0),
        (facts(movie(40), expected=ExpectedFrames(40)), 0.3),
        (facts(movie(40, growable=True)), 10.0),
        (facts(movie(40, growable=True), expected=ExpectedFrames(40)), 0.3),
        (facts(movie(40, growable=True), UNKNOWN, expected=ExpectedFrames(40)), 4.0),
        (facts(movie(41, growable=True), expected=ExpectedFrames(40)), 10.0),
        (facts(movie(41), expected=ExpectedFrames(40)), 10.0),
        (facts(movie(30), expected=ExpectedFrames(40)), 150.0),
        (facts(movie(30), expected=ExpectedFrames(40, certain=True)), 600.0),
        (facts(movie(30, growable=True), UNKNOWN, expected=ExpectedFrames(40, certain=True)), 600.0),
        (facts(movie(40, doubt="3 of its frames are empty.")), 150.0),
        (facts(movie(40, growable=True), gap=5.0), 20.0),
        (facts(movie(40, growable=True), gap=500.0), 150.0),
        (facts(Whole()), 0.3),
        (facts(Unproven()), 10.0),
        (facts(Unproven(text=True)), 2.0),
        (facts(Unproven(text=True), UNKNOWN), 10.0),
    ],
)
def test_a_file_is_handed_on_after_the_quiet_time_of_its_case_and_not_before(case: FileFacts, quiet_seconds: float) -> None:
    just_before = settle(case, 100.0 + quiet_seconds - 0.01, RULES)
    assert isinstance(just_before, Wait)
    assert just_before.until == pytest.approx(100.0 + quiet_seconds)
    assert isinstance(settle(case, 100.0 + quiet_seconds + 0.01, RULES), HandOn)


@pytest.mark.parametrize("finding", [movie(40), Unproven(), Incomplete("short"), Broken("bad magic"), Whole()])
def test_a_file_that_a_program_has_open_is_never_handed_on_nor_set_aside(finding: Finding) -> None:
    for after in (0.0, 1.0, 100.0, 599.0):
        assert isinstance(settle(facts(finding, OPEN), 100.0 + after, RULES), Wait)
    assert isinstance(settle(facts(finding, OPEN), 100.0 + 601.0, RULES), GiveNotice)


@pytest.mark.parametrize(
    "case",
    [
        facts(Incomplete("It ends early.")),
        facts(Incomplete("It ends early."), UNKNOWN),
        facts(movie(40, doubt="3 of its frames are empty."), UNKNOWN),
    ],
)
def test_what_is_surely_incomplete_is_shown_after_ten_minutes_and_never_handed_on(case: FileFacts) -> None:
    assert isinstance(settle(case, 100.0 + 599.0, RULES), Wait)
    notice = settle(case, 100.0 + 600.0, RULES)
    assert isinstance(notice, GiveNotice)
    assert notice.reason
    assert isinstance(settle(case, 100.0 + 1e6, RULES), GiveNotice)


def test_too_few_frames_are_named_while_it_waits() -> None:
    case = facts(movie(30, growable=True), expected=ExpectedFrames(40, certain=True))
    assert settle(case, 200.0, RULES) == Wait(700.0, "It has 30 of 40 frames.")


def test_a_broken_header_is_given_time_because_some_writers_write_it_last() -> None:
    assert isinstance(settle(facts(Broken("wrong magic")), 100.0 + 29.0, RULES), Wait)
    assert settle(facts(Broken("wrong magic")), 100.0 + 30.0, RULES) == SetAside("wrong magic")
    assert isinstance(settle(facts(Broken("wrong magic"), UNKNOWN), 100.0 + 149.0, RULES), Wait)
    assert settle(facts(Broken("wrong magic"), UNKNOWN), 100.0 + 150.0, RULES) == SetAside("wrong magic")


def test_a_quiet_time_longer_than_all_patience_is_kept() -> None:
    rules = SettleRules(quiet_seconds=300.0)
    assert isinstance(settle(facts(Unproven()), 100.0 + 299.0, rules), Wait)
    assert isinstance(settle(facts(Unproven()), 100.0 + 300.0, rules), HandOn)
