"""One movie through all its steps: what a run cut short leaves is never vouched for, and nothing is made from a mix of files."""

import fcntl
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from passerelle.formats import read_image, write_mrc, write_mrc_stack
from passerelle.processing import movie as processing
from passerelle.processing.metrics import BY_NAME
from passerelle.processing.quality import judge
from passerelle.processing.recipe import Recipe, Threshold
from passerelle.processing.step import Step
from passerelle.processing.task import MovieOutcome, MovieTask

SIDE, FRAMES = 192, 6
KNOWN = {"pixel_size_angstrom": 1.0, "voltage_kv": 300.0, "spherical_aberration_mm": 2.7, "dose_e_per_angstrom2": 12.0}


def write_movie(path: Path, seed: int, frames: int = FRAMES) -> None:
    counts = np.random.default_rng(seed).poisson(4, (frames, SIDE, SIDE)).astype(np.uint16)
    write_mrc_stack(path, counts, 1.0, "uint16")


def recipe(**motion: object) -> Recipe:
    changes = {"motion": {"patches_x": 1, "patches_y": 1} | motion, "dose": {"half_sums": False}, "ctf": {"box_px": 128}}
    return Recipe.model_validate(changes)


@pytest.fixture
def task(tmp_path: Path) -> MovieTask:
    path = tmp_path / "a b.mrc"
    write_movie(path, 1)
    write_mrc(tmp_path / "gain.mrc", np.ones((SIDE, SIDE), np.float32), 1.0)
    status = path.stat()
    return MovieTask(
        movie_id=1,
        name="a b",
        movie=str(path),
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        metadata=KNOWN,
        gain=str(tmp_path / "gain.mrc"),
        recipe=recipe(),
        thresholds={},
        folder=str(tmp_path / "results"),
    )


def interfere(monkeypatch: pytest.MonkeyPatch, name: str, *, after: object = None, before: object = None) -> None:
    """Have something happen right before or after a step has done its work."""

    def changed(step: Step) -> Step:
        def run(work):
            if before is not None:
                before()
            result = step.run(work)
            if after is not None:
                after()
            return result

        return replace(step, run=run) if step.name == name else step

    monkeypatch.setattr(processing, "STEPS", tuple(changed(step) for step in processing.STEPS))


class Killed(BaseException):
    """As SIGKILL: nothing after it runs."""


def kill() -> None:
    raise Killed


def done(outcome: MovieOutcome) -> MovieOutcome:
    assert outcome.error is None, outcome.error
    return outcome


def test_a_second_run_reuses_every_step_and_changes_no_file(task: MovieTask):
    first = done(processing.process_movie(task))
    written = {path: path.stat().st_mtime_ns for path in Path(task.folder).iterdir()}
    again = done(processing.process_movie(task))
    assert all(step.reused for step in again.steps)
    assert again.fingerprint == first.fingerprint
    assert {path: path.stat().st_mtime_ns for path in Path(task.folder).iterdir()} == written


def test_what_a_killed_run_with_other_parameters_left_is_not_taken_for_the_earlier_result(task, monkeypatch):
    done(processing.process_movie(task))
    picture = Path(task.folder) / "micrograph-weighted.mrc"
    wanted = read_image(picture)
    with monkeypatch.context() as patch:
        interfere(patch, "sums", after=kill)
        other = task.model_copy(update={"recipe": recipe(last_frame=FRAMES - 2)})
        with pytest.raises(Killed):
            processing.process_movie(other)
    assert not np.array_equal(read_image(picture), wanted)  # same name, same size, other content
    done(processing.process_movie(task))
    np.testing.assert_array_equal(read_image(picture), wanted)


def test_a_movie_replaced_while_it_is_read_leaves_an_error_that_names_it_and_no_result(task, monkeypatch):
    interfere(monkeypatch, "motion", before=lambda: write_movie(Path(task.movie), 2))
    outcome = processing.process_movie(task)
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.retry, outcome.error.step) == ("IncompleteFile", "later", "motion")
    assert task.movie in outcome.error.message
    assert not (Path(task.folder) / "step-motion.json").exists()


def test_a_movie_replaced_between_two_runs_is_read_anew(task, monkeypatch):
    with monkeypatch.context() as patch:
        interfere(patch, "sums", before=kill)
        with pytest.raises(Killed):
            processing.process_movie(task)
    write_movie(Path(task.movie), 2)  # nobody has told the service yet: the task is the same
    outcome = done(processing.process_movie(task))
    assert not any(step.reused for step in outcome.steps)


def test_a_gain_replaced_while_it_is_in_use_leaves_an_error_that_names_it(task, monkeypatch):
    gain = Path(task.gain)
    interfere(monkeypatch, "gain", after=lambda: write_mrc(gain, np.full((SIDE, SIDE), 2, np.float32), 1.0))
    outcome = processing.process_movie(task)
    assert outcome.error is not None
    assert task.gain in outcome.error.message
    assert outcome.error.retry == "later"
    monkeypatch.undo()
    done(processing.process_movie(task))


def test_a_movie_that_has_grown_since_it_was_queued_is_not_processed(task):
    write_movie(Path(task.movie), 1, FRAMES + 1)
    outcome = processing.process_movie(task)
    assert outcome.error is not None
    assert outcome.error.kind == "IncompleteFile"
    assert outcome.error.message.startswith(task.movie)
    assert outcome.steps == ()


def test_a_movie_that_is_gone_is_named(task):
    Path(task.movie).unlink()
    outcome = processing.process_movie(task)
    assert outcome.error is not None
    assert outcome.error.kind == "NotFound"
    assert task.movie in outcome.error.message


def test_raw_files_cleared_away_after_the_sums_do_no_harm(task, monkeypatch):
    interfere(monkeypatch, "ctf", before=lambda: Path(task.movie).unlink())
    done(processing.process_movie(task))


def test_two_runs_never_write_into_one_folder_at_once(task, monkeypatch):
    monkeypatch.setattr(processing, "_CLAIM_SECONDS", 0.2)
    Path(task.folder).mkdir()
    orphan = os.open(Path(task.folder) / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(orphan, fcntl.LOCK_EX)
    outcome = processing.process_movie(task)
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.retry) == ("Busy", "later")
    assert os.listdir(task.folder) == [".lock"]
    os.close(orphan)  # it has ended
    done(processing.process_movie(task))


def test_motion_that_could_not_be_measured_is_no_number_and_marks_the_movie(task):
    for _ in range(2):  # worked out, and read back
        outcome = done(processing.process_movie(task))  # noise has no drift
        assert outcome.metrics["total_motion_angstrom"] != outcome.metrics["total_motion_angstrom"]
        assert "could not be measured" in " ".join(outcome.alerts)
    back = MovieOutcome.model_validate(json.loads(json.dumps(outcome.model_dump(mode="json"))))
    verdict, reasons = judge(back.metrics, {"total_motion_angstrom": Threshold(warn_max=100)})
    assert verdict == "warn"
    assert reasons == (f"{BY_NAME['total_motion_angstrom'].label} could not be measured",)
