"""A movie whose processing was cut short anywhere ends with exactly the results of one that ran through."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from passerelle.formats import write_mrc, write_mrc_stack
from passerelle.processing import movie as processing
from passerelle.processing.recipe import Recipe
from passerelle.processing.step import Step
from passerelle.processing.steps import STEPS
from passerelle.processing.task import MovieTask

SIDE, FRAMES = 192, 5
TIMES = ("processing_seconds",)


class Killed(BaseException):
    """As SIGKILL: nothing after it runs."""


def written_movie(folder: Path) -> Path:
    rng = np.random.default_rng(3)
    specimen = gaussian_filter(rng.normal(0, 1, (SIDE + 16, SIDE + 16)), 2)
    specimen /= specimen.std()
    frames = [specimen[8 + t : 8 + t + SIDE, 8 - t : 8 - t + SIDE] for t in range(FRAMES)]
    expected = 10 * np.exp(0.3 * np.stack(frames))
    path = folder / "movie.mrc"
    write_mrc_stack(path, rng.poisson(expected).astype(np.uint16), 1.3, "uint16")
    write_mrc(folder / "gain.mrc", rng.normal(1, 0.05, (SIDE, SIDE)).astype(np.float32), 1.3)
    return path


def task_for(movie: Path, folder: Path, output: str) -> MovieTask:
    changes = {"motion": {"patches_x": 2, "patches_y": 2}, "dose": {"output": output}, "ctf": {"box_px": 128}}
    status = movie.stat()
    return MovieTask(
        movie_id=1,
        name="movie",
        movie=str(movie),
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        metadata={"voltage_kv": 300.0, "spherical_aberration_mm": 2.7, "dose_e_per_angstrom2": 12.0},
        gain=str(movie.with_name("gain.mrc")),
        check_gain=True,
        recipe=Recipe.model_validate(changes),
        thresholds={},
        folder=str(folder),
    )


def dying(step: Step, *, with_its_outputs: bool) -> Step:
    def run(work):
        if with_its_outputs:
            step.run(work)
        raise Killed

    return replace(step, run=run)


def results(task: MovieTask) -> tuple[dict[str, float], dict[str, dict], dict[str, bytes]]:
    """Metrics, values of each step, and the bytes of every file that is a result."""
    outcome = processing.process_movie(task)
    assert outcome.error is None, outcome.error
    metrics = {name: value for name, value in outcome.metrics.items() if name not in TIMES}
    files = {name: (Path(task.folder) / name).read_bytes() for record in outcome.steps for name in record.outputs.values()}
    return metrics, {record.step: record.values for record in outcome.steps}, files


@pytest.fixture(scope="module")
def movie(tmp_path_factory) -> Path:
    return written_movie(tmp_path_factory.mktemp("movie"))


@pytest.fixture(scope="module")
def through(movie, tmp_path_factory):
    """What a run that nothing disturbs makes, by number format."""
    return {kind: results(task_for(movie, tmp_path_factory.mktemp(kind), kind)) for kind in ("float32", "float16")}


@pytest.mark.parametrize("output", ["float32", "float16"])
@pytest.mark.parametrize("last", [step.name for step in STEPS])
def test_a_movie_cut_short_at_any_step_ends_with_exactly_the_same_results(movie, through, tmp_path, monkeypatch, output, last):
    task = task_for(movie, tmp_path / "results", output)
    for after in (False, True):  # before the step has begun; then when it has written its files, but no record of them
        steps = tuple(dying(step, with_its_outputs=after) if step.name == last else step for step in STEPS)
        with monkeypatch.context() as patch:
            patch.setattr(processing, "STEPS", steps)
            with pytest.raises(Killed):
                processing.process_movie(task)
    metrics, values, files = results(task)
    expected_metrics, expected_values, expected_files = through[output]
    assert metrics == expected_metrics
    assert values == expected_values
    assert files.keys() == expected_files.keys()
    assert [name for name in files if files[name] != expected_files[name]] == []


def test_the_movie_of_these_tests_has_every_number(through):
    assert np.isfinite(list(through["float32"][0].values())).all()
    assert {"total_motion_angstrom", "defocus_angstrom", "contamination_percent"} <= through["float32"][0].keys()


def test_what_follows_reads_the_micrographs_as_they_were_written(through):
    half, full = through["float16"][1], through["float32"][1]
    assert half["ctf"] != full["ctf"]  # the CTF of 16-bit micrographs is that of the file, not of what was in memory
    assert half["ctf"]["defocus_u_angstrom"] == pytest.approx(full["ctf"]["defocus_u_angstrom"], abs=50)
