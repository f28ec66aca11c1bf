"""The real RELION behind the step of motion correction: its motion against a known truth, its pictures, a whole run with it."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from typer.testing import CliRunner

from passerelle.cli.app import app
from passerelle.core.states import Verdict
from passerelle.formats import read_image, read_star, write_eer_movie, write_mrc, write_mrc_stack, write_tiff_movie
from passerelle.imaging.field import MotionField
from passerelle.processing.movie import process_movie
from passerelle.processing.recipe import Recipe
from passerelle.processing.task import MovieOutcome, MovieTask, ProgramUse
from passerelle.programs import find_program
from passerelle.service.export import export_star
from passerelle.service.movies import choose
from passerelle.service.process_folder import folder_settings
from passerelle.service.wiring import assemble
from passerelle.simulation.drift import random_field
from passerelle.simulation.electrons import deal

pytestmark = pytest.mark.skipif(shutil.which("relion_run_motioncorr") is None, reason="relion is not installed")

FRAMES, HEIGHT, WIDTH = 8, 576, 640
PIXEL, DOSE = 1.1, 1.2
KNOWN = {
    "pixel_size_angstrom": PIXEL,
    "voltage_kv": 300.0,
    "spherical_aberration_mm": 2.7,
    "dose_per_frame_e_per_angstrom2": DOSE,
}


@pytest.fixture(scope="module")
def truth() -> MotionField:
    return random_field(FRAMES, HEIGHT, WIDTH, global_px=8.0, local_px=1.5, seed=5)


@pytest.fixture(scope="module")
def specimen() -> np.ndarray:
    rng = np.random.default_rng(3)
    blobs = gaussian_filter((rng.random((HEIGHT, WIDTH)) < 0.004).astype(float), 2.0)
    return rng.poisson(FRAMES * (1.0 + 9.0 * blobs / blobs.max())).astype(np.uint16)


@pytest.fixture(scope="module")
def gain() -> np.ndarray:
    factors = np.random.default_rng(9).normal(1.0, 0.05, (HEIGHT, WIDTH)).clip(0.8, 1.2).astype(np.float32)
    factors[100:104, 200:204] = 0  # dead pixels
    return factors


@pytest.fixture(scope="module")
def frames(truth: MotionField, specimen: np.ndarray, gain: np.ndarray) -> np.ndarray:
    response = np.where(gain > 0, 0.8 / np.maximum(gain, 0.1), 0) * 16384
    return deal(specimen, truth, seed=1, efficiency=response.astype(np.uint16))


@pytest.fixture
def movie(tmp_path: Path, frames: np.ndarray, gain: np.ndarray) -> MovieTask:
    folder = tmp_path / "a folder; touch owned"
    folder.mkdir()
    path = folder / "-rf a\nb c.mrc"
    write_mrc_stack(path, frames.astype(np.int16), PIXEL, "int16")
    write_mrc(folder / "gain.mrc", gain, PIXEL)
    found = find_program("relion", "relion_run_motioncorr")
    return MovieTask(
        movie_id=1,
        name="a",
        movie=str(path),
        size=path.stat().st_size,
        mtime_ns=path.stat().st_mtime_ns,
        metadata=KNOWN,
        gain=str(folder / "gain.mrc"),
        check_gain=True,
        recipe=recipe(),
        programs={"relion": ProgramUse(executable=found.executable, version=found.version)},
        thresholds={},
        folder=str(tmp_path / "results of\na movie"),
    )


def recipe(**groups: dict[str, Any]) -> Recipe:
    motion = {"program": "relion", "patches_y": 4, "patches_x": 4, "bfactor_angstrom2": 150.0} | groups.pop("motion", {})
    return Recipe.model_validate({"motion": motion, "ctf": {"box_px": 128}} | groups)


def changed(task: MovieTask, path: Path, **changes: Any) -> MovieTask:
    """Return the task for another file in place of the movie."""
    status = path.stat()
    return task.model_copy(update={"movie": str(path), "size": status.st_size, "mtime_ns": status.st_mtime_ns} | changes)


def done(outcome: MovieOutcome) -> MovieOutcome:
    assert outcome.error is None, outcome.error
    return outcome


def stored(task: MovieTask) -> tuple[MotionField, int]:
    with np.load(Path(task.folder) / "motion.npz") as kept:
        height, width = (int(side) for side in kept["size"])
        return MotionField(kept["global_px"], kept["local_px"], height, width), int(kept["stands_at"])


def errors_px(found: MotionField, truth: MotionField) -> np.ndarray:
    """Return the distance (px) between two motions at nine places of all frames."""
    places = [(y * found.height, x * found.width) for y in (0.2, 0.5, 0.8) for x in (0.2, 0.5, 0.8)]
    tracks = [[np.subtract(found.at(t, y, x), truth.at(t, y, x)) for t in range(found.frames)] for y, x in places]
    return np.hypot(*np.moveaxis(np.array(tracks), -1, 0))


def test_its_motion_is_the_truth_in_our_convention(movie, truth):
    outcome = done(process_movie(movie))
    field, stands_at = stored(movie)
    assert stands_at == 0
    assert next(step.values["program"] for step in outcome.steps if step.step == "motion").startswith(
        "RELION's motion correction 3"
    )
    assert np.array_equal(field.global_px[FRAMES // 2], [0, 0])
    error = errors_px(field, truth)
    assert np.sqrt(np.mean(error**2)) < 0.15
    assert np.median(error) < 0.3 and error.max() < 0.6
    still = MotionField(field.global_px, np.zeros_like(field.local_px), HEIGHT, WIDTH)
    assert np.mean(error**2) < 0.7 * np.mean(errors_px(still, truth) ** 2)  # its local motion is used, and of the right sign
    length = np.hypot(*np.diff(truth.global_px, axis=0).T).sum() * PIXEL
    assert outcome.metrics["total_motion_angstrom"] == pytest.approx(length, rel=0.1)


def test_its_pictures_are_kept_as_ours_and_its_own_files_are_gone(movie, specimen, truth, tmp_path):
    outcome = done(process_movie(movie))
    outputs = {role: name for step in outcome.steps for role, name in step.outputs.items()}
    folder = Path(movie.folder)
    assert {"micrograph", "micrograph_weighted", "motion", "motion_curves", "drift", "thumbnail", "spectrum"} <= set(outputs)
    assert not {"even", "odd"} & set(outputs)  # RELION 3.1 makes none
    assert any("even and odd" in words for words in outcome.alerts)
    assert not (folder / "program").exists()
    assert not list(tmp_path.rglob("owned*"))
    picture = read_image(folder / outputs["micrograph"])
    assert outcome.metrics["counts_per_pixel"] == pytest.approx(picture.mean(), rel=1e-3)
    # gain applied, motion undone: it is like the specimen, moved to where it stood in the first frame
    dy, dx = (round(float(value)) for value in truth.global_px[0])
    here = picture[40:-40, 40:-40]
    there = specimen[40 - dy : HEIGHT - 40 - dy, 40 - dx : WIDTH - 40 - dx]
    assert np.corrcoef(here.ravel(), there.ravel())[0, 1] > 0.8
    assert picture[90:114, 190:214].std() < 3 * picture.std()  # dead pixels were replaced


def test_our_own_motion_agrees_with_it(movie, tmp_path):
    done(process_movie(movie))
    ours = movie.model_copy(update={"recipe": recipe(motion={"program": "passerelle"}), "folder": str(tmp_path / "ours")})
    done(process_movie(ours))
    assert np.median(errors_px(stored(ours)[0], stored(movie)[0])) < 0.2


def test_a_second_run_reuses_all_and_another_version_does_it_again(movie):
    first = done(process_movie(movie))
    again = done(process_movie(movie))
    assert all(step.reused for step in again.steps)
    assert (again.fingerprint, again.metrics["total_motion_angstrom"]) == (
        first.fingerprint,
        first.metrics["total_motion_angstrom"],
    )
    newer = {"relion": movie.programs["relion"].model_copy(update={"version": "another"})}
    other = done(process_movie(movie.model_copy(update={"programs": newer})))
    assert {step.step: step.reused for step in other.steps} == {
        "stack": True, "gain": True, "motion": False, "sums": False, "ctf": False, "pictures": False,
    }  # fmt: skip
    assert other.metrics["total_motion_angstrom"] == pytest.approx(first.metrics["total_motion_angstrom"], abs=1e-6)
    ours = done(process_movie(movie.model_copy(update={"recipe": recipe(motion={"program": "passerelle"})})))
    assert "even" in {role for step in ours.steps for role in step.outputs}


def eight_bit_tiff(path: Path, frames: np.ndarray) -> Path:
    write_tiff_movie(path.with_suffix(".tif"), frames, PIXEL)
    return path.with_suffix(".tif")


def unsigned_bytes(path: Path, frames: np.ndarray) -> Path:
    """As old SerialEM: mode 0 with counts beyond 127, which RELION would take for negative ones."""
    bright = frames.copy()
    bright[0, 5, 5] = 200
    write_mrc_stack(path, bright.view(np.int8), PIXEL, "int8")
    with path.open("r+b") as stream:
        stream.seek(152)
        stream.write(struct.pack("<2i", 1146047817, 0))  # IMOD's stamp, without its flag of signed bytes
    return path


def half_floats(path: Path, frames: np.ndarray) -> Path:
    write_mrc_stack(path.with_name("h.mrc"), frames.astype(np.float32), PIXEL, "float16")
    return path.with_name("h.mrc")


@pytest.mark.parametrize("written", [eight_bit_tiff, unsigned_bytes, half_floats])
def test_formats_it_reads_and_does_not_read_give_the_same_motion(movie, frames, truth, written: Callable[..., Path]):
    path = written(Path(movie.movie), frames)
    task = changed(movie, path)
    done(process_movie(task))
    assert np.median(errors_px(stored(task)[0], truth)) < 0.3


def test_some_of_the_frames_and_a_gain_to_divide_by(movie, frames, gain, truth, tmp_path):
    inverse = np.divide(1, gain, out=np.zeros_like(gain), where=gain > 0)
    write_mrc(tmp_path / "inverse.mrc", inverse[::-1], PIXEL)
    parts = recipe(motion={"first_frame": 1, "last_frame": 6}, gain={"mode": "divide", "orientation": "flip_y"})
    task = movie.model_copy(update={"recipe": parts, "gain": str(tmp_path / "inverse.mrc"), "check_gain": True})
    outcome = done(process_movie(task))
    assert not any("gain reference fits" in words for words in outcome.alerts)
    field, _ = stored(task)
    assert field.frames == 6
    middle = truth.global_px[1 + 3]
    drift = MotionField(truth.global_px[1:7] - middle, truth.local_px[:, 1:7], HEIGHT, WIDTH)
    local = drift.local_px - drift.local_px[:, 3:4]
    expected = MotionField(drift.global_px, local, HEIGHT, WIDTH)
    assert np.median(errors_px(field, expected)) < 0.3


def test_super_resolution_is_cropped_and_16_bit_floats_are_written(movie, truth):
    task = movie.model_copy(update={"recipe": recipe(motion={"bin_factor": 2}, dose={"output": "float16", "half_sums": False})})
    outcome = done(process_movie(task))
    picture = read_image(Path(task.folder) / "micrograph.mrc")
    assert picture.shape == (HEIGHT // 2, WIDTH // 2)
    assert outcome.metrics["pixel_size_angstrom"] == pytest.approx(2 * PIXEL)
    assert np.median(errors_px(stored(task)[0], truth)) < 0.3  # in pixels of the movie


def test_a_program_that_leaves_nothing_is_told_with_its_words(movie, tmp_path):
    outcome = process_movie(movie.model_copy(update={"recipe": recipe(), "programs": {
        "relion": movie.programs["relion"].model_copy(update={"arguments": ("--first_frame_sum", "7", "--no_such_option")})
    }}))  # fmt: skip
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.step, outcome.error.retry) == ("ProgramFailed", "motion", "later")
    assert not (Path(movie.folder) / "program").exists()
    assert done(process_movie(movie)).metrics["frames"] == FRAMES  # and what failed leaves no trace


def test_a_whole_run_with_it_ends_green_and_a_second_does_nothing(tmp_path, frames):
    session = tmp_path / "session"
    session.mkdir()
    for name in ("one", "-two 2"):
        write_mrc_stack(session / f"{name}.mrc", frames.astype(np.int16), PIXEL, "int16")
    command = ["process", str(session), "-o", str(tmp_path / "out"), "--voltage", "300", "--cs", "2.7"]
    command += ["--dose-per-frame", str(DOSE), "--workers", "1", "--json", "--set", "ctf.box_px=128"]
    command += ["--set", "motion.program=relion", "--set", "motion.patches_x=4", "--set", "motion.patches_y=4"]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    movies = json.loads(first.stdout)["movies"]
    assert {movie["name"]: movie["state"] for movie in movies} == {"one": "done", "-two 2": "done"}
    again = CliRunner().invoke(app, command)
    assert json.loads(again.stdout)["movies"] == movies
    parts = assemble(folder_settings(session, tmp_path / "out"))
    for movie in movies:
        choose(parts.database, movie["id"], Verdict.ACCEPT)
    blocks = read_star(export_star(parts.database, parts.places, parts.status.sessions()[0].id))
    parts.close()
    names = blocks["micrographs"].column("rlnMicrographName")
    assert len(names) == 2 and all(read_image(Path(name)).shape == (HEIGHT, WIDTH) for name in names)


def test_eer_is_rendered_by_the_recipe_before_relion_sees_it(tmp_path, movie, frames, truth):
    rng = np.random.default_rng(4)
    each = 8

    def events():
        for frame in frames:
            y, x = (axis.repeat(frame.ravel()) for axis in (index.ravel() for index in np.indices(frame.shape)))
            share = rng.integers(0, each, len(y))
            for part in range(each):
                yield np.stack([y[share == part], x[share == part]], axis=1)

    path = tmp_path / "events.eer"
    write_eer_movie(path, events(), HEIGHT, WIDTH, pixel_size_angstrom=PIXEL, dose_e_per_angstrom2=DOSE * FRAMES)
    known = {name: value for name, value in KNOWN.items() if name != "dose_per_frame_e_per_angstrom2"}
    task = changed(
        movie,
        path,
        metadata=known | {"dose_e_per_angstrom2": DOSE * FRAMES},
        gain=None,
        check_gain=False,
        recipe=recipe(motion={"eer_dose_per_fraction": DOSE}),
    )
    assert done(process_movie(task)).metrics["frames"] == FRAMES
    assert np.median(errors_px(stored(task)[0], truth)) < 0.3
