"""What follows what: decisions from values alone."""

from __future__ import annotations

from typing import Any

import pytest

from passerelle.acquisition import Role
from passerelle.core.states import FileState
from passerelle.processing import MovieOutcome, StepRecord
from passerelle.service.flow import Clear, NotYet, Patience, Raise, Ready, Vanished, after_movie, must_redo, readiness
from passerelle.store import File

PATIENCE = Patience(sidecar=30.0, gain=120.0, frames=20.0)


def file(role: Role = Role.MOVIE, state: FileState = FileState.WHOLE, frame: int | None = None, **changes: Any) -> File:
    values = {
        "id": 1,
        "session_id": 1,
        "path": f"a{frame if frame is not None else ''}.mrc",
        "role": role,
        "movie_key": "a",
        "frame": frame,
        "state": state,
        "size": 1,
        "mtime_ns": 1,
        "inode": 1,
        "generation": 0,
        "seen_at": 90.0,
        "closed_at": 99.0,
        "whole_at": 100.0 if state is FileState.WHOLE else None,
        "problem": None,
    }
    return File(**(values | changes))


def ask(files: list[File], now: float = 100.0, **changes: Any) -> Any:
    values = {
        "expects": frozenset(),
        "expected_frames": None,
        "certain": False,
        "gain": None,
        "gain_named": None,
        "patience": PATIENCE,
        "now": now,
    }
    return readiness(files, **(values | changes))


def frames(*numbers: int) -> list[File]:
    return [file(Role.FRAME, frame=number) for number in numbers]


def test_a_whole_movie_that_expects_nothing_is_ready() -> None:
    answer = ask([file()])
    assert isinstance(answer, Ready)
    assert (answer.closed_at, answer.whole_at, answer.without) == (99.0, 100.0, "")


@pytest.mark.parametrize("state", [FileState.GROWING, FileState.UNFINISHED, FileState.BAD])
def test_what_is_not_whole_is_not_ready(state: FileState) -> None:
    assert ask([file(state=state)]) == NotYet("its file is not whole yet")


def test_nothing_left_is_told() -> None:
    assert ask([file(state=FileState.GONE), file(Role.MOVIE_METADATA)]) == Vanished()


def test_a_sidecar_is_waited_for_and_not_for_ever() -> None:
    expects = frozenset({Role.MOVIE_METADATA})
    assert ask([file()], expects=expects) == NotYet("its sidecar is not there yet", 130.0)
    assert isinstance(ask([file(), file(Role.MOVIE_METADATA)], expects=expects), Ready)
    assert ask([file()], now=130.0, expects=expects).without == "sidecar"


def test_a_gain_that_is_named_is_waited_for_and_not_for_ever() -> None:
    answer = ask([file()], gain_named="CountRef.dm4")
    assert answer == NotYet("the gain reference CountRef.dm4 is not there yet", 220.0)
    assert ask([file()], gain=FileState.GROWING) == NotYet("the gain reference is not there yet", 220.0)
    assert isinstance(ask([file()], gain=FileState.WHOLE), Ready)
    assert ask([file()], now=220.0, gain_named="CountRef.dm4").without == "gain"


def test_frames_are_ready_when_as_many_are_there_as_expected() -> None:
    answer = ask(frames(2, 0, 1), expected_frames=3)
    assert isinstance(answer, Ready)
    assert [each.frame for each in answer.files] == [0, 1, 2]
    assert ask(frames(0, 1), expected_frames=3, certain=True, now=1e9) == NotYet("2 of 3 frames are there")
    assert ask(frames(0, 1), expected_frames=3) == NotYet("2 of 3 frames are there", 160.0)
    assert isinstance(ask(frames(0, 1), expected_frames=3, now=160.0), Ready)
    assert ask(frames(0, 1)) == NotYet("2 frames are there so far", 120.0)
    assert isinstance(ask(frames(0, 1), now=120.0), Ready)


def test_a_gap_between_frames_is_waited_for_for_ever() -> None:
    answer = ask(frames(0, 1, 3), expected_frames=3, now=1e9)
    assert isinstance(answer, NotYet) and answer.until is None


def test_only_values_that_the_processing_uses_matter() -> None:
    before = {"voltage_kv": 300.0, "stage_x_um": 1.0}
    assert must_redo(before, before | {"stage_x_um": 2.0, "camera": "K3"}) == ()
    assert must_redo(before, before | {"voltage_kv": 200.0, "pixel_size_angstrom": 0.8}) == ("voltage_kv", "pixel_size_angstrom")


def outcome(**values: Any) -> MovieOutcome:
    step = StepRecord(step="gain", fingerprint="f", values=values)
    return MovieOutcome(movie_id=1, fingerprint="f", steps=(step,), started_at=1.0, finished_at=2.0)


def told(made: MovieOutcome | None, failed: int = 0) -> list[tuple[str, str]]:
    moves = after_movie(made, name="m1", error="is torn", failed_in_a_row=failed, failed_limit=3)
    return [(move.kind, move.message if isinstance(move, Raise) else "cleared") for move in moves]


def test_a_gain_that_fits_otherwise_is_told() -> None:
    turned = dict(told(outcome(orientations={"flip_y": 0.9}, better_orientation="flip_y")))
    assert "turned by flip_y" in turned["gain_orientation"]
    inverted = dict(told(outcome(orientations={"flip_y": 0.9}, better_mode="divide")))
    assert "divides by it" in inverted["gain_orientation"]
    assert dict(told(outcome(orientations={"as_written": 0.9})))["gain_orientation"] == "cleared"
    assert "gain_orientation" not in dict(told(outcome()))


def test_failures_in_a_row_are_told_with_the_last_error() -> None:
    assert told(None, failed=2) == []
    assert told(None, failed=3) == [("movies_failed", "3 movies in a row could not be processed; the last, m1: is torn")]
    assert Clear("movies_failed") in after_movie(outcome(), name="m", error=None, failed_in_a_row=0, failed_limit=3)
